"""The lock file beside a recipe: what it was last built to, and what its moving names mean.

``iter1.lock`` is JSON: ``recipe.dataset`` -> version, content and rows; and under ``pins``, which
commit each branch or tag of the Hub was when a build first met it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from srlm_data.core import filesystem
from srlm_data.core.errors import RecipeError, fault_text
from srlm_data.store import Manifest, Store


class Entry(BaseModel):
    """What a dataset was built to; beside its version it has the content and the rows to read."""

    model_config = ConfigDict(extra="allow")
    version: str


class LockFile(BaseModel):
    """What a lock file holds."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Entry] = Field(init=False)
    pins: dict[str, str] = {}  # a branch or tag of the Hub -> its commit

    @property
    def datasets(self) -> Mapping[str, Entry]:
        """What each dataset was built to, by ``recipe.dataset``."""
        return self.__pydantic_extra__


def file_of(recipe: Path) -> Path:
    """Return where the lock file of a recipe lies."""
    return recipe.parent / f"{recipe.stem}.lock"


def read(file: Path) -> LockFile:
    """Return what a lock file holds; nothing where there is none."""
    try:
        return LockFile.model_validate_json(filesystem.read_bytes(file))
    except FileNotFoundError:
        return LockFile()
    except OSError as error:
        raise RecipeError(f"{file}: it cannot be read, found '{error.strerror}'.") from None
    except ValueError as error:
        raise RecipeError(
            f"{file}: not what a build writes beside a recipe, found {fault_text(error)}. "
            "Delete it, or build the recipe again."
        ) from None


def write_pins(recipe: Path, name: str, pins: Mapping[str, str], store: Store) -> None:
    """Write what moving names mean, before anything is built with it."""
    known = read(file_of(recipe))
    if pins.items() - known.pins.items():
        _write(recipe, name, known.model_dump(exclude={"pins"}), pins, store)


def write(
    recipe: Path, name: str, versions: Mapping[str, Manifest], pins: Mapping[str, str], store: Store
) -> None:
    """Write what a recipe was built to."""
    entries = {
        dataset: {name: getattr(manifest, name) for name in ("version", "content", "rows")}
        for dataset, manifest in sorted(versions.items())
    }
    _write(recipe, name, entries, pins, store)


def _write(
    recipe: Path, name: str, entries: dict[str, Any], pins: Mapping[str, str], store: Store
) -> None:
    content = entries | ({"pins": dict(sorted(pins.items()))} if pins else {})
    file, data = file_of(recipe), f"{json.dumps(content, indent=2)}\n".encode()
    if _holds(file, data):
        return
    with store.lock(f"{name}.recipe", wait=True):
        if not _holds(file, data):  # a concurrent build may have written it
            filesystem.replace_file(file, data)


def _holds(file: Path, data: bytes) -> bool:
    return file.is_file() and file.read_bytes() == data
