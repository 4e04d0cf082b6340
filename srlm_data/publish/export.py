"""Write a version for a trainer that is not ours: its data files and the config that names them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from srlm_data.core.errors import ArgumentError, DataError, StoreError, counted, did_you_mean
from srlm_data.core.finite import finite
from srlm_data.core.messages import assistant
from srlm_data.publish._trainers import EXPORTERS, Exporter, Unfit
from srlm_data.store import Manifest, Place, Store, open_store

ROWS: Final = "jsonl"
"""The format that writes rows of any dataset type unchanged."""

_ANSWERS: Final[tuple[str, ...]] = ("completion", "chosen", "rejected")

FORMATS: Final = (*EXPORTERS, ROWS)


@dataclass(frozen=True)
class Export:
    """What was written."""

    folder: Path  # the folder of ``files``
    files: tuple[str, ...]  # the data file first
    rows: int  # in the data file
    drops: Mapping[str, int]  # reason -> count of rows that the format cannot hold
    next_command: str  # the training command, to run in the folder; may be empty


def export(ref: str, to: str, folder: Path | str | None = None, store: Place = None) -> Export:
    """Write a version's rows in the format of a trainer, with the few lines of config it needs.

    Args:
        ref: a dataset or one of its versions, as ``iter1.pairs``.
        to: one of ``trl``, ``alpaca``, ``sharegpt``, ``openai``, ``llamafactory``, ``axolotl``; or
            ``jsonl``, rows of any dataset type as they are.
        folder: a new folder to write into; named after the dataset and the format where None.
        store: the store to use.

    Raises:
        ArgumentError: there is no such format, it has no place for this dataset type, or the folder
            is there already.
        DataError: no row fits the format.
        StoreError: there is no such version, it is damaged, or nothing can be written there.
    """
    if to not in FORMATS:
        raise ArgumentError(
            f"unknown format '{to}'.{did_you_mean(to, FORMATS)} There are {', '.join(FORMATS)}."
        )
    opened = open_store(store)
    manifest = opened.resolve(ref)
    exporter = _find_exporter(manifest, to)
    target = Path(folder or f"{manifest.name}.{to}")
    if target.exists():
        raise ArgumentError(f"{target}: already exists. Name another folder, or remove it.")
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        drops: Counter[str] = Counter()
        rows = _write(draft / exporter.file, _records(opened, manifest, exporter, drops))
        if not rows:
            most = drops.most_common(1)
            why = f", for {counted(most[0][1], 'row')} of it are {most[0][0]}" if most else ""
            raise DataError(
                f"{manifest.ref}: no row can be written as {to}{why}. "
                "Choose another format; 'trl' and 'jsonl' hold every conversation."
            )
        for name, text in exporter.config.items():
            (draft / name).write_text(text, encoding="utf-8")
        draft.rename(target)
    except OSError as error:
        raise StoreError(
            f"{target}: it cannot be written, found '{error.strerror}'. Name another folder."
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    files = exporter.file, *exporter.config
    return Export(target, files, rows, dict(drops), exporter.next_command)


def _find_exporter(manifest: Manifest, to: str) -> Exporter:
    if to == ROWS:
        return Exporter("rows.jsonl", None)
    kinds = EXPORTERS[to]
    kind = "examples" if manifest.type == "candidates" else manifest.type
    if kind not in kinds:
        raise ArgumentError(
            f"{manifest.ref}: {to} cannot represent {manifest.type}, only {', '.join(kinds)}. "
            f"Export another dataset, or its rows unchanged: --to {ROWS}."
        )
    return kinds[kind]


def _records(
    store: Store, manifest: Manifest, exporter: Exporter, drops: Counter[str]
) -> Iterator[dict[str, Any]]:
    for row in store.rows(manifest).dicts():
        if exporter.record is None:
            yield row
            continue
        answers = {name: row[name] for name in _ANSWERS if name in row}
        if manifest.type == "candidates":
            answers = {"completion": assistant(row["response"])}
        try:
            yield exporter.record(row["prompt"], answers)
        except Unfit as reason:
            drops[str(reason)] += 1


def _write(path: Path, records: Iterator[dict[str, Any]]) -> int:
    """Write records as an array (``.json``) or one a line, and return how many there are."""
    begin, between, end = ("[\n", ",\n", "\n]\n") if path.suffix == ".json" else ("", "\n", "\n")
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(between if count else begin)
            file.write(json.dumps(finite(record), ensure_ascii=False, allow_nan=False))
            count += 1
        file.write(end if count else "")
    return count
