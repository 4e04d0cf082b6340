"""The Open Assistant export: message trees, and the flat form with a message a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from srlm_data.core.rows import Drops
from srlm_data.steps.read._values import (
    ROLES,
    MissingColumnError,
    RecordDropError,
    check_unicode,
    is_null,
    read_flag,
    read_number,
)

_ROLES: Final = {"user": "prompter", "assistant": "assistant"}


def messages_of(record: Mapping[str, Any], drops: Drops, where: str) -> Iterator[dict[str, Any]]:
    """Yield the messages of one record of an export, which is a tree or a single message."""
    if "message_id" in record:
        try:
            tree = _text(record, "message_tree_id", "no_id")
            parent = record.get("parent_id")
            parent = None if is_null(parent) else _text(record, "parent_id", "no_id")
            yield _message(record, tree, parent)
        except RecordDropError as error:
            drops.add(str(error), where, record)
    elif "prompt" in record:
        yield from messages_of_tree(record, drops, where)
    else:
        raise MissingColumnError(
            f"{where}: neither a message tree ('prompt') nor a message ('message_id'), found the "
            f"keys {sorted(record)[:8]}. Export Open Assistant trees or messages."
        )


def messages_of_tree(
    tree: Mapping[str, Any], drops: Drops, where: str = "tree"
) -> Iterator[dict[str, Any]]:
    """Yield the messages of one Open Assistant tree as rows, parents before replies.

    Made for plug-in steps that have trees in memory: ``Rows.stream(MESSAGES, ...)`` takes them.

    Args:
        tree: ``{message_tree_id, prompt: {message_id, text, role, ..., replies: [...]}}``.
        drops: counts the malformed messages: ``no_id``, ``not_a_message``, ``not_text``,
            ``invalid_unicode``, ``unknown_role``, ``not_a_number`` (a rank), ``not_a_flag``,
            ``other_parent`` (another one is named than the message that it hangs on), and
            ``parent_dropped`` for all that hang on one of them.
        where: where the tree stands.
    """
    waiting: list[tuple[Any, str | None]] = [(tree.get("prompt"), None)]
    while waiting:
        record, parent = waiting.pop()
        replies = record.get("replies") if isinstance(record, Mapping) else None
        if not isinstance(replies, list):
            replies = [] if is_null(replies) else [replies]  # a lone value is read as one reply
        try:
            if parent == _DROPPED:
                raise RecordDropError("parent_dropped")
            if not isinstance(record, Mapping):
                raise RecordDropError("not_a_message")
            message = _message(record, _text(tree, "message_tree_id", "no_id"), parent)
            if not is_null(other := record.get("parent_id", parent)) and other != parent:
                raise RecordDropError("other_parent")
            yield message
            identity = message["message_id"]
        except RecordDropError as error:
            drops.add(str(error), where, record)
            identity = _DROPPED
        waiting += [(reply, identity) for reply in reversed(replies)]


_DROPPED: Final = ""
"""Replaces the id of a message that was dropped; no message has an empty id."""


def _message(record: Mapping[str, Any], tree: str, parent: str | None) -> dict[str, Any]:
    """Return a message as a row."""
    role = record.get("role")
    known = _ROLES.get(ROLES.get(role.lower(), "")) if isinstance(role, str) else None
    if known is None:
        raise RecordDropError("unknown_role")
    return {
        "message_id": _text(record, "message_id", "no_id"),
        "parent_id": parent,
        "tree_id": tree,
        "role": known,
        # Null is read as an empty text.
        "text": "" if is_null(record.get("text")) else _text(record, "text", "not_text"),
        "lang": None if is_null(record.get("lang")) else _text(record, "lang", "not_text"),
        "rank": _rank(record),
        "review_result": _flag(record, "review_result"),
        "deleted": _flag(record, "deleted") or False,
        "synthetic": _flag(record, "synthetic") or False,
    }


def _text(record: Mapping[str, Any], name: str, otherwise: str) -> str:
    """Return a required text, or drop the record with the reason ``otherwise``."""
    value = record.get(name)
    if not isinstance(value, str) or (not value and otherwise == "no_id"):
        raise RecordDropError(otherwise)
    return check_unicode(value)


def _flag(record: Mapping[str, Any], name: str) -> bool | None:
    value = record.get(name)
    flag = read_flag(value)
    if flag is None and not is_null(value):
        raise RecordDropError("not_a_flag")
    return flag


def _rank(record: Mapping[str, Any]) -> int | None:
    rank = read_number(record.get("rank"))
    if rank is not None and (rank % 1 or not 0 <= rank < 2**31):
        raise RecordDropError("not_a_number")
    return None if rank is None else int(rank)
