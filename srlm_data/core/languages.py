"""Codes of languages: ISO 639 and, where it matters, a region (``en``, ``pt-BR``)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_CODE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def is_code(text: str) -> bool:
    """Return whether a text has the form of a language's code."""
    return bool(_CODE.fullmatch(text))


def check_codes(codes: Iterable[str]) -> tuple[str, ...]:
    """Return codes of languages, each once.

    Raises:
        ValueError: one has not the form of a code; the message is one phrase.
    """
    codes = tuple(dict.fromkeys(codes))
    for code in codes:
        if not is_code(code):
            raise ValueError(f"a language is an ISO 639 code such as en or pt-BR, found '{code}'")
    return codes
