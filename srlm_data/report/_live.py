"""What the live page asks for: figures, rows, the map, SQL, and whether something is new."""

from __future__ import annotations

import contextlib
import json
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import duckdb
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from srlm_data import report
from srlm_data.analysis import queries, query
from srlm_data.core.errors import ArgumentError, DataError, StoreError
from srlm_data.core.packages import is_installed
from srlm_data.report._flows import Subject, subject_of
from srlm_data.report._page import page_of
from srlm_data.report._prompt_map import draw_map, sample_prompts
from srlm_data.report._rows import (
    LONGEST,
    Reader,
    Selection,
    count_all,
    count_rows,
    find_rows,
    version_rows,
)
from srlm_data.report._summary import summarize
from srlm_data.store import Store

_SESSIONS: Final = 3
"""Choices of recipes whose counted figures are kept; each holds some memory."""

_WHOLE: Final = 5_000_000
"""Characters of a text that is asked for as a whole."""

_ROWS_OF_SQL: Final = 500
_CELL_OF_SQL: Final = 2000
_SECONDS_OF_SQL: Final = 120.0
_MAP_POINTS: Final = 1000

_BUILDING: Final = re.compile(r"([a-z]\w*\.[a-z]\w*)\.[0-9a-f]{16}\.lock")


class Live:
    """A store, looked at: what was counted is kept until a version of it is replaced."""

    def __init__(self, store: Store, names: Sequence[str] = ()) -> None:
        self._store = store
        self._names = tuple(names)
        self._sessions: OrderedDict[tuple[str, ...], _Session] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of all that was counted."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """Return what the page shows before anybody clicks."""
        return self._session(names).summary

    def map(self, names: Sequence[str]) -> dict[str, Any] | None:
        """Return the map of the prompts; None where it cannot be drawn."""
        return self._session(names).map()

    def rows(self, names: Sequence[str], asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rows of a selection, and how many there are.

        Raises:
            ArgumentError: it is no selection.
        """
        asked = dict(asked)
        longest = _WHOLE if asked.pop("whole", False) is True else LONGEST
        try:
            selection = Selection(**asked)
        except (ValidationError, TypeError) as error:
            raise ArgumentError(f"rows: {_first_line(error)}. Reload the page.") from None
        if selection.table == "version":
            manifest = self._store.resolve(selection.dataset)
            rows = version_rows(self._store, manifest, selection, longest=longest)
            return {"rows": rows, "total": 1 if selection.id else manifest.rows}
        return self._session(names).rows(selection, longest)

    def sql(self, text: str) -> dict[str, Any]:
        """Return the first rows of a query that reads.

        Raises:
            DataError: it is none, or DuckDB refuses it, or it takes too long.
        """
        with query.connect(self._store) as connection, query.refused(self._store, text):
            stop = threading.Timer(_SECONDS_OF_SQL, connection.interrupt)
            stop.start()
            try:
                answer = query.run(connection, self._store, text)
                rows = answer.limit(_ROWS_OF_SQL + 1).fetchall()
            except (duckdb.InterruptException, KeyboardInterrupt):
                raise DataError(
                    f"sql: the query took longer than {_SECONDS_OF_SQL:.0f} seconds. "
                    "Ask for less, or use 'srlm-data sql'."
                ) from None
            finally:
                stop.cancel()
            return {
                "columns": answer.columns,
                "rows": [[_cell(value) for value in row] for row in rows[:_ROWS_OF_SQL]],
                "more": len(rows) > _ROWS_OF_SQL,
            }

    def state(self, names: Sequence[str]) -> dict[str, Any]:
        """Return which versions are the latest, what can be shown, and what is being built."""
        chosen = self._chosen(names)
        return {
            "fingerprint": json.dumps(self._latest(chosen)),
            "names": chosen,
            "recipes": self._recipes(),
            "building": self._building(),
            "queries": {name: queries.load(name) for name in queries.shipped()},
        }

    def _session(self, names: Sequence[str]) -> _Session:
        """Return the session of some recipes, made anew where a version was replaced."""
        chosen = tuple(self._chosen(names))
        latest = self._latest(chosen)
        with self._lock:
            session = self._sessions.pop(chosen, None)
            if session and session.latest != latest:
                session.close()
                session = None
            if session is None:
                session = _Session(self._store, subject_of(self._store, chosen), latest)
            self._sessions[chosen] = session
            while len(self._sessions) > _SESSIONS:
                self._sessions.popitem(last=False)[1].close()
            return session

    def _chosen(self, names: Sequence[str]) -> list[str]:
        """Return the recipes that were asked for, or those of the command, or all of them."""
        return list(names or self._names or self._recipes())

    def _recipes(self) -> list[str]:
        """Return the recipes that have something to show, the oldest first."""
        times: dict[str, str] = {}
        for manifest in self._store.latest():
            if manifest.type in ("judgments", "pairs", "metrics"):
                recipe = manifest.name.partition(".")[0]
                at = str(manifest.provenance.get("at", ""))
                times[recipe] = min(times.get(recipe, at), at)
        shown = []
        for recipe in sorted(times, key=lambda recipe: (times[recipe], recipe)):
            with contextlib.suppress(StoreError):  # what it was made from is not here
                subject_of(self._store, [recipe])
                shown.append(recipe)
        return shown

    def _latest(self, names: Sequence[str]) -> dict[str, str]:
        recipes = {name.partition(".")[0] for name in names}
        return {
            name: self._store.refs(name).get("latest", "")
            for name in self._store.names()
            if name.partition(".")[0] in recipes
        }

    def _building(self) -> list[dict[str, Any]]:
        """Return the datasets whose locks lie in the store, and the bytes of answers so far."""
        locks = (self._store.root / "locks").glob("*.lock")
        names = sorted({hits[1] for lock in locks if (hits := _BUILDING.fullmatch(lock.name))})
        size = 0
        for journal in (self._store.root / "journal").glob("*.log"):
            with contextlib.suppress(FileNotFoundError):  # sealed meanwhile
                size += journal.stat().st_size
        return [{"name": name, "answers": size if len(names) == 1 else 0} for name in names]


class _Session:
    """The counted figures and indexed rows of some recipes; one question at a time."""

    def __init__(self, store: Store, subject: Subject, latest: Mapping[str, str]) -> None:
        self.latest = latest
        self._store = store
        self._subject = subject
        self._lock = threading.Lock()
        self._drawing = threading.Lock()
        self._map: list[dict[str, Any] | None] = []
        with contextlib.ExitStack() as stack:
            self._connection = stack.enter_context(report.connected(store, subject.flows))
            warnings = report.health_of(store, subject)
            summary = summarize(self._connection, store, subject, warnings)
            self.summary = {**summary, "counts": count_all(self._connection, subject.flows)}
            self._stack = stack.pop_all()

    def close(self) -> None:
        with self._lock:
            self._stack.close()

    def rows(self, selection: Selection, longest: int) -> dict[str, Any]:
        with self._lock:
            reader = Reader(self._connection, self._subject.models, longest)
            hits = find_rows(self._connection, selection)
            rows = reader.read(selection.table, hits)
            whole = len(hits) < selection.limit and not selection.offset
            total = len(hits) if whole else count_rows(self._connection, selection)
            return {"rows": rows, "total": total}

    def map(self) -> dict[str, Any] | None:
        if not self._subject.flows or not is_installed("sklearn"):
            return None
        with self._drawing:  # rows are read meanwhile: it takes seconds
            if not self._map:
                with self._lock:
                    prompts = sample_prompts(
                        self._connection, self._store, self._subject.flows, _MAP_POINTS
                    )
                self._map = [draw_map(prompts)]
            return self._map[0]


def routes_of(live: Live) -> list[BaseRoute]:
    """Return the routes of the live page."""
    page = page_of("srlm-data view", {"live": True}, connect=True)

    def asking(ask: Callable[[list[str], Any], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            body = None
            if request.method == "POST":
                try:
                    body = json.loads(await request.body())
                except ValueError:
                    body = None
                if not isinstance(body, dict):
                    raise ArgumentError("view: the request is no JSON object. Reload the page.")
            names = request.query_params.getlist("name")
            return JSONResponse(await run_in_threadpool(ask, names, body))

        return answer

    async def show(_: Request) -> Response:
        return HTMLResponse(page)

    return [
        Route("/", show),
        Route("/api/summary", asking(lambda names, _: live.summary(names))),
        Route("/api/map", asking(lambda names, _: live.map(names))),
        Route("/api/state", asking(lambda names, _: live.state(names))),
        Route("/api/rows", asking(live.rows), methods=["POST"]),
        Route(
            "/api/sql",
            asking(lambda _, body: live.sql(str(body.get("query", "")))),
            methods=["POST"],
        ),
    ]


def _cell(value: Any) -> Any:
    """Return a value of SQL as JSON holds it and JavaScript reads it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _CELL_OF_SQL else f"{text[:_CELL_OF_SQL]}…"


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'selection'}: {first['msg']}"
    return str(error).splitlines()[0]
