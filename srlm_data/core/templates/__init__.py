"""Prompt templates: text files with ``{placeholders}``, never strings in code.

A template is filled in one pass, so braces in model text are text. The tags that a template closes
(``</response>``) are fences, and anything that looks like them in a filled-in text is escaped: an
answer cannot close its fence and address the judge from outside.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from srlm_data.core import filesystem
from srlm_data.core.templates import _fence

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Template:
    """A template's ``name`` (for messages) and its ``text`` (its identity)."""

    name: str
    text: str

    @cached_property
    def placeholders(self) -> frozenset[str]:
        """The names that :meth:`fill` wants."""
        return frozenset(self._parts[1::2])

    @cached_property
    def _parts(self) -> list[str]:
        """Texts and names of placeholders in turn; split once, not for every answer."""
        return _PLACEHOLDER.split(self.text)

    @cached_property
    def _tags(self) -> re.Pattern[str]:
        """The pattern of brackets of whatever looks like a fence's tag; `fill` escapes them."""
        return _fence.pattern(_fence.names(self.text))

    def fill(self, **values: str) -> str:
        """The text with every placeholder replaced, in one pass.

        Raises:
            LookupError: a placeholder has no value, or a value has no placeholder.
        """
        if values.keys() != self.placeholders:
            raise LookupError(
                f"template '{self.name}' has the placeholders {sorted(self.placeholders)}, "
                f"found values for {sorted(values)}"
            )
        parts = self._parts.copy()
        parts[1::2] = [self._defused(values[name]) for name in parts[1::2]]
        return "".join(parts)

    def _defused(self, text: str) -> str:
        """Return a text with its brackets escaped where they could open or close a fence."""
        if text.isascii() and "<" not in text:  # no bracket to escape
            return text
        return self._tags.sub("&lt;", text)


_SHIPPED: Final = Path(__file__).parent / "*.txt"


def shipped(files: Path = _SHIPPED) -> list[str]:
    """Names of the templates that come with the package; ``files`` is a pattern of theirs."""
    return sorted(file.stem for file in files.parent.glob(files.name))


def load(name: str, base: Path = Path()) -> Template:
    """A shipped template by its name, or a text file by its path; see :func:`read_text`."""
    return Template(name, read_text(name, base, _SHIPPED, "template").rstrip("\n"))


def read_text(name: str, base: Path, files: Path, noun: str) -> str:
    """Return the text of a shipped file by its name, or of a file beside a recipe.

    Raises:
        ValueError: there is neither, or the file is no text.
    """
    names = shipped(files)
    file = files.with_name(f"{name}{files.suffix}") if name in names else base / name
    if not os.path.isfile(file):  # noqa: PTH113 - False for an invalid name, no error
        raise ValueError(f"no {noun} '{name}': neither a file nor one of {names}")
    try:
        return filesystem.read_text(file)
    except ValueError as error:
        raise ValueError(f"{noun} '{name}' cannot be read, found {error}") from None
