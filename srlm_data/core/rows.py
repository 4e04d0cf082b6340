"""Rows on their way through a step: lazy Arrow of a declared dataset type.

A step reads :class:`Rows` and returns :class:`Rows`. What it reads lies in a version's Parquet
files, or in memory in a test or a notebook, and can be read again; what it returns is a stream of
record batches that the commit drains, and that refuses to be read twice.
"""

from __future__ import annotations

import itertools
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from srlm_data.core import schema
from srlm_data.core.errors import DamagedError, DataError, did_you_mean, first_line
from srlm_data.core.schema import DatasetType

if TYPE_CHECKING:
    import duckdb
    import polars

BATCH = 8192
"""Rows per record batch, where a step makes rows one by one or a query returns them."""

BATCH_CHARACTERS = 1 << 25
"""Characters after which a batch ends early: 8,192 rows of a megabyte would fill the memory."""

Columns = Mapping[str, "Sequence[Any] | pa.Array"]
"""Some rows, column by column: lists of Python values, or Arrow arrays, of one length."""

_Source = Callable[[], Iterator[pa.RecordBatch]] | Iterator[pa.RecordBatch]
"""A function that starts a new reading, or an iterator to read once, never held in memory."""


class Drops(Counter[str]):
    """reason -> count of the records that a step dropped, with a few examples of each."""

    EXAMPLES: ClassVar = 3

    def __init__(
        self,
        counts: Mapping[str, int] | None = None,
        examples: Mapping[str, list[dict[str, str]]] | None = None,
    ) -> None:
        super().__init__(counts)
        self.examples = dict(examples or {})

    def add(self, reason: str, where: str, record: object) -> None:
        """Count a dropped record; ``where`` is a file and line, or the id of a row."""
        self[reason] += 1
        self._add_example(reason, where, record)

    def add_query(
        self, connection: duckdb.DuckDBPyConnection, left_out: str, records: str | None = None
    ) -> None:
        """Count what a query drops; the examples of a reason are those with the smallest ids.

        Args:
            connection: runs the queries.
            left_out: a query of ``id`` and ``reason``, which is null where the row is kept.
            records: a query of ``id`` and the record's fields; ``left_out`` by default.
        """
        counts = f"""
            SELECT reason, count(*), min(id, {self.EXAMPLES}) FROM ({left_out})
            WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason
        """
        for reason, count, ids in connection.sql(counts).fetchall():
            self[reason] += count
            if len(self.examples.get(reason, ())) < self.EXAMPLES:
                shown = f"SELECT * FROM ({records or left_out}) WHERE id IN $ids ORDER BY id"
                records_shown = connection.sql(shown, params={"ids": ids}).to_arrow_table()
                for record in records_shown.to_pylist():
                    self._add_example(reason, str(record.pop("id")), record)

    def _add_example(self, reason: str, where: str, record: object) -> None:
        examples = self.examples.setdefault(reason, [])
        if len(examples) < self.EXAMPLES:
            # Only a file's name: a manifest must hold no paths of this machine.
            place = where.rpartition("/")[2] if where.startswith("/") else where
            examples.append({"where": place, "record": _EXCERPT.repr(record)})


class _Excerpt(reprlib.Repr):
    """Shortened repr of a record, without null fields: Parquet gives every record all fields."""

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        named = {name: value for name, value in x.items() if value is not None}
        return super().repr_dict(named, level)


_EXCERPT: Final = _Excerpt()
_EXCERPT.maxdict, _EXCERPT.maxlist, _EXCERPT.maxstring, _EXCERPT.maxother = 12, 8, 200, 200


class Rows:
    """Rows of one dataset type.

    Attributes:
        type: their dataset type, with its schema and rules.
        drops: reason -> count of dropped records; complete once the rows have been read.
        notes: anything else to keep in the manifest (plain JSON).
        name: ``recipe.dataset@version`` where the rows come from a version, else ``memory``.
    """

    def __init__(
        self,
        dataset_type: DatasetType,
        source: _Source,
        *,
        files: Sequence[Path] = (),
        drops: Counter[str] | None = None,
        notes: dict[str, Any] | None = None,
        name: str = "memory",
    ) -> None:
        self.type = dataset_type
        self.files = tuple(files)
        self.drops: Counter[str] = Counter() if drops is None else drops
        self.notes: dict[str, Any] = {} if notes is None else notes
        self.name = name
        self._source: _Source | None = source

    @classmethod
    def of(cls, dataset_type: DatasetType, rows: Iterable[Mapping[str, Any]] | pa.Table) -> Rows:
        """Return rows in memory, from dicts or a table; missing nullable columns become null."""
        if not isinstance(rows, pa.Table):
            rows = pa.Table.from_batches([_batch(dataset_type, list(rows))])
        table = rows.select(dataset_type.schema.names).cast(dataset_type.schema)
        return cls(dataset_type, lambda: iter(table.to_batches()))

    @classmethod
    def of_files(cls, dataset_type: DatasetType, files: Sequence[Path], name: str) -> Rows:
        """Return the rows of Parquet files, read lazily."""

        def read() -> Iterator[pa.RecordBatch]:
            try:
                for file in files:
                    with pq.ParquetFile(file) as parquet:
                        # One group at a time: a batch that spans groups is as large as all.
                        for group in range(parquet.num_row_groups):
                            for batch in parquet.iter_batches(BATCH, row_groups=[group]):
                                yield _in_schema(dataset_type, batch)
            except (ValueError, OSError, pa.ArrowException) as error:
                raise DamagedError(
                    f"{name}: its files cannot be read, found '{error}'. 'srlm-data verify "
                    "--quarantine' moves the version aside; then build again."
                ) from None

        return cls(dataset_type, read, files=files, name=name)

    @classmethod
    def stream(
        cls,
        dataset_type: DatasetType,
        rows: Iterable[Mapping[str, Any]],
        *,
        drops: Counter[str] | None = None,
        notes: dict[str, Any] | None = None,
    ) -> Rows:
        """Return rows from an iterable of dicts, gathered into batches; they can be read once."""
        batches = (_batch(dataset_type, part) for part in _parts(iter(rows)))
        return cls(dataset_type, batches, drops=drops, notes=notes)

    @classmethod
    def columns(
        cls,
        dataset_type: DatasetType,
        parts: Iterable[Columns],
        *,
        drops: Counter[str] | None = None,
        notes: dict[str, Any] | None = None,
    ) -> Rows:
        """Return rows from parts of many rows, one batch per part; they can be read once."""
        batches = (_of_columns(dataset_type, part) for part in parts)
        return cls(dataset_type, batches, drops=drops, notes=notes)

    @classmethod
    def reading(
        cls,
        dataset_type: DatasetType,
        reader: Iterable[pa.RecordBatch],
        *,
        drops: Counter[str] | None = None,
        notes: dict[str, Any] | None = None,
    ) -> Rows:
        """Return the rows of a reader of record batches (of DuckDB, say); they can be read once."""
        names = dataset_type.schema.names
        batches = (_in_schema(dataset_type, batch.select(names)) for batch in reader)
        return cls(dataset_type, batches, drops=drops, notes=notes)

    @property
    def examples(self) -> dict[str, Any]:
        """The note ``dropped``: examples of what the step left out, where it kept any."""
        return {"dropped": self.drops.examples} if isinstance(self.drops, Drops) else {}

    def collect(self) -> Rows:
        """Return the same rows held in memory, with their drops and notes, to be read again."""
        held = copy(self)
        batches = self.table().to_batches()
        held._source = lambda: iter(batches)
        return held

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows as record batches of the dataset type's schema."""
        if callable(self._source):
            return self._source()
        batches, self._source = self._source, None
        if batches is None:
            raise DataError(
                f"{self.type.name}: these rows are a stream that was already read. Keep them with "
                "rows = rows.collect() before the first reading."
            )
        return batches

    def tuples(self, *columns: str) -> Iterator[tuple[Any, ...]]:
        """Yield the values of some columns, row by row; one batch at a time is in memory."""
        for batch in self.batches():
            yield from zip(*(_values(batch.column(name)) for name in columns), strict=True)

    def dicts(self, *columns: str) -> Iterator[dict[str, Any]]:
        """Yield the rows as dicts of some columns (default: all), one batch at a time in memory."""
        names = columns or tuple(self.type.schema.names)
        for values in self.tuples(*names):
            yield dict(zip(names, values, strict=True))

    def table(self) -> pa.Table:
        """Return all rows as a table in memory."""
        return pa.Table.from_batches(self.batches(), schema=self.type.schema)

    def count(self) -> int:
        """Return the number of rows (from the files' footers if there are files)."""
        if self.files:
            return sum(int(pq.read_metadata(file).num_rows) for file in self.files)
        return sum(batch.num_rows for batch in self.batches())

    def scan(self) -> polars.LazyFrame:
        """Return the rows as a Polars LazyFrame."""
        import polars

        if self.files:
            return polars.scan_parquet(list(self.files), glob=False)
        frame = polars.from_arrow(self.table())
        assert isinstance(frame, polars.DataFrame)
        return frame.lazy()

    def view(
        self, connection: duckdb.DuckDBPyConnection, name: str, *, parts: bool = False
    ) -> None:
        """Make the rows queryable as ``name`` in ``connection``, out of core if they are in files.

        Rows that are parts of another row (a judgment's criteria) are included with ``parts``.
        """
        if self.files:
            rows = connection.read_parquet([str(file) for file in self.files])
            # Versions older than this column have no parts.
            if not parts and self.type.part in rows.columns:
                rows = rows.filter(f"{self.type.part} IS NULL")
            rows.create_view(name)
        else:
            table = self.table()
            if self.type.part and not parts:
                table = table.filter(pc.is_null(table[self.type.part]))
            connection.register(name, table)


class Versions(Protocol):
    """The versions in the store, passed by the build to a step that asks for them."""

    def version(self, ref: str) -> Rows:
        """Return the rows of a version, ``recipe.dataset@3f2a``; StoreError if it is not there."""
        ...


def _parts(rows: Iterator[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the rows of one batch at a time; a batch of long rows has fewer."""
    part: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        part.append(row)
        for value in row.values():
            if type(value) is str:
                size += len(value)
            elif type(value) is list:
                size += sum(len(turn["content"]) for turn in value if isinstance(turn, Mapping))
        if len(part) == BATCH or size >= BATCH_CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part


def gather(
    batches: Iterable[pa.RecordBatch], most_rows: int, most_bytes: int
) -> Iterator[list[pa.RecordBatch]]:
    """Yield batches that make a row group, which ends by rows or by bytes, whichever is first."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= most_rows or size >= most_bytes:
            yield held
            held, rows, size = [], 0, 0
    if rows:
        yield held


def _values(column: pa.Array) -> list[Any]:
    """Return a column as Python values; null fields of conversation turns are left out."""
    if column.type != schema.CONVERSATION or column.null_count:
        return list(column.to_pylist())
    turns = column.values
    fields = [field for field in turns.type if turns.field(field.name).null_count < len(turns)]
    plain = pa.StructArray.from_arrays([turns.field(field.name) for field in fields], fields=fields)
    values: list[Any] = pa.ListArray.from_arrays(column.offsets, plain).to_pylist()
    if len(fields) > 2:
        for turn in itertools.chain.from_iterable(values):
            for name in [name for name, value in turn.items() if value is None]:
                del turn[name]
    return values


def _in_schema(dataset_type: DatasetType, batch: pa.RecordBatch) -> pa.RecordBatch:
    # Parquet names list elements differently, so metadata is compared too. Equal schemas are not
    # cast: that loads Arrow's compute functions, which a build with nothing to do never needs.
    same = batch.schema.equals(dataset_type.schema, check_metadata=True)
    return batch if same else batch.cast(dataset_type.schema)


def _batch(dataset_type: DatasetType, rows: list[Mapping[str, Any]]) -> pa.RecordBatch:
    names = set().union(*rows)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return _of_columns(dataset_type, columns, len(rows))


def _of_columns(
    dataset_type: DatasetType, columns: Columns, rows: int | None = None
) -> pa.RecordBatch:
    schema = dataset_type.schema
    if unknown := sorted(columns.keys() - set(schema.names)):
        raise DataError(
            f"{dataset_type.name}: there is no column '{unknown[0]}'."
            f"{did_you_mean(unknown[0], schema.names)} The columns are {', '.join(schema.names)}."
        )
    rows = len(next(iter(columns.values()))) if rows is None else rows
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            values = pa.nulls(rows, field.type)
        elif not isinstance(values, pa.Array):
            values = _array(dataset_type, field, values)
        arrays.append(values)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(dataset_type: DatasetType, field: pa.Field, values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values, type=field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{dataset_type.name}: a value of '{field.name}' does not fit, found "
            f"'{first_line(error)}'. Its type is {field.type}."
        ) from error


Messages = Annotated[Rows, schema.MESSAGES]
Examples = Annotated[Rows, schema.EXAMPLES]
Prompts = Annotated[Rows, schema.PROMPTS]
Candidates = Annotated[Rows, schema.CANDIDATES]
Judgments = Annotated[Rows, schema.JUDGMENTS]
Scores = Annotated[Rows, schema.SCORES]
Comparisons = Annotated[Rows, schema.COMPARISONS]
Pairs = Annotated[Rows, schema.PAIRS]
Models = Annotated[Rows, schema.MODELS]
Metrics = Annotated[Rows, schema.METRICS]
Labels = Annotated[Rows, schema.LABELS]
