"""The Open Assistant export: message trees, and the flat form with a message a record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from srlm_data.core.errors import DataError
from srlm_data.steps._conversations import is_null
from srlm_data.steps._records import brief, text, wrong_type


def messages_of(record: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """The messages of one record of an export, which is a tree or a single message.

    Raises:
        DataError: the record is neither, or a field is missing or of the wrong type.
    """
    if "prompt" in record and "message_id" not in record:
        yield from messages_of_tree(record, where)
    elif "message_id" in record:
        tree = text(record, "message_tree_id", where)
        yield _message(record, where, tree, _text_or_none(record, "parent_id", where))
    else:
        raise DataError(
            f"{where}: neither a message tree ('prompt') nor a message ('message_id'), found the "
            f"keys {sorted(record)[:8]}. Export Open Assistant trees or messages."
        )


def messages_of_tree(tree: Mapping[str, Any], where: str = "tree") -> Iterator[dict[str, Any]]:
    """The messages of one Open Assistant tree as rows, parents before replies.

    Made for plug-in steps that have trees in memory: ``Rows.stream(MESSAGES, ...)`` takes them.

    Args:
        tree: ``{message_tree_id, prompt: {message_id, text, role, ..., replies: [...]}}``.
        where: what error sentences begin with.

    Raises:
        DataError: a field is missing or of the wrong type, or a reply names another parent than
            the message that it hangs on.
    """
    tree_id = text(tree, "message_tree_id", where)
    waiting: list[tuple[Any, str | None]] = [(tree.get("prompt"), None)]
    while waiting:
        record, parent = waiting.pop()
        if not isinstance(record, Mapping):
            raise DataError(
                f"{where}: a message is an object, found {brief(record)}. Mend the record."
            )
        message = _message(record, where, tree_id, parent)
        if not is_null(named := record.get("parent_id", parent)) and named != parent:
            raise DataError(
                f"{where}: message '{message['message_id']}' names the parent "
                f"{brief(named)} but hangs on '{parent}'. Mend the record."
            )
        yield message
        replies = record.get("replies") or []
        if not isinstance(replies, list):
            raise wrong_type(where, "replies", "list", replies)
        waiting += [(reply, message["message_id"]) for reply in reversed(replies)]


_FLAGS: Final = ("deleted", "synthetic")
_ROLES: Final = ("prompter", "assistant")


def _message(
    record: Mapping[str, Any], where: str, tree: str, parent: str | None
) -> dict[str, Any]:
    row: dict[str, Any] = {"message_id": text(record, "message_id", where)}
    row["text"] = _text_or_none(record, "text", where) or ""  # null says nothing, as a blank does
    row |= {"tree_id": tree, "parent_id": parent, "role": record.get("role")}
    if row["role"] not in _ROLES:
        raise DataError(
            f"{where}: 'role' is one of {_ROLES}, found {brief(row['role'])}. Mend the record."
        )
    row["rank"] = _rank(record.get("rank"), where)
    row["lang"] = _text_or_none(record, "lang", where)
    row["review_result"] = _flag(record, "review_result", where)
    for name in _FLAGS:
        row[name] = _flag(record, name, where) or False
    return row


# Tables that pandas has written hold ranks and flags as floats or texts, and a missing one as NaN.


def _text_or_none(record: Mapping[str, Any], name: str, where: str) -> str | None:
    return None if is_null(record.get(name)) else text(record, name, where)


def _flag(record: Mapping[str, Any], name: str, where: str) -> bool | None:
    value = record.get(name)
    if is_null(value) or isinstance(value, bool):
        return None if is_null(value) else bool(value)
    if str(value) in ("1.0", "0.0", "True", "False", "true", "false"):
        return str(value) in ("1.0", "True", "true")
    raise wrong_type(where, name, "bool", value)


def _rank(value: object, where: str) -> int | None:
    if is_null(value):
        return None
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or value % 1
        or not 0 <= value < 2**31
    ):
        raise wrong_type(where, "rank", "a whole number from 0 on", value)
    return int(value)
