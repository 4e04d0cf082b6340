"""Keep labels in the store: every import of labels makes a version with all labels so far.

A version of ``iter1.pairs_labels`` holds all people's labels of ``iter1.pairs``; its inputs are the
versions that were reviewed. Of two labels by one person of the same answers, the later one counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pydantic import ValidationError

from srlm_data.core import database
from srlm_data.core.errors import DataError, StoreError
from srlm_data.core.filesystem import refuse_links
from srlm_data.core.ids import row_id
from srlm_data.core.rows import Rows
from srlm_data.core.schema import LABELS, PAIRS, schema_text
from srlm_data.pipeline.provenance import circumstances
from srlm_data.report._blind import Answers
from srlm_data.report._label_files import Label
from srlm_data.store import Manifest, Store
from srlm_data.store.access import DRAFTS

_Row = dict[str, Any]


def labels_of(name: str) -> str:
    """Return the dataset that holds the labels of a dataset."""
    return f"{name}_labels"


def _read(store: Store, name: str) -> list[_Row]:
    """Return all labels of a dataset so far."""
    if labels_of(name) not in store.names():
        return []
    return list(store.version(labels_of(name)).dicts())


def labelled_by(person: str, store: Store, reviewed: Manifest) -> set[Answers]:
    """Return the answers of a dataset that a person has labelled so far."""
    take_in_drafts(store, reviewed)  # left by a review whose server was killed
    rows = [row for row in _read(store, reviewed.name) if row["person"] == person]
    return {frozenset((row["first_id"], row["second_id"])) for row in rows}


def store_labels(store: Store, reviewed: Manifest, labels: Sequence[Label]) -> Manifest:
    """Add labels of any number of people and return the version with all labels so far.

    A label that names no version belongs to the ``reviewed`` one.

    Raises:
        DataError: a label is of answers that the version does not hold.
        StoreError: the version that a label names is not in the store.
    """
    with store.lock(labels_of(reviewed.name), wait=True):
        return _store(store, reviewed, labels)


def keep_draft(store: Store, reviewed: Manifest, label: Label) -> None:
    """Save a label on disk; :func:`take_in_drafts` adds it to a version."""
    with store.lock(labels_of(reviewed.name), wait=True):
        file = _drafts(store, reviewed)
        file.parent.mkdir(exist_ok=True)
        with file.open("a", encoding="utf-8") as handle:
            # A line break first, since a killed writer may have left half a line.
            handle.write(f"\n{label.model_dump_json()}\n")
            handle.flush()
            os.fsync(handle.fileno())


def take_in_drafts(store: Store, reviewed: Manifest) -> Manifest | None:
    """Add the labels that reviews have saved; return the latest version, if there is one."""
    name = labels_of(reviewed.name)
    file = _drafts(store, reviewed)
    if file.is_file():  # else nothing is written: the store may be read-only
        with store.lock(name, wait=True):
            labels = []
            for line in file.read_text(encoding="utf-8").split("\n") if file.is_file() else ():
                with contextlib.suppress(ValidationError):  # half a line, never acknowledged
                    labels.append(Label.model_validate_json(line))
            if labels:
                manifest = _store(store, reviewed, labels)
                file.unlink()
                return manifest
    return store.resolve(name) if name in store.names() else None


def _drafts(store: Store, reviewed: Manifest) -> Path:
    file = store.root / DRAFTS / f"{reviewed.name}.jsonl"
    refuse_links(file)
    return file


def _store(store: Store, reviewed: Manifest, labels: Sequence[Label]) -> Manifest:
    name = labels_of(reviewed.name)
    rows = {row["label_id"]: row for row in _read(store, reviewed.name)}
    before = dict(rows)
    for row in _rows(store, reviewed, labels):
        earlier = rows.get(row["label_id"])
        if not earlier or (
            _said(row) != _said(earlier) and row["labelled_at"] >= earlier["labelled_at"]
        ):
            rows[row["label_id"]] = row
    if rows == before:
        return store.resolve(name)
    refs = sorted({row["reviewed"] for row in rows.values()})
    labelled = Rows.of(LABELS, rows.values())
    labelled.notes["people"] = dict(sorted(Counter(row["person"] for row in rows.values()).items()))
    return store.commit(
        name,
        labelled,
        identity=_IDENTITY,
        inputs=[(f"reviewed[{place}]", _opened(store, ref)) for place, ref in enumerate(refs)],
        complete=_complete,
    )


_IDENTITY: Final = {
    "step": "review",
    "revision": 1,
    "type": LABELS.name,
    "schema": row_id(schema_text(LABELS.schema))[:8],
}


def _complete(manifest: Manifest) -> Manifest:
    """Return the manifest with its rows in the identity, for no settings determine the labels."""
    return dataclasses.replace(
        manifest,
        identity={**manifest.identity, "config": {"labels": manifest.content}},
        provenance=circumstances(),
    )


def _said(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["first_id"], row["choice"], row["note"]


def _opened(store: Store, ref: str) -> Manifest:
    name, _, version = ref.partition("@")
    manifest = store.find(name, version)
    if manifest is None:
        raise StoreError(
            f"{ref}: it was reviewed, but is not in the store. Pull it, or build its recipe again."
        )
    return manifest


def _rows(store: Store, reviewed: Manifest, labels: Sequence[Label]) -> list[_Row]:
    """Return labels as rows; their answers are looked up in the version that was reviewed."""
    by_version: defaultdict[str, list[Label]] = defaultdict(list)
    for label in labels:
        by_version[label.reviewed or reviewed.ref].append(label)
    rows = []
    for ref, part in by_version.items():
        if ref.partition("@")[0] != reviewed.name:
            raise DataError(
                f"{ref!r:.100}: these labels belong to another dataset than {reviewed.name}. Name "
                "the one that was reviewed."
            )
        opened = _opened(store, ref)
        prompts = _prompts(store, opened, part)
        for label in part:
            prompt = prompts.get(label.label_id)
            if prompt is None:
                answers = f"{label.first_id} and {label.second_id}"
                raise DataError(
                    f"{opened.ref}: it does not contain the answers {answers:.80} that "
                    f"'{label.person}' labeled. Import labels of this dataset."
                )
            at = label.labelled_at.astimezone(UTC).isoformat(timespec="milliseconds")
            own = {"label_id": label.label_id, "labelled_at": at, "note": label.note or None}
            rows.append({**label.model_dump(), **own, **prompt, "reviewed": opened.ref})
    return rows


def _prompts(store: Store, opened: Manifest, labels: Sequence[Label]) -> dict[str, _Row]:
    """Return label id -> ids of the prompt and the pair, for labels of answers in the version."""
    wanted = pa.Table.from_pylist(
        [
            {
                "label_id": label.label_id,
                "low": min(label.first_id, label.second_id),
                "high": max(label.first_id, label.second_id),
            }
            for label in labels
        ]
    )
    with database.connect(memory=database.LOOKING) as connection:
        store.rows(opened).view(connection, "opened")
        connection.register("wanted", wanted)
        query = _OF_PAIRS if opened.type == PAIRS.name else _OF_CANDIDATES
        return {row.pop("label_id"): row for row in database.dicts(connection, query)}


_OF_PAIRS: Final = """
    SELECT label_id, prompt_id, pair_id FROM wanted JOIN opened
      ON low = least(chosen_id, rejected_id) AND high = greatest(chosen_id, rejected_id)
"""
_OF_CANDIDATES: Final = """
    SELECT label_id, one.prompt_id, NULL AS pair_id FROM wanted
      JOIN opened AS one ON one.candidate_id = low AND low <> high
      JOIN opened AS other ON other.candidate_id = high AND other.prompt_id = one.prompt_id
"""
