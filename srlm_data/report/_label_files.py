"""Read and write files of labels, as the page downloads them or Argilla and Label Studio have them.

Files are not trusted: the types of all fields are checked, and a file is refused with the place of
the first label that fails.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from srlm_data.core.errors import ArgumentError, DataError
from srlm_data.core.ids import row_id
from srlm_data.report._blind import Item
from srlm_data.steps.read.containers import read_records

Format = Literal["argilla", "label-studio"]

_VERSION: Final = r"^[a-z][a-z0-9_.]{1,210}@[0-9a-f]{16}$"
_Id = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_Choice = Literal["first", "second", "tie", "skip"]


def _refuse_unprintable(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("a name must be printable and neither begin nor end with a space")
    return name


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    AfterValidator(_refuse_unprintable),
]


class Label(BaseModel):
    """What a person said of two answers."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    first_id: _Id
    second_id: _Id
    pair_id: _Id | None = None
    choice: _Choice
    person: Name
    labelled_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    seconds: Annotated[float, Field(ge=0)] | None = None
    note: Annotated[str, StringConstraints(max_length=10_000, strip_whitespace=True)] | None = None
    reviewed: Annotated[str, StringConstraints(pattern=_VERSION)] | None = None

    @property
    def label_id(self) -> str:
        """An id of the person and the two answers, independent of the answers' order."""
        return row_id("label", self.person, sorted((self.first_id, self.second_id)))


_NAME: Final[TypeAdapter[str]] = TypeAdapter(Name)


def check_name(by: str) -> str:
    """Return a reviewer's name."""
    try:
        return _NAME.validate_python(by)
    except ValidationError:
        raise ArgumentError(
            f"review: {by!r:.60} cannot be a reviewer's name. Give 1 to 100 printable characters."
        ) from None


def read_labels(file: Path, by: str | None) -> list[Label]:
    """Read the labels in a file of the page, or in Argilla's records or Label Studio's tasks.

    ``by`` must be the person that the page's labels name. In another tool's file with one person,
    it replaces the name there, which may be an id.
    """
    records = [(where, record or {}) for where, record in read_records(file)]
    ours = not any(key in record for _, record in records for key in _READ)
    placed = [
        (where, fields)
        for where, record in records
        for fields in ([record] if ours else _of_tool(where, record))
    ]
    if not placed:
        raise DataError(f"{file}: it contains no labels. Label first, then export again.")
    people = {str(fields.get("person") or by) for _, fields in placed}
    if by is not None and people != {by} and (ours or len(people) > 1):
        raise DataError(
            f"{file}: not only '{by}' labeled this, found {', '.join(sorted(people)):.100}. "
            "Import it without --by, or with the right name."
        )
    return [
        _label(where, {**fields, "person": by or fields.get("person")}) for where, fields in placed
    ]


def _label(where: str, fields: Mapping[str, Any]) -> Label:
    try:
        return Label.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        advice = "Name who labelled with --by." if place == "person" else "Export the labels again."
        raise DataError(
            f"{where}: '{place}': {first['msg']}, found {first['input']!r:.60}. {advice}"
        ) from None


def _of_tool(where: str, record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the fields of each label in a record of Argilla or Label Studio."""
    read = next((read for key, read in _READ.items() if key in record), None)
    if read is None:
        raise DataError(
            f"{where}: neither a record of Argilla nor a task of Label Studio. "
            "Export as JSON there."
        )
    yield from read(where, record)


# Argilla --------------------------------------------------------------------------------------


def _argilla(reviewed: str, item: Item) -> dict[str, Any]:
    """Return a record in the form of ``rg.Record.to_dict``, which ``records.from_json`` reads."""
    return {
        "id": item.pair_id or row_id(sorted(item.answers)),
        "fields": _shown(item),
        "metadata": _identity(reviewed, item),
        "suggestions": {},
        "responses": {},
        "vectors": {},
    }


def _of_argilla(where: str, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    responses = record.get("responses") or {}
    with _form(where, "Argilla"):
        notes = {note["user_id"]: note["value"] for note in responses.get("note") or ()}
        for choice in responses.get("choice") or ():
            user = choice["user_id"]
            yield {
                **record["metadata"],
                "choice": choice["value"],
                "note": notes.get(user),
                "person": user,
            }


# Label Studio ---------------------------------------------------------------------------------


def _label_studio(reviewed: str, item: Item) -> dict[str, Any]:
    return {"data": {**_shown(item), **_identity(reviewed, item)}}


def _of_label_studio(where: str, task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    with _form(where, "Label Studio"):
        for annotation in task.get("annotations") or ():
            values = {result["from_name"]: result["value"] for result in annotation["result"]}
            if annotation.get("was_cancelled"):
                choice = "skip"
            elif "choice" in values:
                [choice] = values["choice"]["choices"]
            else:
                continue
            person = annotation.get("completed_by")
            if isinstance(person, dict):
                person = person.get("email") or person.get("id")
            created = annotation.get("created_at")
            yield {
                **task["data"],
                "choice": choice,
                "note": "\n".join(values.get("note", {}).get("text", ())) or None,
                "person": None if person is None else str(person),
                "seconds": annotation.get("lead_time"),
                **({"labelled_at": created} if created else {}),
            }


# Both -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _form(where: str, tool: str) -> Iterator[None]:
    """Turn the exceptions that an unexpected structure raises into a DataError."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}: {tool} writes labels in another form, found {type(error).__name__} {error}. "
            "Export as JSON there."
        ) from None


def _shown(item: Item) -> dict[str, str]:
    turns = [
        turn["text"] if len(item.prompt) == 1 else f"{turn['role']}: {turn['text']}"
        for turn in item.prompt
    ]
    return {"prompt": "\n\n".join(turns), "first": item.first, "second": item.second}


def _identity(reviewed: str, item: Item) -> dict[str, str]:
    ids = {"pair_id": item.pair_id, "first_id": item.first_id, "second_id": item.second_id}
    return {"reviewed": reviewed, **{name: value for name, value in ids.items() if value}}


_READ: Final = {"fields": _of_argilla, "data": _of_label_studio}
"""Key that only one tool's records have -> the function that reads its labels."""

_RECORD: Final[Mapping[Format, Callable[[str, Item], dict[str, Any]]]] = {
    "argilla": _argilla,
    "label-studio": _label_studio,
}


def records_of(form: Format, reviewed: str, items: Iterable[Item]) -> Sequence[dict[str, Any]]:
    """Return items as another tool's records or tasks, without hints at the chosen answer."""
    return [_RECORD[form](reviewed, item) for item in items]
