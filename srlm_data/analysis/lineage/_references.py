"""Which column of which dataset type names a row of which other, and how to say so."""

from __future__ import annotations

from typing import Final, NamedTuple


class Reference(NamedTuple):
    """How a row names its parents.

    Attributes:
        up: what it is to a parent, or the parent to it, in a word: a pair's candidate is "chosen".
        down: what came of the parent by it; None is not told row by row (a model writes thousands).
        column: where it names them, one or a list.
        targets: the dataset types that they may be of, and the columns that are meant, likeliest
        first.
    """

    up: str
    down: str | None
    column: str
    targets: tuple[tuple[str, str], ...]


_CANDIDATE: Final = (("candidates", "candidate_id"),)
_MODEL: Final = (("models", "model"),)
_WRITTEN: Final = Reference("written by", None, "model", _MODEL)

REFERENCES: Final = {
    "messages": (
        Reference("reply to", "replied to by", "parent_id", (("messages", "message_id"),)),
    ),
    "examples": (
        Reference(
            "made from", "made into", "source_id",
            (("messages", "message_id"), ("judgments", "judgment_id")),
        ),
    ),
    "prompts": (
        Reference(
            "made from", "made into", "source_ids",
            (("examples", "prompt_id"), ("prompts", "prompt_id")),
        ),
        _WRITTEN,
    ),
    "candidates": (
        Reference("answer to", "answered by", "prompt_id", (("prompts", "prompt_id"),)),
        _WRITTEN,
    ),
    "judgments": (
        Reference("judgment of", "judged in", "candidate_id", _CANDIDATE),
        _WRITTEN,
    ),
    "scores": (
        Reference("score of", "scored in", "candidate_id", _CANDIDATE),
        Reference("preferred by", None, "model", _MODEL),
        Reference("measured from", None, "reference", _MODEL),
    ),
    "comparisons": (
        Reference("first", "compared in", "first_id", _CANDIDATE),
        Reference("second", "compared in", "second_id", _CANDIDATE),
        _WRITTEN,
    ),
    "pairs": (
        Reference("chosen", "chosen in", "chosen_id", _CANDIDATE),
        Reference("rejected", "rejected in", "rejected_id", _CANDIDATE),
    ),
    "models": (
        Reference("began as", "became", "base", _MODEL),
        Reference("measured from", None, "reference", _MODEL),
    ),
    "metrics": (
        Reference("measured on", "measured by", "model", _MODEL),
        Reference("against", None, "versus", _MODEL),
    ),
    "labels": (
        Reference("label of", "labelled in", "pair_id", (("pairs", "pair_id"),)),
        Reference("shown first", "labelled in", "first_id", _CANDIDATE),
        Reference("shown second", "labelled in", "second_id", _CANDIDATE),
    ),
}  # fmt: skip
