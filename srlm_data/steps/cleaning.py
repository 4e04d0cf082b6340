"""rows -> fewer rows: without what a model is measured with, and without near duplicates.

The paper keeps its evaluation prompts out by hand; open pipelines do it by shared n-grams of words.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from pydantic import Field

from srlm_data.core.config import Config
from srlm_data.core.errors import DataError
from srlm_data.core.messages import text_of
from srlm_data.core.rows import Drops, Rows
from srlm_data.steps._novelty import Novelty
from srlm_data.steps._words import words

_CONVERSATIONS: Final = ("prompt", "completion", "chosen", "rejected")
_FEWEST_WORDS: Final = 4
"""An evaluation text of fewer words is too common: only a prompt equal to it is dropped."""


class Decontaminate(Config):
    """When a row is too like a text of an evaluation set."""

    rows_at_most = "rows"
    n: int = Field(8, ge=2, description="Words per n-gram; a shorter text must match as a whole.")
    min_overlap: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of an evaluation text's n-grams at which a row is dropped; a very small "
        "share drops it for a single n-gram.",
    )


def decontaminate(config: Decontaminate, rows: Rows, against: dict[str, Rows]) -> Rows:
    """Drop the rows whose prompt or answer shares n-grams with evaluation sets.

    An evaluation set is any dataset with prompts (``read_prompts`` reads one); its prompts are
    searched for. Words are compared without case and punctuation, in any script. A text of fewer
    than four words is searched for only as a whole prompt.

    Drops: ``overlaps_NAME`` for each named evaluation set. The notes have, for each, its texts and
    how many of them were found; examples of dropped rows are kept with the drops.
    """
    _check_prompts("rows", rows)
    for name, dataset in against.items():
        _check_prompts(name, dataset)
    drops, notes = Drops(), dict[str, Any]()

    def batches() -> Iterator[pa.RecordBatch]:
        index = _Index(config.n, against)
        for batch in rows.batches():
            mask = []
            for row in batch.to_pylist():
                text = _text(row)
                match = index.find(text, _asked(row["prompt"]), config.min_overlap)
                mask.append(match is None)
                if match:
                    evaluation = f"row: {text} / {match[0]}: {match[1]}"
                    drops.add(f"overlaps_{match[0]}", row[rows.type.id], evaluation)
            yield batch.filter(pa.array(mask, pa.bool_()))
        notes["against"] = index.counts()

    return Rows.reading(rows.type, batches(), drops=drops, notes=notes)


class _Index:
    """An index from n-grams to the evaluation texts that contain them."""

    def __init__(self, n: int, against: Mapping[str, Rows]) -> None:
        self._texts: list[tuple[str, str, int]] = []  # evaluation set, text, its n-grams
        self._grams: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        self._short: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        self._found: set[int] = set()
        prompts = ((name, row) for name, rows in against.items() for row in rows.tuples("prompt"))
        for name, (prompt,) in prompts:
            text = _asked(prompt)
            if used := words(text):
                grams = _grams(used, min(n, len(used)))
                for gram in grams:
                    known = self._grams if len(used) >= _FEWEST_WORDS else self._short
                    known[gram].append(len(self._texts))
                self._texts.append((name, text, len(grams)))
        self._sizes = set(map(len, self._grams))

    def find(self, text: str, prompt: str, share: float) -> tuple[str, str] | None:
        """Return the set and the text with the largest overlap; None if all are below ``share``."""
        used = words(text)
        shared: Counter[int] = Counter()
        for size in self._sizes:
            for gram in _grams(used, size):
                shared.update(self._grams.get(gram, ()))
        shared.update(self._short.get(tuple(words(prompt)), ()))
        overlaps = {place: count / self._texts[place][2] for place, count in shared.items()}
        matches = [place for place, overlap in overlaps.items() if overlap >= share]
        self._found.update(matches)
        best = max(matches, key=lambda place: (overlaps[place], -place), default=None)
        return None if best is None else self._texts[best][:2]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return, for each evaluation set, its texts and those that were found."""
        texts = Counter(name for name, *_ in self._texts)
        matched = Counter(self._texts[place][0] for place in self._found)
        return {name: {"texts": count, "found": matched[name]} for name, count in texts.items()}


def _asked(prompt: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(turn["content"] for turn in prompt if turn["role"] == "user")


def _grams(used: Sequence[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(used[place : place + size]) for place in range(len(used) - size + 1)}


class DropNearDuplicates(Config):
    """When two prompts are too like each other."""

    rows_at_most = "rows"
    max_similarity: float = Field(
        0.7, gt=0, le=1, description="Maximum ROUGE-L F1 of a prompt with an earlier one."
    )


def drop_near_duplicates(config: DropNearDuplicates, rows: Rows) -> Rows:
    """Drop the rows whose prompt is nearly another row's prompt, as self-instruction does.

    The first of several similar prompts is kept with all its rows: answers to one prompt are not
    duplicates of each other. The time grows with the square of the prompts.

    Drops: ``near_duplicate``.
    """
    _check_prompts("rows", rows)
    drops = Drops()

    def batches() -> Iterator[pa.RecordBatch]:
        novelty = Novelty(config.max_similarity)
        known: dict[str, bool] = {}
        for batch in rows.batches():
            mask = []
            for row in batch.to_pylist():
                identity, prompt = row["prompt_id"], _prompt(row)
                if identity not in known:
                    known[identity] = novelty.take(prompt)
                if not known[identity]:
                    drops.add("near_duplicate", row[rows.type.id], prompt)
                mask.append(known[identity])
            yield batch.filter(pa.array(mask, pa.bool_()))

    return Rows.reading(rows.type, batches(), drops=drops)


def _check_prompts(name: str, rows: Rows) -> None:
    if not {"prompt", "prompt_id"} <= set(rows.type.schema.names):
        raise DataError(
            f"{name}: expected rows with prompts, found {rows.type.name}. Name prompts, examples, "
            "candidates or pairs."
        )


def _prompt(row: Mapping[str, Any]) -> str:
    return "\n".join(map(text_of, row["prompt"]))


def _text(row: Mapping[str, Any]) -> str:
    """Return all text that a model would be trained on: a row's prompt and its answers."""
    turns = [turn for name in _CONVERSATIONS for turn in row.get(name) or ()]
    return "\n".join([*map(text_of, turns), row.get("response") or ""])
