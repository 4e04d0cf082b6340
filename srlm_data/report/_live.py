"""Answer the live page's requests: figures, rows, the map, SQL, and whether something is new."""

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

from srlm_data.analysis import queries, query
from srlm_data.analysis.health_checks import HealthWarning, check_health
from srlm_data.core.errors import ArgumentError, StoreError
from srlm_data.report._flows import subject_of
from srlm_data.report._page import page_of
from srlm_data.report._rows import Selection
from srlm_data.report._session import Counting, Session, fingerprint, within
from srlm_data.report._texts import LONGEST, version_rows
from srlm_data.store import Manifest, Store

_SESSIONS: Final = 3
"""The figures of so many selections of recipes are kept, for they take memory."""

_WHOLE: Final = 5_000_000
"""At most so many characters of a text are sent when its full length is requested."""

_ROWS_OF_SQL: Final = 500
_CELL_OF_SQL: Final = 2000
_SECONDS_OF_SQL: Final = 120.0

_BUILDING: Final = re.compile(r"([a-z]\w*\.[a-z]\w*)\.[0-9a-f]{16}\.lock")


class Live:
    """A view of a store; counted figures are kept until one of their versions is replaced."""

    def __init__(self, store: Store, names: Sequence[str] = ()) -> None:
        self._store = store
        self._names = tuple(names)
        self._sessions: OrderedDict[tuple[str, ...], Session] = OrderedDict()
        self._warnings: dict[str, list[HealthWarning]] = {}
        self._counting: Counting | None = None
        self._sql: duckdb.DuckDBPyConnection | None = None
        self._is_stopped = False
        self._lock = threading.Lock()  # one session is counted at a time

    def stop(self) -> None:
        """Stop all counts and queries, so that the server ends at once."""
        self._is_stopped = True
        if counting := self._counting:
            counting.stop()
        connections = [session.connection for session in self._sessions.values()]
        for connection in filter(None, [*connections, self._sql]):
            with contextlib.suppress(duckdb.Error):  # the connection was just closed
                connection.interrupt()

    def close(self) -> None:
        """Drop all sessions."""
        self._sessions.clear()

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """Return what the page shows at first, for the latest versions."""
        return self._latest_session(tuple(self._chosen(names))).summary

    def _session(self, names: Sequence[str]) -> Session:
        """Return the last session of some recipes, so that rows fit the page that is shown."""
        chosen = tuple(self._chosen(names))
        return self._sessions.get(chosen) or self._latest_session(chosen)

    def _latest_session(self, chosen: tuple[str, ...]) -> Session:
        """Return the session of some recipes, counted again if a version was replaced."""
        with self._lock:
            latest = self._latest(chosen)
            session = self._sessions.get(chosen)
            if session is None or session.latest != latest:
                session = self._count(chosen, latest)
            self._sessions[chosen] = session
            self._sessions.move_to_end(chosen)
            while len(self._sessions) > _SESSIONS:
                self._sessions.popitem(last=False)
            return session

    def _count(self, names: Sequence[str], latest: Mapping[str, str]) -> Session:
        subject = subject_of(self._store, names)
        counting = self._counting = Counting(subject)
        if self._is_stopped:
            counting.stop()

        def check(store: Store, manifest: Manifest) -> list[HealthWarning]:
            counting.begin(f"the health of {manifest.name}")
            if manifest.ref not in self._warnings:  # a version never changes
                self._warnings[manifest.ref] = check_health(store, manifest)
            return self._warnings[manifest.ref]

        try:
            return Session(self._store, subject, latest, check, counting)
        finally:
            self._counting = None

    def map(self, names: Sequence[str]) -> dict[str, Any] | None:
        """Return the map of the prompts; None where it cannot be drawn."""
        return self._session(names).map()

    def rows(self, names: Sequence[str], asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rows of a selection, and how many there are."""
        asked = dict(asked)
        longest = _WHOLE if asked.pop("whole", False) is True else LONGEST
        try:
            selection = Selection.model_validate(asked)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "selection"
            raise ArgumentError(f"rows: {place}: {first['msg']}. Reload the page.") from None
        if selection.table == "version":
            manifest = self._store.resolve(selection.dataset)
            rows, total = version_rows(self._store, manifest, selection, longest=longest)
            return {"rows": rows, "total": total}
        return self._session(names).rows(selection, longest)

    def sql(self, text: str) -> dict[str, Any]:
        """Return the first rows of a read-only query.

        Raises:
            DataError: the query is not read-only, DuckDB refuses it, or it takes too long.
        """
        too_long = (
            f"sql: the query took longer than {_SECONDS_OF_SQL:.0f} seconds. "
            "Ask for less, or use 'srlm-data sql'."
        )
        with (
            query.connect(self._store) as connection,
            query.refused(self._store, text),
            within(connection, _SECONDS_OF_SQL, too_long),
        ):
            self._sql = connection
            answer = query.run(connection, self._store, text)
            rows = answer.limit(_ROWS_OF_SQL + 1).fetchall()
            return {
                "columns": answer.columns,
                "rows": [[_cell(value) for value in row] for row in rows[:_ROWS_OF_SQL]],
                "more": len(rows) > _ROWS_OF_SQL,
            }

    def state(self, names: Sequence[str]) -> dict[str, Any]:
        """Return what may have changed: the latest versions, recipes, counts and builds."""
        chosen = self._chosen(names)
        return {
            "fingerprint": fingerprint(self._latest(chosen)),
            "counting": self._counting and self._counting.as_json(),
            "names": chosen,
            "recipes": self._recipes(),
            "building": self._building(),
            "queries": {name: queries.load(name) for name in queries.shipped()},
        }

    def _chosen(self, names: Sequence[str]) -> list[str]:
        """Return the requested recipes, else those that the command named, else all of them."""
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
            with contextlib.suppress(StoreError):  # its inputs are not in the store
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
        """Return the datasets being built, by their locks, and the bytes of answers so far."""
        locks = (self._store.root / "locks").glob("*.lock")
        names = sorted({hits[1] for lock in locks if (hits := _BUILDING.fullmatch(lock.name))})
        size = 0
        for journal in (self._store.root / "journal").glob("*.log"):
            with contextlib.suppress(FileNotFoundError):  # the journal was sealed meanwhile
                size += journal.stat().st_size
        return [{"name": name, "answers": size if len(names) == 1 else 0} for name in names]


def routes_of(live: Live) -> list[BaseRoute]:
    """Return the routes of the live page."""
    page = page_of("srlm-data view", {"live": True}, connect=True)

    async def show(_: Request) -> Response:
        return HTMLResponse(page)

    def get(name: str, ask: Callable[[list[str]], Any]) -> Route:
        async def answer(request: Request) -> Response:
            names = request.query_params.getlist("name")
            return JSONResponse(await run_in_threadpool(ask, names))

        return Route(f"/api/{name}", answer)

    def post(name: str, ask: Callable[[list[str], dict[str, Any]], Any]) -> Route:
        async def answer(request: Request) -> Response:
            names, body = request.query_params.getlist("name"), None
            with contextlib.suppress(ValueError):
                body = await request.json()
            if not isinstance(body, dict):
                raise ArgumentError("view: the request is not a JSON object. Reload the page.")
            return JSONResponse(await run_in_threadpool(ask, names, body))

        return Route(f"/api/{name}", answer, methods=["POST"])

    return [
        Route("/", show),
        *(get("summary", live.summary), get("map", live.map), get("state", live.state)),
        post("rows", live.rows),
        post("sql", lambda _, body: live.sql(str(body.get("query", "")))),
    ]


def _cell(value: Any) -> Any:
    """Return an SQL value in a form that JSON can hold and JavaScript reads without loss."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _CELL_OF_SQL else f"{text[:_CELL_OF_SQL]}…"
