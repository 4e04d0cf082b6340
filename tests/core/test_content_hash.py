"""The hash of rows: equal rows, equal hash, whatever carries them."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srlm_data.core.content_hash import RowHash

SCHEMA = pa.schema([
    ("text", pa.string()), ("number", pa.int32()), ("share", pa.float64()), ("flag", pa.bool_()),
    ("turns", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
])  # fmt: skip

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
TURN = st.fixed_dictionaries({"role": TEXT, "content": TEXT})
ROWS = st.lists(
    st.fixed_dictionaries({
        "text": st.none() | TEXT,
        "number": st.none() | st.integers(-9, 9),
        "share": st.none() | st.floats(),
        "flag": st.none() | st.booleans(),
        "turns": st.none() | st.lists(TURN, max_size=2),
    }),
    max_size=12,
)  # fmt: skip


def hashed(*batches: pa.RecordBatch) -> str:
    total = RowHash(SCHEMA.names)
    for batch in batches:
        total.update(batch)
    return total.hexdigest()


@given(ROWS, st.integers(0, 12))
def test_rows_hash_the_same_however_they_are_cut(rows, cut):
    whole = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    parts = [pa.RecordBatch.from_pylist(part, schema=SCHEMA) for part in (rows[:cut], rows[cut:])]
    assert hashed(whole) == hashed(*parts) == hashed(whole.slice(0, cut), whole.slice(cut))


@given(ROWS, ROWS)
def test_different_rows_hash_differently(one, other):
    first, second = (pa.RecordBatch.from_pylist(rows, schema=SCHEMA) for rows in (one, other))
    texts = [str(batch.to_pylist()).replace("-0.0", "0.0") for batch in (first, second)]
    assert (texts[0] == texts[1]) == (hashed(first) == hashed(second))


def test_text_that_moves_between_rows_changes_the_hash():
    one, other = (
        pa.RecordBatch.from_pylist([{"text": a}, {"text": b}], schema=SCHEMA)
        for a, b in (("ab", "c"), ("a", "bc"))
    )
    assert hashed(one) != hashed(other)


def test_null_and_empty_text_are_not_the_same():
    one, other = (
        pa.RecordBatch.from_pylist([{"text": text}], schema=SCHEMA) for text in (None, "")
    )
    assert hashed(one) != hashed(other)


def test_a_column_without_a_canonical_form_is_refused():
    batch = pa.RecordBatch.from_pylist([{"x": b"raw"}])
    with pytest.raises(TypeError, match="no canonical form"):
        RowHash(["x"]).update(batch)
