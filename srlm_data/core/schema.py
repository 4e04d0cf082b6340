"""The schema of each dataset type, and the rules that its rows keep.

    messages -> ift, ranked -> prompts -> candidates -> judgments -> pairs -> models

What gives an answer a score without judging it, or works on its judgments, makes ``scores``.
What people say of two answers that they were shown is ``labels``.

A dataset type is an Arrow schema and the rules beside it; ``dataset_types.yaml`` declares them all.
A commit runs the checks; a row that breaks one never reaches a version.

Conversations are lists of ``{role, content}``, the form that chat templates and TRL take. They are
the one list that rows hold, with the ids of a prompt's sources: everything that is repeated
(candidates, judgments) is one row each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict

import pyarrow as pa
import yaml


class Message(TypedDict):
    """One turn of a conversation: ``role`` is system, user, assistant or tool.

    What else a chat template may read is left out where there is none. The tools that may be called
    stand in the first turn, so that a conversation is never without them.
    """

    role: str
    content: str
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]
    reasoning_content: NotRequired[str]
    tools: NotRequired[str]


_FUNCTION: Final = pa.struct([("name", pa.string()), ("arguments", pa.string())])
_TOOL_CALL: Final = pa.struct([("id", pa.string()), ("type", pa.string()), ("function", _FUNCTION)])
CONVERSATION: Final = pa.list_(
    pa.struct(
        [
            ("role", pa.string()),
            ("content", pa.string()),
            ("tool_calls", pa.list_(_TOOL_CALL)),  # arguments are JSON text, as in OpenAI's API
            ("tool_call_id", pa.string()),
            ("name", pa.string()),
            ("reasoning_content", pa.string()),
            ("tools", pa.string()),  # JSON
        ]
    )
)
_SCALARS: Final = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
}
_TEXTS: Final = {kind: text for text, kind in _SCALARS.items()}
_KINDS: Final = {**_SCALARS, "conversation": CONVERSATION, "list<string>": pa.list_(pa.string())}


@dataclass(frozen=True)
class DatasetType:
    """A schema of rows and their rules; ``dataset_types.yaml`` says what each field means."""

    name: str
    schema: pa.Schema
    id: str
    parents: Mapping[str, str]
    choices: Mapping[str, tuple[str, ...]]
    checks: Mapping[str, str]
    order: tuple[str, ...]
    content: tuple[str, ...]
    remarks: tuple[str, ...]
    part: str

    @property
    def hashed(self) -> list[str]:
        """The columns that decide a version's content hash."""
        return [name for name in self.content or self.schema.names if name not in self.remarks]

    def __hash__(self) -> int:
        return hash(self.name)


def type_text(kind: pa.DataType) -> str:
    """Return an Arrow type in our own words: what the library prints may change with its release.

    Raises:
        TypeError: no dataset type declares such a column.
    """
    if pa.types.is_list(kind):
        return f"list<{type_text(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {type_text(field.type)}' for field in kind)}>"
    if kind not in _TEXTS:
        raise TypeError(f"type {kind} has no canonical form; no dataset type has such a column")
    return _TEXTS[kind]


def schema_text(schema: pa.Schema) -> str:
    """Return a schema in our own words, a line a column; ``?`` follows the type of a nullable one.

    It is part of versions' names, so it never changes for the same columns.
    """
    return "\n".join(
        f"{field.name}: {type_text(field.type)}{'?' if field.nullable else ''}" for field in schema
    )


def _declare(name: str, declared: Mapping[str, Any]) -> DatasetType:
    """Return the dataset type that an entry of ``dataset_types.yaml`` declares."""
    schema = pa.schema(list(_fields(declared["columns"])))
    choices = {column: tuple(texts) for column, texts in declared.get("choices", {}).items()}
    of_choices = {
        f"a {column} is one of {', '.join(texts)}": (
            f"{column} IS NULL OR {column} IN {texts}"
            if schema.field(column).nullable
            else f"{column} IN {texts}"
        )
        for column, texts in choices.items()
    }
    return DatasetType(
        name=name,
        schema=schema,
        id=declared["id"],
        parents=declared.get("parents", {}),
        choices=choices,
        checks={**of_choices, **declared.get("checks", {})},
        order=tuple(declared.get("order", ())),
        content=tuple(declared.get("content", ())),
        remarks=tuple(declared.get("remarks", ())),
        part=declared.get("part", ""),
    )


def _fields(columns: list[Any]) -> Iterator[pa.Field]:
    for column in columns:
        if isinstance(column, list):  # columns that several types share
            yield from _fields(column)
        else:
            [(name, kind)] = column.items()
            yield pa.field(name, _KINDS[kind.rstrip("?")], nullable=kind.endswith("?"))


_DECLARED: Final[dict[str, Any]] = yaml.load(
    Path(__file__).with_name("dataset_types.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
)
DATASET_TYPES: Final = {
    name: _declare(name, declared) for name, declared in _DECLARED.items() if name[0] != "."
}
MESSAGES: Final = DATASET_TYPES["messages"]
EXAMPLES: Final = DATASET_TYPES["examples"]
PROMPTS: Final = DATASET_TYPES["prompts"]
CANDIDATES: Final = DATASET_TYPES["candidates"]
JUDGMENTS: Final = DATASET_TYPES["judgments"]
SCORES: Final = DATASET_TYPES["scores"]
COMPARISONS: Final = DATASET_TYPES["comparisons"]
PAIRS: Final = DATASET_TYPES["pairs"]
MODELS: Final = DATASET_TYPES["models"]
METRICS: Final = DATASET_TYPES["metrics"]
LABELS: Final = DATASET_TYPES["labels"]
STATES: Final = JUDGMENTS.choices["state"]
COMPARISON_STATES: Final = COMPARISONS.choices["state"]
CHOICES: Final = LABELS.choices["choice"]
