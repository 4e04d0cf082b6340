"""Records that come from outside: files beside the recipe, or a pinned dataset of the Hub."""

from __future__ import annotations

import gzip
import io
import json
import re
import reprlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from srlm_data.core.config import Config, Source
from srlm_data.core.errors import DataError, MissingError, did_you_mean
from srlm_data.core.rows import Rows
from srlm_data.core.schema import DatasetType, Message

_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
_LINE_BYTES = 1 << 28  # a record; a packed file of a megabyte can hold a line of gigabytes
_ROLES = ("system", "user", "assistant", "tool")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Records(Config):
    """Where records are read from: ``files``, or a ``hub`` dataset pinned to a ``commit``."""

    files: tuple[Source, ...] = Field(
        (), description="Files to read: .jsonl, .jsonl.gz or .parquet, in this order."
    )
    hub: str | None = Field(
        None, description="A dataset of the Hugging Face Hub to read instead of files."
    )
    commit: str | None = Field(
        None, description="The commit of the Hub dataset, 40 hex digits: what it holds is pinned."
    )
    split: str = Field(
        "train", description="The split of the Hub dataset; 'train+validation' reads both."
    )

    license: str | None = Field(
        None,
        description="Their license, such as apache-2.0; cards of what is made of them name it.",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if bool(self.files) == bool(self.hub):
            found = "both" if self.files else "neither"
            raise ValueError(f"either 'files' or 'hub' is wanted, found {found}")
        if self.hub and not _COMMIT.fullmatch(self.commit or ""):
            raise ValueError(
                f"hub dataset '{self.hub}' must be pinned by 'commit', 40 hex digits, found "
                f"{self.commit!r}: a branch or a tag may hold other rows tomorrow"
            )
        for source in self.files:
            if not source.path.name.endswith(_SUFFIXES):
                raise ValueError(f"a file ends in one of {_SUFFIXES}, found '{source.path.name}'")
        return self

    def packages(self) -> dict[str, str]:
        """Return ``datasets``, which reads the Hub."""
        return {"datasets": "hub"} if self.hub else {}

    def read(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every record with where it stands (``file:line``, or a row's number, from 1).

        Raises:
            DataError: a file or a line cannot be read, or the Hub does not have the dataset.
            MissingError: a Hub dataset is wanted and ``datasets`` is not installed.
        """
        if self.hub:
            yield from _of_hub(self.hub, str(self.commit), self.split)
        for source in self.files:
            read = _of_parquet if source.path.suffix == ".parquet" else _of_lines
            yield from read(source.path)

    def rows(
        self,
        dataset_type: DatasetType,
        made_of: Callable[[Mapping[str, Any], str], dict[str, Any] | str],
    ) -> Rows:
        """A row of a dataset type for each record; of several with one id, the first.

        Args:
            dataset_type: of the rows.
            made_of: the row of a record and of where it stands, or the reason to leave it out.

        Drops: those reasons, ``duplicate``.
        """
        drops: Counter[str] = Counter()

        def rows() -> Iterator[dict[str, Any]]:
            seen: set[str] = set()
            for where, record in self.read():
                row = made_of(record, where)
                if not isinstance(row, str) and row[dataset_type.id] in seen:
                    row = "duplicate"
                if isinstance(row, str):
                    drops[row] += 1
                else:
                    seen.add(row[dataset_type.id])
                    yield row

        return Rows.stream(dataset_type, rows(), drops=drops)


def _of_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(iter(lambda: file.readline(_LINE_BYTES), b""), start=1):
                if len(line) == _LINE_BYTES:
                    raise DataError(
                        f"{path}:{number}: a line has less than {_LINE_BYTES:,} bytes, found more. "
                        "Write one JSON object a line."
                    )
                if line.strip():
                    yield f"{path}:{number}", _record(line, f"{path}:{number}")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}:{number + 1}: cannot read on, found '{error}'. Fetch the file again."
        ) from None


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _record(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where}: not a line of JSON, found '{error}'. Write one JSON object a line, in UTF-8."
        ) from None
    if not isinstance(record, dict):
        raise DataError(
            f"{where}: not a JSON object, found {type(record).__name__}. "
            "Write one JSON object a line."
        )
    return record


def _of_parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", record
    # ValueError, OverflowError: text that is not UTF-8, a time that Python does not have.
    except (OSError, pa.ArrowException, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a Parquet file, found '{error}'. Check the file.") from None


def _of_hub(name: str, commit: str, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        import datasets  # optional, and slow to import
    except ImportError:
        raise MissingError(
            f"hub dataset '{name}': the package 'datasets' is not installed. "
            "Run: pip install 'srlm-data[hub]'."
        ) from None
    try:
        rows = datasets.load_dataset(name, revision=commit, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"hub dataset '{name}' at {commit}, split '{split}': cannot be loaded, "
            f"found '{error}'. Check the name, the commit, the split and the network."
        ) from None
    for number, record in enumerate(rows, start=1):
        yield f"{name}@{commit[:8]}: row {number}", record


def text(record: Mapping[str, Any], name: str, where: str) -> str:
    """The text of a field that must be there.

    Raises:
        DataError: it is missing, no text, or no valid Unicode (JSON can hold half a character).
    """
    value = record.get(name)
    if not isinstance(value, str):
        raise wrong_type(where, name, "str", value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: '{name}' is not valid Unicode, found '{error}'. Mend the record."
        ) from None
    return value


def turns(record: Mapping[str, Any], column: str, role: str, where: str) -> list[Message]:
    """The conversation in a column; a bare text is one turn of ``role``.

    Raises:
        DataError: the column is missing, or neither a text nor a list of ``{role, content}``.
    """
    if column not in record:
        raise DataError(
            f"{where}: there is no column '{column}', found {sorted(record)}."
            f"{did_you_mean(column, record)} Name the columns in the recipe."
        )
    value = record[column]
    if isinstance(value, str):
        return [{"role": role, "content": text(record, column, where)}]
    if not isinstance(value, list) or not all(isinstance(turn, Mapping) for turn in value):
        raise wrong_type(where, column, "a text or a list of {role, content}", value)
    said: list[Message] = [
        {"role": text(turn, "role", where), "content": text(turn, "content", where)}
        for turn in value
    ]
    # A chat template writes a role among its own marks, so no other text may come in its place.
    for turn in said:
        if turn["role"] not in _ROLES:
            raise wrong_type(where, "role", f"one of {_ROLES}", turn["role"])
    return said


def wrong_type(where: str, name: str, wanted: str, found: object) -> DataError:
    """The error of a field that has another type than ``wanted``."""
    return DataError(f"{where}: '{name}' must be {wanted}, found {brief(found)}. Mend the record.")


def brief(value: object) -> str:
    """A value in at most 60 characters, however long or deep it is."""
    return f"{_SHORT.repr(value):.60}"
