"""The files that a recipe names, and the records that are in them."""

from __future__ import annotations

import codecs
import contextlib
import csv
import glob
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from srlm_data.core import database
from srlm_data.core.errors import DataError

Record = tuple[str, dict[str, Any]]
"""Where a record stands (``file:line``, or a row's number from 1), and the record."""

KINDS: Final = {
    **dict.fromkeys((".json", ".jsonl", ".ndjson", ".jsonlines"), "JSON"),
    **dict.fromkeys((".csv", ".tsv"), "CSV"),
    ".parquet": "Parquet",
    ".arrow": "Arrow",
}
"""How a file is called that holds records, and what it is."""

_PACKED: Final = {".gz": "gzip", ".zst": "Zstandard"}
_UTF16: Final = (b"\xff\xfe", "text in UTF-16", "Write it in UTF-8.")
_SIGNS: Final = (
    (b"\x1f\x8b", "gzip", "Name it {name}.gz."),
    (b"\x28\xb5\x2f\xfd", "Zstandard", "Name it {name}.zst."),
    (b"par1", "Parquet", "Name it {stem}.parquet."),
    (b"arrow1", "Arrow", "Name it {stem}.arrow."),
    (b"\xff\xff\xff\xff", "Arrow", "Name it {stem}.arrow."),
    (b"pk\x03\x04", "a ZIP archive", "Unpack it."),
    _UTF16,
    (b"\xfe\xff", *_UTF16[1:]),
    (b"version https://git-lfs", "a Git LFS pointer", "Fetch the file: git lfs pull."),
    (b"<!doctype html", "an HTML page", "Download the file, not the page about it."),
    (b"<html", "an HTML page", "Download the file, not the page about it."),
)
"""How a file begins, in lower case, what it is then, and what to do about its name."""

_DESCRIBE: Final = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files of a folder that ``datasets`` has saved, in which there are no records."""

_LINE_BYTES: Final = 1 << 28  # a record; a packed file of a megabyte can hold a line of gigabytes
_READ_ERRORS: Final = (
    OSError,
    EOFError,
    duckdb.Error,
    pa.ArrowException,
    ValueError,
    OverflowError,
    RecursionError,
    csv.Error,
)
"""ValueError is of text that is not UTF-8, OverflowError of a time that Python does not have."""

_BATCH: Final = 1024
_HEAD: Final = 1024
_MEMORY: Final = "256MB"
"""What DuckDB may hold of a file while its rows pass."""


def find(name: str, base: Path, split: str) -> list[Path]:
    """List the files that a recipe names: one, those of a folder, or those that fit a pattern.

    Of a ``datasets.DatasetDict`` that was saved, only the files of ``split`` are listed.
    """
    path = base / name
    if os.path.isdir(path):  # noqa: PTH112 - says no to a name that is no name
        files = _of_folder(path, split)
    elif glob.has_magic(name) and not os.path.isfile(path):  # noqa: PTH113 - the same
        matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 - the folder may be absolute
        files = [Path(match) for match in sorted(matches) if Path(match).name not in _DESCRIBE]
        files = [file for file in files if file.is_file()]
    else:
        files = [path]
        if not os.path.isfile(path):  # noqa: PTH113 - the same
            raise ValueError(f"no such file: '{name}'")
    for file in files:
        if _kind(file.name) is None:
            raise ValueError(
                f"a file is called {', '.join(KINDS)}, or one of these with "
                f"{' or '.join(_PACKED)} after it, found '{file.name}'"
            )
    if not files:
        raise ValueError(f"no file of records is in '{name}'")
    return [file.resolve() for file in files]


def _of_folder(folder: Path, split: str) -> list[Path]:
    if (folder / "dataset_dict.json").is_file():
        splits = json.loads((folder / "dataset_dict.json").read_text())["splits"]
        for part in split.split("+"):
            if part not in splits:
                raise ValueError(f"no split '{part}', found {', '.join(sorted(splits))}")
        return [file for part in split.split("+") for file in _of_folder(folder / part, split)]
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and _kind(file.name)
        and file.name not in _DESCRIBE
        and not any(part[0] in "._" for part in file.relative_to(folder).parts)
        and not file.match("cache-*.arrow")
    )


def _kind(name: str) -> str | None:
    """Return what a file is by its name; None where its name does not say."""
    path = Path(name.lower())
    return KINDS.get(Path(path.stem).suffix if path.suffix in _PACKED else path.suffix)


def read(path: Path) -> Iterator[Record]:
    """Yield the records of a file."""
    read = 0
    try:
        _refuse_another(path)
        for where, record in _READERS[str(_kind(path.name))](path):
            if not isinstance(record, dict):
                raise DataError(
                    f"{where}: not a JSON object, found {type(record).__name__}. "
                    "Write an object with named fields for each record."
                )
            read += 1
            yield where, record
    except _READ_ERRORS as error:
        raise DataError(
            f"{path}: cannot be read on after {read:,} records, found '{_brief(error):.200}'. "
            "Mend the file, or fetch it again."
        ) from None


def _brief(error: Exception) -> str:
    """Return what an error says, in a line; DuckDB repeats a record of CSV before its fault."""
    first, *more = str(error).splitlines() or [type(error).__name__]
    if not isinstance(error, duckdb.Error) or "CSV Error" not in first:
        return first
    faults = [line for line in takewhile(lambda line: "Possible" not in line, more) if line]
    return ", ".join([first, *faults[-1:]])


def _open(path: Path) -> io.BufferedReader:
    """Open a file, unpacked where its name says that it is packed."""
    # By Python's own open: Arrow wants a path in UTF-8.
    codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())
    return io.BufferedReader(pa.input_stream(path.open("rb"), compression=codec))


def _refuse_another(path: Path) -> None:
    """Refuse a file that is not what its name says."""
    kind, packed = _kind(path.name), _PACKED.get(path.suffix.lower())
    with path.open("rb") as file:
        _refuse_head(path, file.read(_HEAD), packed or kind)
    if packed:
        with _open(path) as file:
            _refuse_head(path, file.read(_HEAD), kind)


def _refuse_head(path: Path, head: bytes, wanted: str | None) -> None:
    begun = head.lstrip().lower()
    sign = next((sign for sign in _SIGNS if begun.startswith(sign[0])), None)
    if wanted in ("JSON", "CSV") and b"\0\0" in (head[:4:2], head[1:4:2]):
        sign = _UTF16
    what, advice = sign[1:] if sign else ("", "Fetch the file again.")
    if what == wanted or (not sign and wanted in ("JSON", "CSV")):
        return
    raise DataError(
        f"{path}: this is {what or f'no {wanted}'}, its name says {wanted}. "
        f"{advice.format(name=path.name, stem=path.stem)}"
    )


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    with _open(path) as file:
        head = file.read(_HEAD).removeprefix(codecs.BOM_UTF8).lstrip()
    if head.startswith(b"["):
        yield from _objects(path, "array")
    elif head.partition(b"\n")[0].strip() == b"{":
        yield from _objects(path, "unstructured")
    else:
        yield from _lines(path)


def _objects(path: Path, form: str) -> Iterator[tuple[str, Any]]:
    """Yield the values of a JSON array, or those that follow each other over several lines."""
    query = "SELECT json FROM read_json_objects($path, format = $form)"
    with database.connect(memory=_MEMORY) as connection:
        connection.execute("SET threads = 1")  # each one holds a part of the file
        values = {"path": str(path), "form": form}
        batches = connection.sql(query, params=values).to_arrow_reader(_BATCH)
        texts = (text for batch in batches for text in batch["json"].to_pylist())
        for number, text in enumerate(texts, start=1):
            where = f"{path}: record {number}"
            yield where, _load(text, where)


def _load(text: str, where: str) -> Any:
    """Return what a JSON text holds."""

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) < len(pairs):
            _refuse_twice(where, [name for name, _ in pairs])
        return built

    return json.loads(text, object_pairs_hook=build)


def _refuse_twice(where: str | Path, names: list[str]) -> None:
    """Refuse names of which one stands twice."""
    for place, name in enumerate(names):
        if name in names[:place]:
            raise DataError(f"{where}: '{name}' stands twice. Keep one, or name them apart.")


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with _open(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(_LINE_BYTES), b""), start=1):
            where = f"{path}:{number}"
            if len(line) == _LINE_BYTES:
                raise DataError(
                    f"{where}: a line has less than {_LINE_BYTES:,} bytes, found more. "
                    "Write one JSON object a line."
                )
            if not line.strip():
                continue
            try:
                record = _load(line.decode("utf-8-sig"), where)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{where}: not a line of JSON, found '{error}'. "
                    "Write one JSON object a line, in UTF-8."
                ) from None
            if number == 1 and _is_by_columns(record):
                for key in next(iter(record.values())):
                    yield where, {name: column.get(key) for name, column in record.items()}
            else:
                yield where, record


def _is_by_columns(record: object) -> bool:
    """Return whether an object is a table by columns, as pandas writes it by default."""
    return (
        isinstance(record, dict)
        and bool(record)
        and all(isinstance(column, dict) and "0" in column for column in record.values())
    )


def _csv(path: Path) -> Iterator[tuple[str, Any]]:
    with _open(path) as file:
        header = file.readline(_LINE_BYTES).decode("utf-8-sig")
    # By the names alone: a guess from the rows would part texts at their semicolons.
    delimiter = max(",;\t|", key=header.count)
    names = next(csv.reader([header.partition("\r")[0].rstrip()], delimiter=delimiter), [])
    names = [name or f"column{place}" for place, name in enumerate(names)]
    _refuse_twice(path, names)
    if not names:
        return
    # Texts alone: a column of prompts in which every one is a number is a column of prompts.
    query = """
        SELECT * FROM read_csv(
            $path, auto_detect = false, columns = $columns, header = true, delim = $delimiter,
            quote = '"', escape = '"'
        )
    """
    columns = dict.fromkeys(names, "VARCHAR")
    values = {"path": str(path), "columns": columns, "delimiter": delimiter}
    with database.connect(memory=_MEMORY) as connection:
        connection.execute("SET threads = 1")  # each one holds a part of the file
        rows = connection.sql(query, params=values)
        yield from _numbered(path, rows.to_arrow_reader(_BATCH))


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    with (
        _on_disk(path) as file,
        pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as parquet,
    ):
        _refuse_twice(path, parquet.schema_arrow.names)
        yield from _numbered(path, parquet.iter_batches(_BATCH))


def _arrow(path: Path) -> Iterator[tuple[str, Any]]:
    with _on_disk(path) as unpacked, pa.OSFile(str(unpacked)) as file:
        if file.read(6) == b"ARROW1":
            reader = pa.ipc.open_file(file)
            batches = map(reader.get_batch, range(reader.num_record_batches))
        else:
            file.seek(0)
            batches = iter(pa.ipc.open_stream(file))
        yield from _numbered(path, batches)


@contextlib.contextmanager
def _on_disk(path: Path) -> Iterator[Path]:
    """Give a file that one can seek in: itself, or what it holds packed, for a while."""
    if path.suffix.lower() not in _PACKED:
        yield path
        return
    with tempfile.NamedTemporaryFile() as unpacked:
        with _open(path) as packed:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
        unpacked.flush()
        yield Path(unpacked.name)


def _numbered(path: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, Any]]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH):
            for record in batch.slice(start, _BATCH).to_pylist():
                number += 1
                yield f"{path}: row {number}", record


_READERS: Final = {"JSON": _json, "CSV": _csv, "Parquet": _parquet, "Arrow": _arrow}
