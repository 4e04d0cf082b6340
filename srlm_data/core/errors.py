"""Expected failures, each kind with the exit code of the command.

Every message has one form: ``where: what is wrong. What to do.``
Any other exception is a bug and shows its traceback (exit 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class SrlmError(Exception):
    """An expected failure; its text is shown to the user unchanged."""

    exit_code = 1


class ArgumentError(SrlmError):
    """An argument of a function, or of the command that calls it, is wrong."""

    exit_code = 2


class RecipeError(SrlmError):
    """A recipe is wrong. ``problems`` holds every mistake, one sentence each."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DataError(SrlmError):
    """Rows that cannot be read, or that break a rule of their dataset type."""

    exit_code = 3


class StoreError(SrlmError):
    """A version that is missing or damaged, or a store that cannot be used."""

    exit_code = 4


class DamagedError(StoreError):
    """Bytes of the store are not what was written; their content can be made again."""


class BusyError(StoreError):
    """Another process holds the lock of a version; the message names the holder."""

    exit_code = 5


class EngineError(SrlmError):
    """Text generation cannot start or continue."""

    exit_code = 6


class UnfinishedError(EngineError):
    """Everything was built, but some versions lack the answers of failed requests.

    ``manifests`` are those of the whole build, by name.
    """

    def __init__(self, sentence: str, manifests: Mapping[str, Any]) -> None:
        super().__init__(sentence)
        self.manifests = manifests


class TrainingError(SrlmError):
    """A training run was refused before it began, or failed."""

    exit_code = 7


class MissingError(SrlmError):
    """An optional package is not installed; the message says how to get it."""

    exit_code = 8


class HubError(SrlmError):
    """The Hub refused a request, failed, or holds something other than what was published."""

    exit_code = 9


class BoundError(SrlmError):
    """A limit that the user set was reached; everything made and answered is kept.

    ``manifests`` are those of the finished versions, by name; ``remaining`` names the others.
    """

    exit_code = 11

    def __init__(
        self,
        sentence: str,
        manifests: Mapping[str, Any] | None = None,
        remaining: Iterable[str] = (),
    ) -> None:
        super().__init__(sentence)
        self.manifests = manifests or {}
        self.remaining = list(remaining)


class PreflightError(SrlmError):
    """Everything that would stop a build, one error each; its exit code is that of the first."""

    def __init__(self, *errors: SrlmError) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors
        self.exit_code = errors[0].exit_code


def first_line(error: Exception) -> str:
    """Return the first line of what a library says; what follows is for its own authors."""
    return str(error).strip().partition("\n")[0]


def fault_text(error: ValueError) -> str:
    """Return what is wrong with a value, in words: of what pydantic refuses, the first and where.

    ``'rows': Input should be a valid integer``
    """
    if not hasattr(error, "errors"):
        return str(error)
    fault = error.errors(include_url=False, include_input=False)[0]
    message: str = fault["msg"].removeprefix("Value error, ")
    return f"'{'.'.join(map(str, fault['loc']))}': {message}" if fault["loc"] else message


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for a misspelt ``word``, or an empty string when nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def counted(count: int, thing: str) -> str:
    """How many of what, for a sentence: ``1 model``, ``2,000 models``."""
    return f"{count:,} {thing if count == 1 else f'{thing}s'}"
