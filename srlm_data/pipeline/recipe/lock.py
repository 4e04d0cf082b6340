"""The lock file beside a recipe: what it was last built to, and what its moving names mean.

``iter1.lock`` is JSON: ``recipe.dataset`` -> version, content and rows; and under ``pins``, which
commit each branch or tag of the Hub was when a build first met it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from srlm_data.core import filesystem
from srlm_data.core.errors import RecipeError

if TYPE_CHECKING:
    from srlm_data.store import Manifest, Store

PINS: Final = "pins"


def file_of(recipe: Path) -> Path:
    """Return where the lock file of a recipe lies."""
    return recipe.parent / f"{recipe.stem}.lock"


def read_pins(recipe: Path) -> dict[str, str]:
    """Return the commits that moving names mean; none where there is no lock file."""
    file = file_of(recipe)
    pins = _read(file).get(PINS, {})
    if not isinstance(pins, dict) or not all(isinstance(commit, str) for commit in pins.values()):
        raise _damaged(file, f"'{PINS}' that are no names and commits")
    return pins


def write_pins(recipe: Path, name: str, pins: Mapping[str, str], store: Store) -> None:
    """Write what moving names mean, before anything is built with it."""
    file = file_of(recipe)
    if pins and pins.items() - read_pins(recipe).items():
        _write(file, name, {**_read(file), PINS: dict(sorted(pins.items()))}, store)


def write(
    recipe: Path, name: str, versions: Mapping[str, Manifest], pins: Mapping[str, str], store: Store
) -> None:
    """Write what a recipe was built to."""
    content: dict[str, Any] = {
        dataset: {name: getattr(manifest, name) for name in ("version", "content", "rows")}
        for dataset, manifest in sorted(versions.items())
    }
    if pins:
        content[PINS] = dict(sorted(pins.items()))
    _write(file_of(recipe), name, content, store)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(filesystem.read_bytes(file))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RecipeError(f"{file}: it cannot be read, found '{error.strerror}'.") from None
    except (ValueError, RecursionError) as error:
        raise _damaged(file, str(error)) from None
    if not isinstance(content, dict):
        raise _damaged(file, type(content).__name__)
    return content


def _write(file: Path, name: str, content: Mapping[str, Any], store: Store) -> None:
    data = f"{json.dumps(content, indent=2)}\n".encode()
    if _holds(file, data):
        return
    with store.lock(f"{name}.recipe", wait=True):
        if not _holds(file, data):  # an equal build may have written it meanwhile
            filesystem.replace_file(file, data)


def _holds(file: Path, data: bytes) -> bool:
    return file.is_file() and file.read_bytes() == data


def _damaged(file: Path, content: str) -> RecipeError:
    return RecipeError(
        f"{file}: not what a build writes beside a recipe, found {content}. "
        "Delete it, or build the recipe again."
    )
