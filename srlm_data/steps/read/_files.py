"""Find the files that a recipe names, and check that their content fits their names."""

from __future__ import annotations

import glob
import io
import json
import os
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Final

import pyarrow as pa

from srlm_data.core.errors import DataError

KINDS: Final = {
    **dict.fromkeys((".json", ".jsonl", ".ndjson", ".jsonlines"), "JSON"),
    **dict.fromkeys((".csv", ".tsv"), "CSV"),
    ".parquet": "Parquet",
    ".arrow": "Arrow",
}
"""Suffix of a file of records -> its format."""

PACKED: Final = {".gz": "gzip", ".zst": "Zstandard"}
_PACKED_OTHERWISE: Final = (".bz2", ".xz", ".lz4", ".zip")
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
"""How a file begins, in lower case, the format it then has, and what the user should do."""

_DESCRIBE: Final = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files without records in a folder that ``datasets`` has saved."""

_SHARD: Final = re.compile(r"(?P<split>.+)-\d{5}-of-(?P<count>\d{5})[-.]")
"""The name that ``datasets`` gives to a file with a part of a split."""

_SPLITS: Final = ("train", "validation", "valid", "val", "dev", "test", "eval")
"""Names of files, or of the folders they are in, that are the name of a split."""

HEAD: Final = 1024
"""Bytes at the beginning of a file that are checked for its format."""


def find(name: str, base: Path, split: str) -> list[Path]:
    """List the files that a recipe names: one, those of a folder, or those that fit a pattern.

    Of a folder of splits, as ``datasets`` reads it, only the files of ``split`` are listed.
    """
    if not name.strip():
        raise ValueError("expected a file, a folder or a pattern")
    path = base / name
    if os.path.isdir(path):  # noqa: PTH112 - is False, not an error, for an invalid name
        files = _of_folder(path, split)
    elif glob.has_magic(name) and not os.path.isfile(path):  # noqa: PTH113 - the same
        # A * or ? in the name of the recipe's folder is not part of the pattern.
        matches = glob.glob(name, root_dir=base, recursive=True)  # noqa: PTH207 - may be absolute
        files = [base / match for match in sorted(matches)]
        files = [file for file in files if file.is_file() and file.name not in _DESCRIBE]
    else:
        files = [path]
        if not os.path.isfile(path):  # noqa: PTH113 - the same
            raise ValueError(f"no such file: '{name}'")
    for file in files:
        if kind_of(file.name) is None:
            raise ValueError(describe_unknown(file.name))
    if not files:
        raise ValueError(f"no file of records is in '{name}'")
    return [file.resolve() for file in files]


def _of_folder(folder: Path, split: str) -> list[Path]:
    if (folder / "dataset_dict.json").is_file():
        splits = json.loads((folder / "dataset_dict.json").read_text())["splits"]
        for part in split.split("+"):
            _check_split(part, splits)
        return [file for part in split.split("+") for file in _of_folder(folder / part, split)]
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and (
            kind_of(file.name)
            or (file.suffix.lower() in _PACKED_OTHERWISE and kind_of(file.stem))  # find() raises
        )
        and file.name not in _DESCRIBE
        and not any(part[0] in "._" for part in file.relative_to(folder).parts)
        and not file.match("cache-*.arrow")
    )
    return _of_split(files, split)


def _of_split(files: list[Path], split: str) -> list[Path]:
    """Return the files without those of other splits; raise if a part of the split is missing."""
    parts = [(file, *_part_of(file)) for file in files]
    splits, wanted = {name for _, name, _ in parts if name}, split.split("+")
    if len(splits) > 1:
        for wanted_split in wanted:
            _check_split(wanted_split, splits)
        parts = [part for part in parts if not part[1] or part[1] in wanted]
    shards = Counter((file.parent, name, count) for file, name, count in parts)
    for (folder, name, count), number in shards.items():
        if number < count:
            raise ValueError(
                f"'{folder.name}' has {count} files of {name}, found {number}. "
                "Fetch the others, or name the files that are meant"
            )
    return [file for file, *_ in parts]


def _part_of(file: Path) -> tuple[str | None, int]:
    """Return the split that a file is a part of, by its name, and how many files the split has."""
    if shard := _SHARD.match(file.name):
        return shard["split"], int(shard["count"])
    names = file.name.partition(".")[0].lower(), file.parent.name.lower()
    return next((name for name in names if name in _SPLITS), None), 1


def _check_split(part: str, splits: Collection[str]) -> None:
    if part not in splits:
        raise ValueError(f"no split '{part}', found {', '.join(sorted(splits))}")


def kind_of(name: str) -> str | None:
    """Return the format of a file by its name; None where the name does not say it."""
    path = Path(name.lower())
    return KINDS.get(Path(path.stem).suffix if path.suffix in PACKED else path.suffix)


def describe_unknown(name: str) -> str:
    """Return the fault of a file's name that does not say the format of the file."""
    packed = " or ".join(PACKED)
    return (
        f"a file is called {', '.join(KINDS)}, or one of these with {packed} after it, "
        f"found '{name}'"
    )


def open_unpacked(path: Path) -> io.BufferedReader:
    """Open a file, and decompress it where its name says that it is compressed."""
    # Opened by Python, since Arrow accepts only paths in UTF-8.
    codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())
    return io.BufferedReader(pa.input_stream(path.open("rb"), compression=codec))


def refuse_another(path: Path) -> None:
    """Raise if a file does not have the format that its name says."""
    kind, packed = kind_of(path.name), PACKED.get(path.suffix.lower())
    with path.open("rb") as file:
        _refuse_head(path, file.read(HEAD), packed or kind)
    if packed:
        with open_unpacked(path) as file:
            _refuse_head(path, file.read(HEAD), kind)


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
