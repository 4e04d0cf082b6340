"""A YAML file -> a typed recipe. Every mistake is found here, all at once, before a model loads.

    # recipes/iter1.yaml                    the file's name is the recipe's name
    seed: 0                                 the default of every step's `seed`
    engine: {kind: vllm}                    for every step that uses a model
    datasets:
      candidates:                           a dataset reads only from datasets above it,
        step: generate                        or from another recipe in the same folder
        prompts: prompts
        model: seed.m1
        n: 4

The keys of a dataset are ``step``, the step's dataset parameters and its config's fields.
``engine`` may be set for one dataset too, and ``allow_empty`` allows it to have no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from srlm_data.core import yaml_lines
from srlm_data.core.errors import RecipeError
from srlm_data.core.hub import Pins
from srlm_data.core.rows import Rows
from srlm_data.engines.settings import EngineSettings
from srlm_data.pipeline.recipe._checks import File
from srlm_data.pipeline.recipe._engine import chosen
from srlm_data.pipeline.recipe._model import Dataset, Key, Recipe
from srlm_data.pipeline.registry import STEPS
from srlm_data.store import lock_file

__all__ = ["Dataset", "Key", "Recipe", "load"]


def load(
    path: Path,
    *,
    steps: Mapping[str, Callable[..., Rows]] = STEPS,
    engine: str | None = None,
    replicas: int | None = None,
    seed: int | None = None,
) -> Recipe:
    """Read and check a recipe, and those that it reads from.

    ``engine``, a kind with so many ``replicas``, and ``seed`` replace the recipes' own.
    """
    loader = Loader(steps, chosen(engine, replicas) if engine else None, seed)
    recipe = loader.load(path)
    notices = [
        f"{path}: '{name.partition('/')[2]}' moves, and is {commit} now. A build writes that into "
        f"{lock_file.file_of(path)}, and it stays so until you delete it there."
        for name, commit in loader.pins.new.items()
    ]
    return replace(recipe, notices=(*loader.notices, *notices), pins=dict(loader.pins.used))


@dataclass
class Loader:
    """Loads recipes that read from each other, each once."""

    steps: Mapping[str, Callable[..., Rows]]
    engine: EngineSettings | None
    seed: int | None
    notices: list[str] = field(default_factory=list)
    pins: Pins = field(default_factory=Pins)
    _loaded: dict[Path, Recipe] = field(default_factory=dict)
    _open: list[Path] = field(default_factory=list)

    def load(self, path: Path) -> Recipe:
        """One recipe; those that it reads from come through here as well."""
        key = path.resolve()
        if key in self._open:
            chain = " -> ".join(opened.stem for opened in [*self._open, key])
            raise RecipeError(
                f"{path}: recipes read from each other in a circle, found {chain}. Cut one of them."
            )
        if key not in self._loaded:
            self._open.append(key)
            self.pins.add(lock_file.read(lock_file.file_of(path)).pins)
            try:
                self._loaded[key] = File(self, yaml_lines.read(path)).recipe()
            finally:
                self._open.pop()
        return self._loaded[key]
