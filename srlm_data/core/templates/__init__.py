"""Prompt templates: text files with ``{placeholders}``, never strings in code.

A template is filled in one pass, so braces in model text are text. The tags that a template closes
(``</response>``) are fences, and whatever looks like them in a filled-in text is defused: an answer
cannot close its fence and speak to the judge from outside.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

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
        """Text and names of placeholders in turn; the text is read once, not for every answer."""
        return _PLACEHOLDER.split(self.text)

    @cached_property
    def _tags(self) -> re.Pattern[str]:
        """What may not stand in a text that is filled in: whatever looks like a fence's tag."""
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
        """A text that closes no fence."""
        if text.isascii() and "<" not in text:  # nor does it open any
            return text
        return self._tags.sub("&lt;", text)


def shipped() -> list[str]:
    """Names of the templates that come with the package."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.txt"))


def load(name: str, base: Path = Path()) -> Template:
    """A shipped template by its name, or a text file by its path relative to ``base``.

    Raises:
        LookupError: there is neither.
        ValueError: the file is no text.
    """
    file = Path(__file__).parent / f"{name}.txt" if name in shipped() else base / name
    if not os.path.isfile(file):  # noqa: PTH113 - says no to a name that is no name
        raise LookupError(f"no template '{name}': neither a file nor one of {shipped()}")
    try:
        return Template(name, filesystem.read_text(file).rstrip("\n"))
    except ValueError as error:
        raise ValueError(f"template '{name}' cannot be read, found {error}") from None
