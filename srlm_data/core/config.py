"""What a step's config is made of.

A config is a frozen pydantic model that forbids unknown keys, named after its step. Its
``identity`` is what decides the rows: texts instead of the paths they were read from, digests
instead of files, and nothing that only says how fast or where the step runs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

import pydantic
from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
)
from pydantic_core import CoreSchema, PydanticSerializationError, core_schema

from srlm_data.core import templates
from srlm_data.core.errors import SrlmError

if TYPE_CHECKING:
    from srlm_data.core.hub import Pins


class Runtime:
    """Marks a field that never decides a row (batch sizes, devices); identity leaves it out.

    ``device_batch: Annotated[int, Runtime()] = 8``
    """


class Expected(NamedTuple):
    """What a step will make and ask, as far as that can be told before it runs.

    ``rows`` is an upper bound and ``calls`` the requests to a model that it would take, answers at
    hand included; None where nobody can tell.
    """

    rows: int | None
    calls: int | None = 0


class Lengths(NamedTuple):
    """Mean characters of the texts in a dataset's rows: the conversation, and what answers it."""

    prompt: float
    response: float


class Config(BaseModel):
    """The first parameter of every step. ``revision`` is bumped by hand when its rows change."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        allow_inf_nan=False,  # neither is JSON, so neither can be part of an identity
    )
    revision: ClassVar[int] = 1
    calls_are_fewest: ClassVar[bool] = False  # what it expects to ask is a lower bound

    def identity(self) -> dict[str, Any]:
        """The fields that decide the rows, as plain JSON."""
        runtime = {
            name
            for name, field in type(self).model_fields.items()
            if any(isinstance(mark, Runtime) for mark in field.metadata)
        }
        try:
            return self.model_dump(mode="json", exclude=runtime)
        except PydanticSerializationError as error:
            if isinstance(error.__cause__, SrlmError):  # of a file that is not what it should be
                raise error.__cause__ from None
            raise

    def limited(self, prompts: int) -> Self:
        """Return the config of a trial that makes so many prompts; itself where it makes none.

        A step that returns another one reads its datasets whole, and all others a few prompts each.
        """
        return self

    def packages(self) -> Mapping[str, str]:
        """Return the optional packages that are imported, each with the extra that has it."""
        return {}

    def pinned(self, pins: Pins) -> Self:
        """Return the config with names that move replaced by what they mean now."""
        return self

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """Rows and model calls to expect, given the row count of each dataset parameter."""
        return Expected(None)

    def prompt_characters(self, lengths: Mapping[str, Lengths]) -> float | None:
        """Mean characters of what one call reads, given how long each parameter's texts are."""
        return None


class Source:
    """A file that a recipe names, looked up beside the recipe; its bytes are its identity."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: {"sha256": value.digest}
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, source: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "format": "path"}

    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> Source:
        if isinstance(value, Source):
            return value
        if not isinstance(value, str | Path):
            raise ValueError(f"a file name is wanted, found {value!r}")
        path = base_folder(info) / value
        if not os.path.isfile(path):  # noqa: PTH113 - says no to a name that is no name
            raise ValueError(f"no such file: '{value}'")
        return cls(path.resolve())


def base_folder(info: ValidationInfo) -> Path:
    """Return the folder that a recipe's relative paths start at."""
    return Path((info.context or {}).get("base", "."))


def _template(value: object, info: ValidationInfo) -> templates.Template:
    if isinstance(value, templates.Template):
        return value
    try:
        return templates.load(str(value), base_folder(info))
    except LookupError as error:
        raise ValueError(str(error)) from None


Template = Annotated[
    templates.Template,
    pydantic.PlainValidator(_template),
    pydantic.PlainSerializer(lambda value: {"text": value.text}),
    pydantic.WithJsonSchema({"type": "string"}),
]
"""A shipped template's name, or a text file beside the recipe; its text is its identity."""


def fills(who: str, *names: str, optional: Collection[str] = ()) -> pydantic.AfterValidator:
    """Marks a template whose placeholders ``who`` fills are ``names``, these and no others.

    ``template: Annotated[Template, fills("a judge", "prompt", "response")]``

    Args:
        who: who fills it, for the message.
        names: the placeholders that it must have.
        optional: those that it may have besides.
    """

    def check(template: templates.Template) -> templates.Template:
        if template.placeholders - set(optional) != set(names):
            raise ValueError(
                f"template '{template.name}' has the placeholders {sorted(template.placeholders)}, "
                f"{who} fills {sorted(names)}"
            )
        return template

    return pydantic.AfterValidator(check)
