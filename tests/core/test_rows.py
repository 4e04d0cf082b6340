"""Rows: what can be read again is, and what cannot says so."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from srlm_data.core.errors import DataError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import METRICS

ROW: dict[str, Any] = {"metric_id": "a", "model": "m", "metric": "accuracy", "value": 0.5, "n": 2}
HELD = Rows.of(METRICS, [ROW])

STREAMS: dict[str, Callable[[], Rows]] = {
    "stream": lambda: Rows.stream(METRICS, iter([ROW])),
    "columns": lambda: Rows.columns(METRICS, [{name: [ROW[name]] for name in ROW}]),
    "reading": lambda: Rows.reading(METRICS, HELD.batches()),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_gives_its_rows_once_and_then_refuses(name: str) -> None:
    rows = STREAMS[name]()
    assert rows.table() == HELD.table()
    with pytest.raises(DataError, match=r"a stream that was already read.*rows\.collect\(\)"):
        rows.count()


@pytest.mark.parametrize("name", STREAMS)
def test_collected_rows_are_read_as_often_as_one_likes(name: str) -> None:
    rows = STREAMS[name]().collect()
    assert rows.count() == rows.count() == 1
    assert rows.table() == HELD.table()


def test_drops_are_counted_once_however_often_rows_are_read() -> None:
    drops: Counter[str] = Counter()

    def examine() -> Iterator[dict[str, Any]]:
        drops["empty"] += 1
        yield ROW

    rows = Rows.stream(METRICS, examine(), drops=drops, notes={"by": "test"}).collect()
    rows.table()
    assert rows.drops == {"empty": 1}
    assert rows.notes == {"by": "test"}


def test_rows_in_memory_are_read_again() -> None:
    assert HELD.count() == HELD.count() == 1
