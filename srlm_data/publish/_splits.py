"""Split rows into train and test: a few prompts are held out for a trainer's ``eval_dataset``.

Pairs and IFT examples are split. A hash of a prompt's first question decides its split, the same in
every config and publication: prompts that differ only in white space, system message or later turns
are in the same split. EFT examples are not split, for their prompts contain an answer; the prompts
that measure a judge were held out when they were selected.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from srlm_data.core import database
from srlm_data.core.ids import draw
from srlm_data.core.rows import Rows
from srlm_data.core.schema import DATASET_TYPES, EXAMPLES, PAIRS
from srlm_data.publish._bundle import Bundle, Part
from srlm_data.store import Store, shards

TEST_SHARE: Final = 0.05
"""Default share of the prompts that are held out."""

_QUESTION: Final = database.without_spaces(
    "coalesce(lower(list_filter(prompt, lambda turn: turn.role = 'user')[1].content), prompt_id)"
)

# In every config, at least one question is held out and at least one is not.
_HELD_OUT: Final = """
    WITH prompts AS (
        SELECT config, prompt_id, {place} AS place
        FROM ({rows}) GROUP BY ALL
    ), ends AS (
        SELECT min(place) AS first, max(place) AS last
        FROM prompts GROUP BY config HAVING min(place) < max(place)
    )
    SELECT DISTINCT prompt_id FROM prompts
    WHERE (place < $share OR place IN (SELECT first FROM ends))
      AND place NOT IN (SELECT last FROM ends)
"""


@dataclass(frozen=True)
class Split:
    """A split of a config, as ``datasets`` reads it."""

    name: str  # ``train`` or ``test``
    pattern: str  # glob pattern of its paths
    paths: dict[str, Path]  # path in the repository -> the file
    rows: Rows


Splits = dict[str, list[Split]]
"""Config -> its splits, ``train`` first."""


def split(bundle: Bundle, store: Store, share: float, staged: contextlib.ExitStack) -> Splits:
    """Return the splits of every config; ``share`` of the prompts are held out to test.

    The files are written to a temporary folder, which is removed when ``staged`` closes.
    """
    splits = {part.config: [_whole(store, part)] for part in bundle.parts}
    parts = [part for part in bundle.parts if share and _is_split(store, part)]
    if not parts:
        return splits
    prompts = _held_out(store, parts, share)
    # A folder outside the store, which may be read-only.
    folder = Path(staged.enter_context(tempfile.TemporaryDirectory(prefix="srlm-data-")))
    for part in parts:
        both = [_write(store, part, name, prompts, folder) for name in ("train", "test")]
        if all(each.rows.count() for each in both):  # else all rows have one prompt
            splits[part.config] = both
    return splits


def _is_split(store: Store, part: Part) -> bool:
    rows = store.rows(part.manifest)
    if part.manifest.type == EXAMPLES.name:
        return all(kind == "ift" for (kind,) in rows.tuples("kind"))
    return part.manifest.type == PAIRS.name


def _held_out(store: Store, parts: Sequence[Part], share: float) -> set[str]:
    with database.session(memory=database.LOOKING) as connection:
        for number, part in enumerate(parts):
            store.rows(part.manifest).view(connection, f"rows_{number}")
        rows = " UNION ALL ".join(
            f"SELECT {number} AS config, prompt_id, {_QUESTION} AS question FROM rows_{number}"
            for number in range(len(parts))
        )
        query = _HELD_OUT.format(rows=rows, place=draw("question"))
        return {prompt for (prompt,) in connection.execute(query, {"share": share}).fetchall()}


def _whole(store: Store, part: Part) -> Split:
    paths = {f"{part.config}/{file.name}": file for file in store.files(part.manifest)}
    return Split("train", f"{part.config}/train-*.parquet", paths, store.rows(part.manifest))


def _write(store: Store, part: Part, name: str, prompts: AbstractSet[str], folder: Path) -> Split:
    """Write the rows of the split ``name``, ``test`` for held-out prompts, in their order."""
    dataset_type = DATASET_TYPES[part.manifest.type]
    target = folder / part.config / name
    (target / "data").mkdir(parents=True)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in store.rows(part.manifest).batches():
            held_out = [prompt in prompts for prompt in batch["prompt_id"].to_pylist()]
            yield batch.filter(pa.array([is_out == (name == "test") for is_out in held_out]))

    written = shards.write(target, Rows.reading(dataset_type, batches()))
    files = [target / file.path for file in written.files]
    place = f"{part.config}/splits/{name}"
    return Split(
        name,
        f"{place}-*.parquet",
        {f"{place}{file.name.removeprefix('train')}": file for file in files},
        Rows.of_files(dataset_type, files, part.manifest.ref),
    )


def describe_splits(splits: Splits) -> str:
    """Return the card's sentences on the splits."""
    names = [f"`{config}`" for config, each in splits.items() if len(each) > 1]
    if not names:
        return "Each config has one split, `train`."
    others = ", the others `train` alone" if len(names) < len(splits) else ""
    return (
        f"{' and '.join(names)} {'have' if len(names) > 1 else 'has'} the splits `train` and "
        f"`test`{others}. Prompts with the same first question are in one of them, the same in "
        "every config and release: a hash of the question decides. The files in a config's folder "
        "hold all its rows, in the original order; its splits are in the subfolder `splits/`."
    )
