"""The types of a manifest's fields: a stranger's manifest is refused where it has others."""

from __future__ import annotations

from typing import Annotated, Final, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from srlm_data.core.schema import DATASET_TYPES

NAME: Final = r"[a-z][a-z0-9_]{0,99}(\.[a-z][a-z0-9_]{0,99})?"
"""A dataset's name: ``recipe.dataset``, or one word."""


def _refuse_unknown_type(name: str) -> str:
    if name not in DATASET_TYPES:
        raise ValueError(f"the dataset type {name!r:.60}, which is none")
    return name


_Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
_Version = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
_Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
_Shard = Annotated[str, StringConstraints(pattern=r"^data/train-\d{5}-of-\d{5}\.parquet$")]
_Text = Annotated[str, StringConstraints(max_length=10_000)]
_Count = Annotated[int, Field(ge=0, lt=1 << 63)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Open(BaseModel):
    """Known fields have their types; others are JSON of any kind, which nobody reads."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Closed(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Identity(_Open):
    step: _Text = ""
    revision: int = 0
    config: dict[str, JsonValue] = {}


class _Notes(_Open):
    states: dict[str, _Count] = {}
    judge_injections: dict[str, _Count] = {}
    prompt_injections: dict[str, _Count] = {}
    read: _Text = ""
    license: _Text | None = None
    licenses: list[tuple[_Text, _Text, _Text]] = []
    languages: list[_Text] = []


class _Provenance(_Open):
    at: _Text = ""
    argv: list[str] = []
    commit: _Text | None = None
    python: _Text = ""
    packages: dict[str, _Text] = {}
    engine: _Text = ""
    seconds: _Amount = 0
    pulled: _Text = ""


class _Input(_Closed):
    parameter: _Text
    name: _Name
    version: _Version
    content: _Text


class _File(_Closed):
    path: _Shard
    rows: _Count
    bytes: _Count
    sha256: _Hash


class _Failure(_Closed):
    count: _Count
    sentence: _Text


class _Shape(_Closed):
    name: _Name
    version: _Version
    type: Annotated[str, pydantic.AfterValidator(_refuse_unknown_type)]
    identity: _Identity
    inputs: list[_Input]
    rows: _Count
    content: _Text
    files: list[_File]
    drops: dict[_Text, _Count]
    notes: _Notes
    cost: dict[_Text, _Amount]
    provenance: _Provenance
    failures: dict[_Text, _Failure] = {}
    format: int

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if sum(file.rows for file in self.files) != self.rows:
            raise ValueError(f"files of other than {self.rows} rows")
        if len({file.path for file in self.files}) != len(self.files):
            raise ValueError("a file that is named twice")
        if any((read.name, read.version) == (self.name, self.version) for read in self.inputs):
            raise ValueError("a version that was made from itself")
        return self


def refuse_misshapen(payload: str | bytes) -> None:
    """Refuse JSON that has not the fields and types of a manifest; the ValueError is a phrase."""
    try:
        _Shape.model_validate_json(payload)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"'{field}': {reason}" if field else reason) from None
