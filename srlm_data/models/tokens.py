"""Tokens that trainings share: made once for a file of rows, a tokenizer and a length.

    <folder>/<key>/tokens.arrow    an Arrow stream, which a trainer maps into its memory
                  /tokens.json     what they were made from, their hash, what was dropped and why
    <folder>/<key>.lock            shared by all who read them, held alone by who makes them
    <folder>/.<key>/               in the making

The key is the hash of all that decides the tokens, so a resumed run, another seed or learning rate
and the next model over the same rows find them. They are a cache: what is damaged or half made is
made anew, and the whole folder may be deleted whenever nobody trains.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from srlm_data.core import checked_json, filesystem, locks
from srlm_data.core.ids import row_id

_ARROW: Final = "tokens.arrow"
_FACTS: Final = "tokens.json"

Make = Callable[[Counter[str], Counter[str]], Iterator[pa.RecordBatch]]
"""Makes tokens; counts on the way the rows that it drops, and those that it has a remark about."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of a file of rows.

    Attributes:
        file: an Arrow stream.
        rows: how many there are.
        drops: reason -> rows that were left out.
        notes: remark -> rows that it is true of.
        made: whether they were made just now.
    """

    file: Path
    rows: int
    drops: dict[str, int]
    notes: dict[str, int]
    made: bool


@contextlib.contextmanager
def held(
    folder: Path, made_from: Mapping[str, Any], schema: pa.Schema, make: Make
) -> Iterator[Tokens]:
    """Tokens of ``folder``, made first where they are missing; nobody deletes them meanwhile.

    Of several processes that want the same ones, one makes them and the others wait.

    Args:
        folder: where all tokens lie.
        made_from: what decides them, plain JSON; its ``data`` is the SHA-256 of the file of rows.
        schema: of what ``make`` gives.
        make: called where they are missing.

    Raises:
        StoreError: the disk refuses, or something in the way is a link.
    """
    key = row_id("tokens", dict(made_from))
    final = folder / key
    filesystem.refuse_links(folder, final)
    made = False
    while True:
        with locks.locked(lock(final), shared=True, wait=True):
            if found := _whole(final):
                yield Tokens(final / _ARROW, found["rows"], found["drops"], found["notes"], made)
                return
        with locks.locked(lock(final), wait=True):
            if not _whole(final):  # nobody was quicker
                with filesystem.refusals(folder):
                    _make(final, made_from, schema, make)
                made = True


def lock(place: Path) -> Path:
    """The lock of tokens, finished or in the making."""
    return place.with_name(f"{place.name.removeprefix('.')}.lock")


def data(place: Path) -> str | None:
    """The SHA-256 of the rows that tokens were made from; None where nobody can say."""
    try:
        found = checked_json.loads((place / _FACTS).read_bytes())["made_from"]["data"]
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return str(found)


def _make(final: Path, made_from: Mapping[str, Any], schema: pa.Schema, make: Make) -> None:
    """Make tokens batch by batch; they have their place once the disk has all of them."""
    draft = final.with_name(f".{final.name}")
    for left in (draft, final):  # what a kill has left, or what is damaged
        shutil.rmtree(left, ignore_errors=True)
    draft.mkdir()
    drops, notes, rows = Counter[str](), Counter[str](), 0
    try:
        arrow = draft / _ARROW
        with pa.OSFile(str(arrow), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for batch in make(drops, notes):
                writer.write_batch(batch)
                rows += batch.num_rows
        filesystem.sync(arrow)
        facts = {
            "made_from": dict(made_from),
            "rows": rows,
            "drops": dict(drops),
            "notes": dict(notes),
            "hash": filesystem.digest(arrow),
        }
        filesystem.write_synced(draft / _FACTS, checked_json.dumps(facts))
        filesystem.sync(draft)
        draft.rename(final)
        filesystem.sync(final.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _whole(place: Path) -> dict[str, Any] | None:
    """What is known of tokens; None where they are missing, or not what was written."""
    try:
        facts = checked_json.loads((place / _FACTS).read_bytes())
        return facts if filesystem.digest(place / _ARROW) == facts["hash"] else None
    except (FileNotFoundError, ValueError, KeyError):
        return None
