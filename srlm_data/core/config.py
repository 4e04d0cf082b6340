"""What a step's config is made of.

A config is a frozen pydantic model that forbids unknown keys, named after its step. Its
``identity`` is what decides the rows: texts instead of the paths they were read from, digests
instead of files, and nothing that only says how fast or where the step runs.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

import pydantic
from pydantic import BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticSerializationError

from srlm_data.core import filesystem, templates
from srlm_data.core.errors import SrlmError, did_you_mean
from srlm_data.core.schema import DATASET_TYPES

if TYPE_CHECKING:
    from srlm_data.core.hub import Pins


class Runtime:
    """Marks a field that never decides a row (batch sizes, devices); not part of the identity.

    ``device_batch: Annotated[int, Runtime()] = 8``
    """


class Expected(NamedTuple):
    """The most rows and calls of a step, as far as they are known before it runs."""

    rows: int | None
    calls: int | None = 0  # including answers that are cached


class Lengths(NamedTuple):
    """Mean characters of the texts in a dataset's rows: the conversation and its answer."""

    prompt: float
    response: float


class Config(BaseModel):
    """The first parameter of every step. ``revision`` is bumped by hand when its rows change."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        allow_inf_nan=False,  # infinity and NaN are not JSON: no part of an identity
    )
    revision: ClassVar[int] = 1
    calls_are_fewest: ClassVar[bool] = False  # ``Expected.calls`` is a lower bound
    rows_at_most: ClassVar[str | None] = None  # the input with at least as many rows
    # Fields added later: left out while unset, so that existing versions keep their names.
    identity_if_set: ClassVar[tuple[str, ...]] = ()

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _refuse_truth(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``n: yes``, which pydantic would convert to 1."""
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, bool) and field.annotation in (int, float, int | None, float | None):
            raise ValueError("expected a number")
        return value

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the rows, as plain JSON."""
        left_out = {
            name
            for name, field in type(self).model_fields.items()
            if any(isinstance(mark, Runtime) for mark in field.metadata)
            or (name in self.identity_if_set and getattr(self, name) in (None, ()))
        }
        try:
            return self.model_dump(mode="json", exclude=left_out)
        except PydanticSerializationError as error:
            if isinstance(error.__cause__, SrlmError):  # raised while a field was serialized
                raise error.__cause__ from None
            raise

    def limited(self, prompts: int) -> Self:
        """Return the config of a trial that makes this many prompts; itself if it makes none.

        A step that returns another config reads its datasets whole, all others a few prompts each.
        """
        return self

    def packages(self) -> Mapping[str, str]:
        """Return the optional packages that it imports, each with the extra that installs it."""
        return {}

    def pinned(self, pins: Pins) -> Self:
        """Return the config with moving names replaced by the commits they mean now."""
        return self

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """Return the rows and model calls to expect, given the rows of each dataset parameter."""
        return Expected(rows.get(self.rows_at_most) if self.rows_at_most else None)

    def prompt_characters(self, lengths: Mapping[str, Lengths]) -> float | None:
        """Return the mean characters that a call reads, given the lengths of each input's texts."""
        return None


def base_folder(info: ValidationInfo) -> Path:
    """Return the folder that a recipe's relative paths start at."""
    return Path((info.context or {}).get("base", "."))


@dataclass(frozen=True)
class File:
    """A file that a recipe names."""

    path: Path

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes."""
        return filesystem.digest(self.path)


def _file(value: object, info: ValidationInfo) -> File:
    if isinstance(value, File):
        return value
    if not isinstance(value, str | Path):
        raise ValueError("expected a file name")
    path = base_folder(info) / value
    if not os.path.isfile(path):  # noqa: PTH113 - False for an invalid name, no error
        raise ValueError(f"no such file: '{value}'")
    return File(path.resolve())


Source = Annotated[
    File,
    pydantic.PlainValidator(_file),
    pydantic.PlainSerializer(lambda file: {"sha256": file.digest}),
    pydantic.WithJsonSchema({"type": "string", "format": "path"}),
]
"""A file that a recipe names, by a path relative to the recipe; its bytes are its identity."""


def _template(value: object, info: ValidationInfo) -> templates.Template:
    if isinstance(value, templates.Template):
        return value
    return templates.load(str(value), base_folder(info))


Template = Annotated[
    templates.Template,
    pydantic.PlainValidator(_template),
    pydantic.PlainSerializer(lambda value: {"text": value.text}),
    pydantic.WithJsonSchema({"type": "string"}),
]
"""The name of a shipped template or of a text file beside the recipe; its text is its identity."""


def _dataset_type(name: str) -> str:
    if name not in DATASET_TYPES:
        raise ValueError(
            f"unknown dataset type '{name}'.{did_you_mean(name, DATASET_TYPES)} "
            f"There are {list(DATASET_TYPES)}"
        )
    return name


DatasetTypeName = Annotated[str, pydantic.AfterValidator(_dataset_type)]
"""The name of a dataset type, in a config that decides which type its step makes."""


def fills(who: str, *names: str, optional: Collection[str] = ()) -> pydantic.AfterValidator:
    """Mark a template whose placeholders are ``names``, and may be the ``optional`` ones.

    ``template: Annotated[Template, fills("a judge", "prompt", "response")]``: a judge fills them.
    """

    def check(template: templates.Template) -> templates.Template:
        if template.placeholders - set(optional) != set(names):
            more = f", and may fill {sorted(optional)}" if optional else ""
            raise ValueError(
                f"template '{template.name}' has the placeholders {sorted(template.placeholders)}, "
                f"{who} fills {sorted(names)}{more}"
            )
        return template

    return pydantic.AfterValidator(check)
