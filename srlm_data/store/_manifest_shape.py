"""The types of a manifest's fields, by which manifests from elsewhere are validated."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from srlm_data.core.schema import DATASET_TYPES

NAME: Final = r"[a-z][a-z0-9_]{0,99}(\.[a-z][a-z0-9_]{0,99})?"
"""A dataset's name: ``recipe.dataset``, or one word."""


def _refuse_unknown_type(name: str) -> str:
    if name not in DATASET_TYPES:
        raise ValueError(f"the unknown dataset type {name!r:.60}")
    return name


Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Version = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
TypeName = Annotated[str, AfterValidator(_refuse_unknown_type)]
Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Shard = Annotated[str, StringConstraints(pattern=r"^data/train-\d{5}-of-\d{5}\.parquet$")]
Text = Annotated[str, StringConstraints(max_length=10_000)]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Open(BaseModel):
    """A JSON object whose declared fields are typed; other fields may hold any JSON."""

    model_config = ConfigDict(strict=True, extra="allow")


def _fitting(shape: type[_Open]) -> AfterValidator:
    """Return a validator that checks an object and keeps it as written: 5 does not become 5.0."""

    def check(fields: dict[str, Any]) -> dict[str, Any]:
        shape(**fields)
        return fields

    return AfterValidator(check)


class _Identity(_Open):
    step: Text = ""
    revision: int = 0
    config: dict[str, JsonValue] = {}


class _Example(_Open):
    where: Text
    record: Text


class _Judge(_Open):
    answers: Count
    abstained: Count


class _Agreement(_Open):
    alpha: float | None
    low: float | None
    high: float | None


class _Notes(_Open):
    dropped: dict[str, list[_Example]] = {}
    judges: dict[str, _Judge] = {}
    agreement: _Agreement | None = None
    people: dict[str, Count] = {}
    training: dict[str, Text] = {}
    prompts: Count = 0
    states: dict[str, Count] = {}
    judge_injections: dict[str, Count] = {}
    prompt_injections: dict[str, Count] = {}
    read: Text = ""
    license: Text | None = None
    licenses: list[Annotated[list[Text], Field(min_length=3, max_length=3)]] = []
    languages: list[Text] = []


class _Cost(_Open):
    __pydantic_extra__: dict[str, _Amount]


class _Provenance(_Open):
    at: Text = ""
    argv: list[str] = []
    commit: Text | None = None
    python: Text = ""
    packages: dict[str, Text] = {}
    engine: Text = ""
    seconds: _Amount = 0
    pulled: Text = ""


Identity = Annotated[dict[str, Any], _fitting(_Identity)]
Notes = Annotated[dict[str, Any], _fitting(_Notes)]
Cost = Annotated[dict[str, int | float], _fitting(_Cost)]
Provenance = Annotated[dict[str, Any], _fitting(_Provenance)]
