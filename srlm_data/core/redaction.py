"""Keys and tokens, kept out of whatever is written down or said.

What is secret is known by the name that it has in the environment or among an engine's options
(``HF_TOKEN``, ``api_key``), or by its shape (``hf_...``, ``sk-...``, the password in an address).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

SECRET_NAME: Final = re.compile(
    r"(token|key|secret|password|passwd|passphrase|credentials?)s?$", re.IGNORECASE
)
TOKENS: Final = (
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{30,}"
    r"|gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
    r"|xox[abp]-[A-Za-z0-9-]{10,})"
)
"""The pattern of access tokens, a regular expression for both Python and DuckDB."""
_SHAPES: Final = re.compile(
    TOKENS + r"|(?<=://)[^/\s:@]{1,100}:[^/\s@]{1,200}(?=@)",  # or user:password in a URL
    re.ASCII,
)
_SHORTEST: Final = 8
"""Shorter values (``KEY=1``) stay: they are no secrets, and they occur in any sentence."""

_told: Final[dict[str, str]] = {}


def remember(options: Mapping[str, Any]) -> None:
    """Keep the values of options with the names of secrets out of what is said from now on."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            remember({str(key): inner for key, inner in value.items()})
        elif isinstance(value, str) and SECRET_NAME.search(name):
            _told[value] = name


def redacted(text: str) -> str:
    """``text`` with every secret in it replaced by its name in brackets: ``[HF_TOKEN]``."""
    secrets = {value: name for name, value in os.environ.items() if SECRET_NAME.search(name)}
    secrets |= _told
    # Longest first: one secret may be a prefix of another.
    for value in sorted(secrets, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, f"[{secrets[value]}]")
    return _SHAPES.sub("[a key]", text)
