"""Records that come from outside: files beside the recipe, or a pinned dataset of the Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from srlm_data.core import packages
from srlm_data.core.config import Config, Source, base_folder
from srlm_data.core.errors import DataError
from srlm_data.core.hub import Pins
from srlm_data.core.languages import check_codes
from srlm_data.core.rows import Drops, Rows
from srlm_data.core.schema import DatasetType
from srlm_data.steps.read._files import KINDS, find
from srlm_data.steps.read._values import MissingColumnError, RecordDropError
from srlm_data.steps.read.containers import Record, read_records

_LOOKED: Final = 100
"""Reading stops if so many first records all lack a column that is needed."""


class Records(Config):
    """Where records are read from: ``files``, or a ``hub`` dataset."""

    identity_if_set: ClassVar[tuple[str, ...]] = ("language",)

    split: str = Field(
        "train",
        description="The split of the Hub dataset, or of a folder of splits; "
        "'train+validation' reads both.",
    )
    files: tuple[Source, ...] = Field(
        (),
        description=f"Files to read ({', '.join(KINDS)}; also .gz and .zst), in this order. "
        "One may be a folder, or a pattern such as 'data/*.jsonl'.",
    )
    hub: str | None = Field(
        None, description="A dataset of the Hugging Face Hub to read instead of files."
    )
    subset: str | None = Field(
        None, description="The part of the Hub dataset that its card calls a config or a subset."
    )
    commit: str | None = Field(
        None,
        description="A commit of the Hub dataset, a branch or a tag; the main branch by default. "
        "A moving name is resolved once: the lock file keeps its commit.",
    )

    license: str | None = Field(
        None,
        description="License, such as apache-2.0; cards of everything made from the data name it.",
    )
    language: tuple[str, ...] = Field(
        (),
        description="Language of the texts, such as en, or several; cards of everything made from "
        "them name it. Not needed for messages that declare their own.",
    )

    @field_validator("language", mode="before")
    @classmethod
    def _check_language(cls, codes: object) -> object:
        if codes is False:  # YAML reads ``no``, the code of Norwegian, as false
            codes = "no"
        listed = codes if isinstance(codes, list | tuple) else [codes]
        return check_codes(map(str, listed))

    @field_validator("files", mode="before")
    @classmethod
    def _find_files(cls, names: object, info: ValidationInfo) -> object:
        files: list[object] = []
        for name in names if isinstance(names, list | tuple) else [names]:
            if isinstance(name, str | Path):
                files += find(str(name), base_folder(info), info.data.get("split", "train"))
            else:
                files.append(name)
        return tuple(files)

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if bool(self.files) == bool(self.hub):
            origins = "both" if self.files else "neither"
            raise ValueError(f"give either 'files' or 'hub', found {origins}")
        if not self.hub and (self.subset or self.commit):
            raise ValueError("'subset' and 'commit' belong to a 'hub' dataset, found files")
        return self

    def pinned(self, pins: Pins) -> Self:
        """Return it with the commit that its revision on the Hub means."""
        if self.hub is None:
            return self
        commit = pins.commit("dataset", self.hub, self.commit or "")
        return self.model_copy(update={"commit": commit})

    def packages(self) -> dict[str, str]:
        """Return ``datasets``, which reads the Hub."""
        return {"datasets": "hub"} if self.hub else {}

    def read(self) -> Iterator[Record]:
        """Yield every record with where it stands (``file:line``, or a row's number, from 1)."""
        if self.hub:
            yield from _of_hub(self.hub, self.subset, self.commit, self.split)
        for source in self.files:
            yield from read_records(source.path)

    def rows(
        self,
        dataset_type: DatasetType,
        rows_of: Callable[[Mapping[str, Any], Drops, str], Iterable[dict[str, Any]]],
        left: Callable[[], Iterable[tuple[str, Mapping[str, Any]]]] = tuple,
    ) -> Rows:
        """Return rows of a dataset type, made of each record; of several with one id, the first.

        Args:
            dataset_type: of the rows.
            rows_of: returns the rows of a record, given the drops and its place; none while the
                record waits for its counterpart.
            left: returns the records whose counterpart never came.

        Drops: the reasons that ``rows_of`` raises, ``no_counterpart``, ``duplicate``.
        """
        drops = Drops()

        def rows() -> Iterator[dict[str, Any]]:
            seen: set[bytes] = set()
            missing: list[MissingColumnError] = []
            for number, (where, record) in enumerate(self.read()):
                try:
                    if record is None:
                        raise RecordDropError("empty")
                    for row in rows_of(record, drops, where):
                        name = row[dataset_type.id].encode()
                        identity = hashlib.md5(name, usedforsecurity=False).digest()
                        if identity in seen:
                            drops.add("duplicate", where, record)
                        else:
                            seen.add(identity)
                            yield row
                except RecordDropError as error:
                    drops.add(str(error), where, record)
                    if isinstance(error, MissingColumnError) and len(missing) == number:
                        missing.append(error)
                        if len(missing) == _LOOKED:
                            break
            if missing and len(missing) == drops.total() and not seen:
                raise DataError(missing[0].sentence)
            for where, lone in left():
                drops.add("no_counterpart", where, lone)

        return Rows.stream(dataset_type, rows(), drops=drops)


def _of_hub(name: str, subset: str | None, commit: str | None, split: str) -> Iterator[Record]:
    try:
        import datasets  # optional, and slow to import
    except ImportError:
        raise packages.missing(f"hub dataset '{name}'", "datasets", "hub") from None
    try:
        rows = datasets.load_dataset(name, subset, revision=commit, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"hub dataset '{name}' at {commit}, split '{split}': cannot be loaded, "
            f"found '{error}'. Check the name, the commit, the split and the network."
        ) from None
    for number, record in enumerate(rows, start=1):
        yield f"{name}@{str(commit)[:8]}: row {number}", record
