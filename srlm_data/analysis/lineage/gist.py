"""A row in one line, for lists, trees and graphs: what it says, not where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srlm_data.core.messages import text_of


def gist(dataset_type: str, row: Mapping[str, Any], width: int = 80) -> str:
    """What a row of a dataset type says, on one line of at most ``width`` characters."""
    match dataset_type:
        case "messages":
            text = f"{row['role']}: {row['text']}"
        case "examples":
            text = f"{_last(row['prompt'])} -> {_last(row['completion'])}"
        case "prompts":
            text = _last(row["prompt"])
        case "candidates":
            text = row["response"]
        case "judgments":
            text = f"{_scored(row['state'], row['score'])}: {row['text']}"
        case "scores":
            text = f"{row['method']}: {_scored('no score', row['score'])}"
        case "comparisons":
            text = f"{row['winner'] or row['state']}: {row['text']}"
        case "pairs":
            margin = "" if row["margin"] is None else f"by {row['margin']:g}: "
            text = f"{margin}{_last(row['chosen'])} > {_last(row['rejected'])}"
        case "models":
            text = row["method"] + ("" if row["examples"] is None else f" on {row['examples']:,}")
        case "metrics":
            value = "null" if row["value"] is None else f"{row['value']:.4g}"
            text = f"{row['metric']} = {value}"
        case "labels":
            note = f": {row['note']}" if row["note"] else ""
            text = f"{row['choice']}, by {row['person']}{note}"
        case _:
            text = ""
    return shortened(text, width)


def shortened(text: str, width: int) -> str:
    """A text on one line; what is too long ends in ``...``."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 3] + "..."


def short(ref: str) -> str:
    """Return ``name@version`` with the first 8 digits of the version."""
    name, at, version = ref.partition("@")
    return f"{name}{at}{version[:8]}"


def _last(conversation: list[dict[str, str]]) -> str:
    return text_of(conversation[-1])


def _scored(state: str, score: float | None) -> str:
    return state if score is None else f"{score:g}"
