"""JSON files that know their own checksum: a changed byte anywhere in one is found when it is read.

The checksum is the last key, ``sha256``, over all the bytes before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

_BEFORE: Final = b',\n  "sha256": "'


def dumps(value: Mapping[str, Any]) -> bytes:
    """The bytes of a file that holds ``value``, an object that is not empty."""
    head = json.dumps(value, indent=2, ensure_ascii=False).removesuffix("\n}").encode()
    return head + _after(head)


def loads(data: bytes) -> dict[str, Any]:
    """Return the object that :func:`dumps` has written; ValueError where a byte is another."""
    head, _, _ = data.rpartition(_BEFORE)
    if not head or data != head + _after(head):
        raise ValueError("bytes that do not match their checksum")
    try:
        value: dict[str, Any] = json.loads(data)
    except RecursionError:
        raise ValueError("values nested without end") from None
    del value["sha256"]
    return value


def _after(head: bytes) -> bytes:
    return _BEFORE + hashlib.sha256(head).hexdigest().encode() + b'"\n}\n'
