"""Keep the counted figures of some recipes, and the rows behind them, while a page shows them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import duckdb

from srlm_data import report
from srlm_data.analysis.health_checks import HealthWarning
from srlm_data.core.errors import DataError
from srlm_data.core.packages import is_installed
from srlm_data.report._flows import Subject
from srlm_data.report._prompt_map import draw_map, sample_prompts
from srlm_data.report._rows import Selection, count_all, count_rows, find_rows
from srlm_data.report._summary import summarize
from srlm_data.report._texts import Reader
from srlm_data.store import Manifest, Store

SECONDS_OF_SEARCH: Final = 30.0
"""A query for the rows of a list is stopped after this time, for a search reads every text."""

_MAP_POINTS: Final = 1000

Check = Callable[[Store, Manifest], list[HealthWarning]]


class Counting:
    """The progress of a count in parts; it can be stopped between parts or during a query."""

    def __init__(self, subject: Subject) -> None:
        versions = subject.counted.values()
        self.rows = sum(manifest.rows for manifest in versions)
        self.parts = len(versions) + report.PARTS
        self.done = -1
        self.what = ""
        self.connection: duckdb.DuckDBPyConnection | None = None
        self._is_stopped = False

    def begin(self, what: str) -> None:
        """Begin a part; raise a DataError if the count was stopped."""
        if self._is_stopped:
            raise DataError(_STOPPED)
        self.done += 1
        self.what = what

    def stop(self) -> None:
        """Stop the count, since the server ends."""
        self._is_stopped = True
        if self.connection:
            self.connection.interrupt()

    def as_json(self) -> dict[str, Any]:
        """Return the progress as the page shows it."""
        return {name: getattr(self, name) for name in ("rows", "parts", "done", "what")}


_STOPPED: Final = "view: the server has ended. Start 'srlm-data view' again."
_SEARCHED: Final = (
    f"rows: it took longer than {SECONDS_OF_SEARCH:.0f} seconds, or another list was asked for. "
    "Choose one iteration, search for an id, or ask with SQL."
)


class Session:
    """The figures and the indexed rows of some recipes, counted when the session is created.

    Its connection closes when the last request lets go of it, for a newer session may replace it.
    ``latest`` is dataset -> the version that was the latest when the session was counted.
    """

    def __init__(
        self,
        store: Store,
        subject: Subject,
        latest: Mapping[str, str],
        check: Check,
        counting: Counting,
    ) -> None:
        self.latest = latest
        self._store = store
        self._subject = subject
        self._lock = threading.Lock()  # one query at a time
        self._drawing = threading.Lock()
        self._searching = False
        self._wanted = object()
        self._map: list[dict[str, Any] | None] = []  # empty until the map is drawn
        with contextlib.ExitStack() as stack, _stopped(_STOPPED):
            self.connection = stack.enter_context(
                report.connected(store, subject.flows, counting.begin)
            )
            counting.connection = self.connection
            warnings = report.health_of(store, subject, check)
            counting.begin("the figures")
            self.summary = {  # what the page shows at first
                **summarize(self.connection, store, subject, warnings),
                "counts": count_all(self.connection, subject.flows),
                "names": subject.names,
                "fingerprint": fingerprint(latest),
            }
            self._stack = stack.pop_all()

    def rows(self, selection: Selection, longest: int) -> dict[str, Any]:
        """Return the rows of a selection, and how many there are.

        Raises:
            DataError: a search took too long, or another list is wanted meanwhile.
        """
        wanted = self._wanted = object()
        while not self._lock.acquire(timeout=0.1):
            if self._searching and wanted is self._wanted:  # the search is no longer needed
                self.connection.interrupt()
        self._searching = bool(selection.search)
        try:
            with within(self.connection, SECONDS_OF_SEARCH, _SEARCHED):
                reader = Reader(self.connection, self._subject.models, longest)
                hits = find_rows(self.connection, selection)
                rows = reader.read(selection.table, hits)
                whole = len(hits) < selection.limit and not selection.offset
                total = len(hits) if whole else count_rows(self.connection, selection)
                return {"rows": rows, "total": total}
        finally:
            self._searching = False
            self._lock.release()

    def map(self) -> dict[str, Any] | None:
        """Return the map of the prompts; None where it cannot be drawn."""
        if not self._subject.flows or not is_installed("sklearn"):
            return None
        with self._drawing:  # a lock of its own: it takes seconds, and rows are read meanwhile
            if not self._map:
                with self._lock, _stopped(_STOPPED):
                    prompts = sample_prompts(
                        self.connection, self._store, self._subject.flows, _MAP_POINTS
                    )
                self._map = [draw_map(prompts)]
            return self._map[0]


def fingerprint(latest: Mapping[str, str]) -> str:
    """Return a text that changes when a version of some datasets is replaced."""
    return json.dumps(latest)


@contextlib.contextmanager
def within(connection: duckdb.DuckDBPyConnection, seconds: float, sentence: str) -> Iterator[None]:
    """Stop the query of a connection after some seconds.

    Raises:
        DataError: it was stopped.
    """
    stop = threading.Timer(seconds, connection.interrupt)
    stop.start()
    try:
        with _stopped(sentence):
            yield
    finally:
        stop.cancel()


@contextlib.contextmanager
def _stopped(sentence: str) -> Iterator[None]:
    """Raise a DataError with a sentence if a query is interrupted."""
    try:
        yield
    except (duckdb.InterruptException, KeyboardInterrupt):
        raise DataError(sentence) from None
