"""One recipe's file, checked: every mistake is gathered before any is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pydantic

from srlm_data.core.config import Config
from srlm_data.core.errors import HubError, MissingError, RecipeError, did_you_mean
from srlm_data.core.redaction import redacted
from srlm_data.core.schema import DATASET_TYPES, DatasetType
from srlm_data.engines.settings import COMMON
from srlm_data.pipeline.recipe._engine import engine_settings, lower
from srlm_data.pipeline.recipe._model import Dataset, Recipe
from srlm_data.pipeline.recipe._yaml_lines import Document
from srlm_data.pipeline.registry import FORMER_KEYS, FORMER_STEPS
from srlm_data.pipeline.signature import Parameter, Step, find_step

if TYPE_CHECKING:
    from srlm_data.pipeline.recipe import Loader

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,99}")  # two of them make a folder's name
_INPUT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYS: Final = ("step", "engine", "allow_empty")
"""What a dataset's section has beside what its step reads and is set to."""
_TOP_KEYS: Final = ("about", "seed", "engine", "datasets")


class File:
    """Checks one file; every mistake is gathered before any is raised."""

    def __init__(self, loader: Loader, document: Document) -> None:
        self._loader = loader
        self._document = document
        self._problems: list[str] = []
        self._datasets: dict[str, Dataset] = {}
        self._broken: set[str] = set()

    def recipe(self) -> Recipe:
        """The recipe that the file holds.

        Raises:
            RecipeError: with one sentence for every mistake.
        """
        document, data = self._document, self._document.data
        name = document.path.stem
        if not _NAME.fullmatch(name):
            raise RecipeError(
                f"{document.path}: a recipe is named by its file, in at most 100 lower-case "
                f"letters, digits and underscores, found '{name}'. Rename the file."
            )
        if not isinstance(data, dict):
            raise RecipeError(
                f"{document.path}:1: a recipe is a mapping with 'datasets', found "
                f"{type(data).__name__}. 'srlm-data init' writes one to start from."
            )
        for key in data.keys() - set(_TOP_KEYS):
            self._problem(
                f"unknown key '{key}'.{did_you_mean(key, _TOP_KEYS)} "
                f"A recipe has {', '.join(_TOP_KEYS)}.",
                key,
            )
        datasets = data.get("datasets")
        if not isinstance(datasets, dict) or not datasets:
            self._problem("'datasets' must name at least one dataset. Add one.", "datasets")
        else:
            for short, body in datasets.items():
                self._dataset(name, short, body)
        if self._problems:
            raise RecipeError(*self._problems)
        return Recipe(name, document.path, str(data.get("about", "")), self._datasets)

    def _problem(self, sentence: str, *where: str | int) -> None:
        self._problems.append(f"{self._document.at(*where)}: {sentence}")

    def _dataset(self, recipe: str, short: str, body: Any) -> None:
        before = len(self._problems)
        where = ("datasets", short)
        if not _NAME.fullmatch(short):
            self._problem(
                f"'{short}' is no dataset's name. "
                "Use at most 100 lower-case letters, digits and underscores.",
                *where,
            )
        if not isinstance(body, dict) or not isinstance(body.get("step"), str):
            self._problem(f"'{short}' must have a 'step'. Name one of 'srlm-data steps'.", *where)
            self._broken.add(short)
            return
        body = self._renamed(body, where)
        try:
            step = find_step(body["step"], self._loader.steps)
        except RecipeError as error:
            self._problem(str(error), *where, "step")
            self._broken.add(short)
            return
        inputs = {
            parameter.name: self._input(short, step, parameter, body[parameter.name])
            for parameter in step.parameters.values()
            if parameter.name in body
        }
        for parameter in step.parameters.values():
            if parameter.required and parameter.name not in body:
                self._problem(
                    f"step '{step.name}' reads '{parameter.name}' ({parameter.wanted}), which is "
                    f"not given. Add '{parameter.name}: <dataset>'.",
                    *where,
                )
        allow_empty = body.get("allow_empty", False)
        if not isinstance(allow_empty, bool):
            self._problem(
                f"'allow_empty' is true or false, found {allow_empty!r:.80}.", *where, "allow_empty"
            )
        config = self._config(step, body, where)
        engine = self._engine(step, body, where)
        if len(self._problems) > before or config is None or _unread(inputs):
            self._broken.add(short)
            return
        if not self._problems:
            config = self._pinned(config, where)
        makes = step.makes or _made_by(config, inputs)
        self._datasets[short] = Dataset(
            f"{recipe}.{short}",
            step,
            config,
            makes,
            inputs,
            engine,
            self._document.at(*where),
            allow_empty=allow_empty,
        )

    def _renamed(self, body: dict[str, Any], where: tuple[str, str]) -> dict[str, Any]:
        """Return a dataset's section in today's names; names of the last version get a notice."""
        step = body["step"]
        if step in FORMER_STEPS and step not in self._loader.steps:
            step = FORMER_STEPS[step]
            self._rename("step", body["step"], step, *where, "step")
        renamed = {"step": step}
        for key, value in body.items():
            name = key
            if step in ("sql", "read_version") and FORMER_KEYS.get(key, key) not in body:
                name = FORMER_KEYS.get(key, key)
            if name != key:
                self._rename("key", key, name, *where, key)
            renamed.setdefault(name, value)
        return renamed

    def _rename(self, what: str, old: str, new: str, *where: str) -> None:
        self._loader.notices.append(
            f"{self._document.at(*where)}: the {what} '{old}' is called '{new}' now. "
            "Rename it; the old name goes with the next version."
        )

    # What a dataset reads ----------------------------------------------------------------------

    def _input(self, short: str, step: Step, parameter: Parameter, given: Any) -> Any:
        where = ("datasets", short, parameter.name)
        if parameter.form != "one" and given in ([], {}):
            self._problem(f"'{parameter.name}' names no dataset. Name one at least.", *where)
            return None
        if parameter.form == "list" and isinstance(given, list):
            return [self._read(step, parameter, one, *where, i) for i, one in enumerate(given)]
        if parameter.form == "mapping":
            if isinstance(given, dict):
                for name in given:
                    if not _INPUT_NAME.fullmatch(name):
                        self._problem(
                            f"'{name}' cannot name an input. Use letters, digits and underscores.",
                            *where,
                            name,
                        )
                return {k: self._read(step, parameter, v, *where, k) for k, v in given.items()}
            self._problem(f"'{parameter.name}' maps names to datasets, found {given!r}.", *where)
            return {}
        read = self._read(step, parameter, given, *where)
        return [read] if parameter.form == "list" else read

    def _read(
        self, step: Step, parameter: Parameter, given: Any, *where: str | int
    ) -> Dataset | None:
        if not isinstance(given, str):
            self._problem(
                f"'{parameter.name}' wants the name of a dataset, found {given!r}.", *where
            )
            return None
        found = self._elsewhere(given, *where) if "." in given else self._above(given, *where)
        if found and parameter.types and found.makes not in parameter.types:
            self._problem(
                f"step '{step.name}' reads {parameter.wanted} as '{parameter.name}', found "
                f"'{given}', which is {found.makes.name}. "
                f"Name a dataset of {parameter.wanted}.",
                *where,
            )
        return found

    def _above(self, given: str, *where: str | int) -> Dataset | None:
        if given in self._datasets:
            return self._datasets[given]
        declared = self._document.data["datasets"]
        if given in self._broken:
            return None  # its own mistake is reported already
        if given in declared:
            self._problem(
                f"'{given}' is not above this line. "
                f"A recipe reads down the page: move '{given}' up.",
                *where,
            )
        else:
            self._problem(f"no dataset '{given}'.{did_you_mean(given, self._datasets)}", *where)
        return None

    def _elsewhere(self, given: str, *where: str | int) -> Dataset | None:
        stem, _, short = given.partition(".")
        beside = {file.stem: file for file in self._document.path.parent.glob("*.yaml")}
        if stem not in beside:
            near = did_you_mean(stem, beside)
            self._problem(f"no recipe '{stem}' beside this one ({stem}.yaml).{near}", *where)
            return None
        try:
            other = self._loader.load(beside[stem])
        except RecipeError as error:
            self._problems.extend(p for p in error.problems if p not in self._problems)
            return None
        if short not in other.datasets:
            self._problem(
                f"recipe '{stem}' has no dataset '{short}'.{did_you_mean(short, other.datasets)}",
                *where,
            )
        return other.datasets.get(short)

    # What it is set to -------------------------------------------------------------------------

    def _config(self, step: Step, body: dict[str, Any], where: tuple[str, str]) -> Config | None:
        given = {k: v for k, v in body.items() if k not in {*_KEYS, *step.parameters}}
        fields = step.config.model_fields
        for key in given.keys() - fields.keys():
            known = [*fields, *step.parameters, *_KEYS]
            self._problem(
                f"step '{step.name}' has no '{key}'.{did_you_mean(key, known)} "
                f"'srlm-data steps {step.name}' shows what it takes.",
                *where,
                key,
            )
        given = {key: value for key, value in given.items() if key in fields}
        for key, value in given.items():
            if redacted(str(value)) != str(value):
                self._problem(
                    f"'{key}' holds a key or a token, and settings are written into every version. "
                    "Let the step read it from the environment.",
                    *where,
                    key,
                )
        seed = self._document.data.get("seed") if self._loader.seed is None else self._loader.seed
        if "seed" in fields and seed is not None:
            given.setdefault("seed", seed)
        try:
            return step.config.model_validate(given, context={"base": self._document.path.parent})
        except pydantic.ValidationError as error:
            self._invalid(error, *where)
            return None

    def _pinned(self, config: Config, where: tuple[str, str]) -> Config:
        """Return a config with the commits that names of the Hub mean.

        Raises:
            HubError, MissingError: one that moves cannot be looked up.
        """
        try:
            return config.pinned(self._loader.pins)
        except (HubError, MissingError) as error:
            raise type(error)(f"{self._document.at(*where)}: {error}") from None

    def _engine(self, step: Step, body: dict[str, Any], where: tuple[str, str]) -> Any:
        if "engine" not in step.resources:
            if "engine" in body:
                self._problem(
                    f"step '{step.name}' asks no model. Remove 'engine'.", *where, "engine"
                )
            return None
        at: tuple[str, ...] = (*where, "engine") if "engine" in body else ("engine",)
        given = body.get("engine", self._document.data.get("engine", {"kind": "vllm"}))
        chosen = self._loader.engine
        if chosen:
            kind = given.get("kind") if isinstance(given, dict) else None
            said = chosen.model_dump(exclude_unset=True)
            common = {key: given[key] for key in COMMON & given.keys()} if kind else {}
            if kind == chosen.kind:
                given = {**given, **said}
            elif kind == "vllm" and chosen.kind == "ray":
                # Each replica runs as the recipe says.
                inner = {key: value for key, value in given.items() if key not in COMMON}
                given = {**common, **said, "vllm": inner}
            else:
                given = {**common, **said}
        before = len(self._problems)
        try:
            return engine_settings(given)
        except pydantic.ValidationError as error:
            self._invalid(error, *at)
        except LookupError as error:
            self._problem(error.args[0], *at, "kind")
        # The engine of the whole recipe is checked by every step: say it once.
        self._problems[before:] = [
            p for p in self._problems[before:] if p not in self._problems[:before]
        ]
        return None

    def _invalid(self, error: pydantic.ValidationError, *where: str | int) -> None:
        for one in error.errors(include_url=False):
            message = one["msg"].removeprefix("Value error, ").rstrip(".")
            if not one["loc"]:  # about several fields at once: the message names them
                self._problem(f"{message}.", *where)
                continue
            name = ".".join(str(part) for part in one["loc"])
            # A key may have been put where none belongs, or into an address: it is not repeated.
            untold = one["type"] == "missing" or "key" in name or "url" in name
            found = "" if untold else f", found {one['input']!r:.80}"
            self._problem(f"'{name}': {lower(message)}{found}.", *where, *one["loc"])


def _unread(inputs: Mapping[str, Any]) -> bool:
    """Whether an input was not found; its mistake is told where it was made."""
    for read in inputs.values():
        several = read.values() if isinstance(read, dict) else read
        if read is None or (isinstance(read, dict | list) and None in several):
            return True
    return False


def _made_by(config: Config, inputs: Mapping[str, Any]) -> DatasetType:
    """The dataset type of a step whose config decides it (``type``), else its first input's."""
    dataset_type = getattr(config, "type", None)
    if dataset_type is not None:
        return DATASET_TYPES[dataset_type]
    first = next(iter(inputs.values()))
    first = next(iter(first.values())) if isinstance(first, dict) else first
    makes: DatasetType = first.makes
    return makes
