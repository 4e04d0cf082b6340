"""Access to the fields of a record by fixed names, whatever its columns are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from srlm_data.core.errors import did_you_mean
from srlm_data.core.messages import data_of, user
from srlm_data.core.schema import Message
from srlm_data.steps.read._conversations import read_turns, refuse_media
from srlm_data.steps.read._tools import with_tools
from srlm_data.steps.read._values import (
    LAYOUTS,
    MissingColumnError,
    RecordDropError,
    check_unicode,
    is_null,
    read_flag,
    read_list,
)
from srlm_data.steps.read.records import Records

NAMES: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(columns) for name, columns in LAYOUTS["fields"].items()
}
"""Field -> the columns that may hold it, in order of preference."""

_TWO_ANSWERS: Final = [tuple(columns) for columns in LAYOUTS["two_answers"]]
"""Columns of two answers that somebody compared: the fields ``first`` and ``second``."""

_PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")


class Layout(Records):
    """How the records are laid out, where that is not found by itself.

    What no layout can read is dropped: ``not_text`` (neither a text nor turns), ``unknown_role``,
    ``content_not_text`` (pictures, sounds), ``tool_calls``, ``invalid_unicode``, ``two_systems``
    (one in the conversation, another in a column), ``not_a_number``, ``no_column``.
    """

    format: Literal[
        "auto",
        "messages",
        "sharegpt",
        "alpaca",
        "prompt_completion",
        "pairs",
        "ranked",
        "two_answers",
        "kto",
    ] = Field("auto", description="Layout of the records; by default recognized by their columns.")
    columns: dict[str, str] = Field(
        {},
        description="Field: the column that holds it, or a template of columns such as "
        f"'{{title}}: {{question}}'. The fields are {', '.join(NAMES)}.",
    )

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in NAMES:
                raise ValueError(
                    f"unknown field '{name}'.{did_you_mean(name, NAMES)} "
                    f"The fields are {', '.join(NAMES)}"
                )
        return columns

    @property
    def named(self) -> dict[str, str]:
        """The columns that the recipe names, by field."""
        own = {name: getattr(self, name, None) for name in NAMES}
        usual = _OF_FORMAT.get(self.format, {})
        return {**usual, **self.columns, **{name: c for name, c in own.items() if c is not None}}

    def fields(self, record: Mapping[str, Any], where: str) -> Fields:
        """Return the fields of a record; ``where`` is its place, for error messages."""
        return Fields(record, self.named, where)


_OF_FORMAT: Final = {
    "sharegpt": {"messages": "conversations"},
    "alpaca": {"prompt": "instruction", "completion": "output"},
}
"""Layout -> field -> the column that the layout implies."""


class Fields:
    """The fields of the record at ``where``; ``columns`` are those that the recipe names."""

    def __init__(self, record: Mapping[str, Any], columns: Mapping[str, str], where: str) -> None:
        self.record = record
        self._columns = columns
        self._where = where

    def column(self, name: str) -> str | None:
        """Return the column, or the template, of a field; None where there is none."""
        if name in self._columns:
            return self._columns[name]
        return next((column for column in NAMES[name] if column in self.record), None)

    def get(self, name: str) -> Any:
        """Return a field's value; None where the record has none."""
        column = self.column(name)
        if column is None:
            return None
        if name not in self._columns or not _PLACEHOLDER.search(column):
            return self.value(column)
        filled = {place: self.value(place) for place in _PLACEHOLDER.findall(column)}
        texts = {place: "" if value is None else str(value) for place, value in filled.items()}
        if not any(map(str.strip, texts.values())):
            return None
        return _PLACEHOLDER.sub(lambda match: texts[match[1]], column).strip()

    def need(self, name: str) -> Any:
        """Return a field's value, which may be null; raise if the record has no column for it."""
        if self.column(name) is None:
            raise self.missing(NAMES[name][0])
        return self.get(name)

    def two_answers(self) -> tuple[str, str] | None:
        """Return the columns of two answers that are compared; None where there are none."""
        if "first" in self._columns and "second" in self._columns:
            return self._columns["first"], self._columns["second"]
        return next((two for two in _TWO_ANSWERS if {*two} <= self.record.keys()), None)

    def value(self, column: str) -> Any:
        """Return a column's value, or one nested in it (``data.prompt``); None where it is null."""
        value: Any = self.record
        for name in [column] if column in self.record else column.split("."):
            if not isinstance(value, Mapping) or name not in value:
                raise self.missing(column)
            value = value[name]
            if is_null(value):
                return None
        return value

    def missing(self, column: str) -> MissingColumnError:
        """Return the error of a record that lacks a column."""
        return MissingColumnError(
            f"{self._where}: there is no column '{column}', found {sorted(self.record)[:20]}."
            f"{did_you_mean(column, self.record)} Name the columns in the recipe."
        )

    def is_named(self, *names: str) -> bool:
        """Return whether the recipe names a column for any of these fields."""
        return any(name in self._columns for name in names)

    def read_for_judge(self, name: str) -> str | None:
        """Return a text for the prompt's judge, such as a rubric; a list gives a line per item."""
        value = self.get(name)
        if isinstance(value, list):
            value = "\n".join(f"- {item}" for item in value if isinstance(item, str)) or None
        return check_unicode(str(value)) if isinstance(value, str | int | float) else None

    def prompt(self) -> list[Message]:
        """Return the history and the question; a system column is not in it."""
        history = self.get("history") if self.column("prompt") != self.column("history") else None
        earlier = read_turns(read_list(history) or None, "user")
        turns = earlier + read_turns(self._question(), "user")
        return turns or user("")  # null is read as an empty text

    def holds_conversation(self) -> bool:
        """Return whether the column of the conversation holds turns, and not their number."""
        conversation = self.get("messages")
        return bool(conversation) and not isinstance(conversation, int | float)

    def asked(self) -> list[Message]:
        """Return the prompt beside the answers, from a conversation or a column, or no turns."""
        if self.holds_conversation() and not self.is_named("prompt"):
            conversation = read_turns(self.get("messages"), "user")
            if conversation and conversation[-1]["role"] != "assistant":
                return conversation
        return self.prompt() if self.column("prompt") else []

    def conversation_in_text(self) -> list[Message]:
        """Return the turns of a lone text that holds a conversation as chat templates write it."""
        text = None if self.column("completion") else self.get("prompt")
        return read_turns(text, "user") if isinstance(text, str) else []

    def chosen(self) -> Any:
        """Return the better answer; in ms-swift's form, the conversation that ends with it."""
        lone = not self.column("chosen") and self.column("rejected")
        return self.get("messages") if lone and self.holds_conversation() else self.need("chosen")

    def replies(self) -> list[Any] | None:
        """Return the list of replies of a record; None where it has none."""
        replies = read_list(self.get("replies"))
        return replies if isinstance(replies, list) else None

    def _question(self) -> Any:
        question, column = self.need("prompt"), self.column("prompt")
        if "prompt" in self._columns and column != "instruction":
            return question
        # Alpaca's ``input``, the second half of an instruction, is often empty.
        others = (self.record.get(name) for name in NAMES["input"] if name != column)
        extra = next((value for value in others if value and not is_null(value)), None)
        if self.is_named("input"):
            extra = self.get("input")
        if not isinstance(question, str) or not extra:
            return question
        if not isinstance(extra, str):
            raise RecordDropError("not_text")
        # A prompt may contain it already; in an instruction ("a or b?") only as lines of its own.
        is_there = extra in question
        if column == "instruction":
            is_there = f"\n{extra.strip()}\n" in f"\n{question}\n"
        return question if is_there or not extra.strip() else f"{question}\n\n{extra}"

    def in_full(self, turns: list[Message]) -> list[Message]:
        """Return a prompt with the system message and the tools that have columns of their own."""
        refuse_media(self.record)
        system = [turn for turn in read_turns(self.get("system"), "system") if is_said(turn)]
        if system and turns and turns[0]["role"] == "system":
            if not same_text(system[0], turns[0]):
                raise RecordDropError("two_systems")
            system = []
        return with_tools(system + turns, self.get("tools"))

    def label(self) -> bool | None:
        """Return whether the answer is marked as good; None where nothing says so.

        A number may be some other class, so it counts only where the recipe names its column.
        """
        label = self.get("label")
        is_word = isinstance(label, bool | str) and str(label).lower() in ("true", "false")
        return read_flag(label) if is_word or self.is_named("label") else None


def is_said(turn: Message) -> bool:
    """Return whether a turn has text or calls a tool; the turn of a tool may be empty."""
    return bool(turn["content"].strip() or turn.get("tool_calls")) or turn["role"] == "tool"


def same_text(first: Message, second: Message) -> bool:
    """Return whether two turns are equal, apart from white space."""
    texts = first["content"].split() == second["content"].split()
    return texts and first["role"] == second["role"] and data_of(first) == data_of(second)
