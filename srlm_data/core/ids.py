"""Ids of rows: hashes of what decides a row, the same on every machine and in every version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from srlm_data.core.messages import data_of
from srlm_data.core.schema import Message


def row_id(*parts: object) -> str:
    """Return a stable id of 32 hex digits, derived from ``parts`` (any JSON values).

    The same parts give the same id on every machine and in every version of Python; the
    boundary between parts counts, so ``row_id("ab", "c")`` differs from ``row_id("a", "bc")``.

    Raises:
        TypeError: a part is not plain JSON.
    """
    payload = ",".join([_encode(part) for part in parts])
    return hashlib.blake2b(f"[{payload}]".encode(), digest_size=16).hexdigest()


def row_ids(*columns: str | Sequence[object]) -> list[str]:
    """Return the ids of many rows: :func:`row_id` of each; a plain text applies to all rows.

    ``row_ids("judgment", ["a", "b"], [0, 1])`` are the ids of ``("judgment", "a", 0)`` and of
    ``("judgment", "b", 1)``.

    Raises:
        TypeError: a part is not plain JSON.
        ValueError: the columns are not of one length.
    """
    rows = {len(column) for column in columns if not isinstance(column, str)}
    if len(rows) != 1:
        raise ValueError(f"ids: columns of {sorted(rows)} rows; give some, of one length")
    begun = hashlib.blake2b(b"[", digest_size=16)  # copying takes half the time of a new hash
    ids = []
    for row in map(",".join, zip(*map(_encode_column, columns), strict=False)):
        digest = begun.copy()
        digest.update(b"%b]" % row.encode())
        ids.append(digest.hexdigest())
    return ids


def _encode_column(column: str | Sequence[object]) -> Iterable[str]:
    if isinstance(column, str):
        return repeat(encode_basestring_ascii(column))
    encode: Callable[[Any], str] = _encode
    if column and type(column[0]) is str:  # the usual case; it raises on other types
        encode = encode_basestring_ascii
    return map(encode, column)


def _encode(part: object) -> str:
    # Most parts are texts or integers, and a JSON encoder would take longer than the hash.
    if type(part) is str:
        return encode_basestring_ascii(part)
    return str(part) if type(part) is int else _ENCODER.encode(part)


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
"""Made once: making an encoder takes as long as using it."""


def prompt_id(prompt: Sequence[Message]) -> str:
    """Return the id of a conversation, whoever wrote it: equal text is the same prompt."""
    return row_id("prompt", said(prompt))


def example_id(prompt: Sequence[Message], completion: Sequence[Message]) -> str:
    """Return the id of an instruction example: equal texts are the same example."""
    return row_id("ift", prompt_id(prompt), said(completion))


def said(turns: Sequence[Message]) -> list[list[object]]:
    """What an id has of a conversation: role and text of each turn, and its data if it has any."""
    return [[turn["role"], turn["content"], *filter(None, [data_of(turn)])] for turn in turns]


def held_out_share(seed: int, share: float) -> str:
    """Return SQL that holds for about a share of the prompts: a prompt's split is its id's hash."""
    return f"{draw(split_key(seed))} < {share}"


def draw(text: str) -> str:
    """Return SQL for a number from 0 to 1 that is drawn by a text."""
    return f"md5_number_lower({text}) / 18446744073709551616"


def split_key(seed: int) -> str:
    """Return SQL for what the split of a prompt is drawn by."""
    return f"concat_ws('/', {seed}, 'split', prompt_id)"
