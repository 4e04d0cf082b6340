"""Checks one recipe's file: all mistakes are collected before any is reported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pydantic

from srlm_data.core.config import Config
from srlm_data.core.errors import HubError, MissingError, RecipeError, did_you_mean
from srlm_data.core.redaction import redacted
from srlm_data.core.schema import DATASET_TYPES, DatasetType
from srlm_data.core.yaml_lines import Document
from srlm_data.engines.settings import COMMON
from srlm_data.pipeline.recipe._engine import engine_settings, lower
from srlm_data.pipeline.recipe._model import Dataset, Recipe
from srlm_data.pipeline.registry import FORMER_KEYS, FORMER_STEPS
from srlm_data.pipeline.signature import Parameter, Step, find_step

if TYPE_CHECKING:
    from srlm_data.pipeline.recipe import Loader

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,99}")  # two of these form a folder's name
_INPUT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYS: Final = ("step", "engine", "allow_empty")
"""Keys of a dataset's section other than the inputs and the settings of its step."""
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
        """The recipe that the file holds."""
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
        problem = f"{self._document.at(*where)}: {sentence}"
        if problem not in self._problems:  # each step checks the engine of the recipe again
            self._problems.append(problem)

    def _dataset(self, recipe: str, short: str, body: Any) -> None:
        before = len(self._problems)
        where = ("datasets", short)
        if not _NAME.fullmatch(short):
            self._problem(
                f"'{short}' is not a valid dataset name. Use at most 100 lower-case letters, "
                "digits and underscores.",
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
        inputs: dict[str, Dataset | None] = {}
        for parameter in step.parameters.values():
            if parameter.name in body:
                inputs |= self._input(short, step, parameter, body[parameter.name])
            elif parameter.required:
                self._problem(
                    f"step '{step.name}' reads '{parameter.name}' ({parameter.wanted}), which is "
                    f"missing. Add '{parameter.name}: <dataset>'.",
                    *where,
                )
        allow_empty = body.get("allow_empty", False)
        if not isinstance(allow_empty, bool):
            self._problem(
                f"'allow_empty' is true or false, found {allow_empty!r:.80}.", *where, "allow_empty"
            )
        config = self._config(step, body, where)
        engine = self._engine(step, body, where)
        known = {name: read for name, read in inputs.items() if read}
        # What reads a broken dataset is broken as well, but is no mistake to report.
        if len(self._problems) > before or config is None or len(known) < len(inputs):
            self._broken.add(short)
            return
        line = self._document.at(*where)
        if not self._problems:
            try:
                config = config.pinned(self._loader.pins)
            except (HubError, MissingError) as error:
                raise type(error)(f"{line}: {error}") from None
        makes = step.makes or _made_by(config, known)
        name = f"{recipe}.{short}"
        self._datasets[short] = Dataset(
            name, step, config, makes, known, engine, line, allow_empty=allow_empty
        )

    def _renamed(self, body: dict[str, Any], where: tuple[str, str]) -> dict[str, Any]:
        """Return a dataset's section with former names replaced; each one adds a notice."""
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

    # Inputs of a dataset -----------------------------------------------------------------------

    def _input(
        self, short: str, step: Step, parameter: Parameter, value: Any
    ) -> dict[str, Dataset | None]:
        where = ("datasets", short, parameter.name)
        if parameter.form != "one" and value in ([], {}):
            self._problem(f"'{parameter.name}' names no dataset. Name one at least.", *where)
            return {}
        if parameter.form == "list" and isinstance(value, list):
            return {
                f"{parameter.name}[{i}]": self._read(step, parameter, name, *where, i)
                for i, name in enumerate(value)
            }
        if parameter.form != "mapping":
            key = f"{parameter.name}[0]" if parameter.form == "list" else parameter.name
            return {key: self._read(step, parameter, value, *where)}
        if not isinstance(value, dict):
            self._problem(f"'{parameter.name}' maps names to datasets, found {value!r}.", *where)
            return {}
        for name in value:
            if not _INPUT_NAME.fullmatch(name):
                sentence = f"'{name}' cannot name an input. Use letters, digits and underscores."
                self._problem(sentence, *where, name)
        if len({name.lower() for name in value}) < len(value):  # SQL ignores case
            self._problem(f"'{parameter.name}' has names that differ in case. Rename one.", *where)
        return {
            f"{parameter.name}.{name}": self._read(step, parameter, read, *where, name)
            for name, read in value.items()
        }

    def _read(
        self, step: Step, parameter: Parameter, name: Any, *where: str | int
    ) -> Dataset | None:
        if not isinstance(name, str):
            sentence = f"'{parameter.name}' needs the name of a dataset, found {name!r}."
            self._problem(sentence, *where)
            return None
        dataset = self._elsewhere(name, *where) if "." in name else self._above(name, *where)
        if dataset and parameter.types and dataset.makes not in parameter.types:
            self._problem(
                f"step '{step.name}' reads {parameter.wanted} as '{parameter.name}', found "
                f"'{name}', which is {dataset.makes.name}. Name a dataset of {parameter.wanted}.",
                *where,
            )
        return dataset

    def _above(self, name: str, *where: str | int) -> Dataset | None:
        if name in self._datasets or name in self._broken:  # a broken one is reported already
            return self._datasets.get(name)
        if name in self._document.data["datasets"]:
            sentence = f"'{name}' is not above this line. A recipe reads down the page: "
            self._problem(f"{sentence}move '{name}' up.", *where)
        else:
            self._problem(f"no dataset '{name}'.{did_you_mean(name, self._datasets)}", *where)
        return None

    def _elsewhere(self, name: str, *where: str | int) -> Dataset | None:
        stem, _, short = name.partition(".")
        beside = {file.stem: file for file in self._document.path.parent.glob("*.yaml")}
        if stem not in beside:
            near = did_you_mean(stem, beside)
            self._problem(f"no recipe '{stem}' beside this one ({stem}.yaml).{near}", *where)
            return None
        try:
            other = self._loader.load(beside[stem])
        except RecipeError as error:
            self._problems += [each for each in error.problems if each not in self._problems]
            return None
        if short not in other.datasets:
            self._problem(
                f"recipe '{stem}' has no dataset '{short}'.{did_you_mean(short, other.datasets)}",
                *where,
            )
        return other.datasets.get(short)

    # Settings of a dataset ---------------------------------------------------------------------

    def _config(self, step: Step, body: dict[str, Any], where: tuple[str, str]) -> Config | None:
        settings = {k: v for k, v in body.items() if k not in {*_KEYS, *step.parameters}}
        fields = step.config.model_fields
        for key in settings.keys() - fields.keys():
            known = [*fields, *step.parameters, *_KEYS]
            self._problem(
                f"step '{step.name}' has no '{key}'.{did_you_mean(key, known)} "
                f"'srlm-data steps {step.name}' lists its settings.",
                *where,
                key,
            )
        settings = {key: value for key, value in settings.items() if key in fields}
        for key, value in settings.items():
            if redacted(str(value)) != str(value):
                self._problem(
                    f"'{key}' holds a key or a token, and settings are written into every version. "
                    "Let the step read it from the environment.",
                    *where,
                    key,
                )
        seed = self._document.data.get("seed") if self._loader.seed is None else self._loader.seed
        if "seed" in fields and seed is not None:
            settings.setdefault("seed", seed)
        base = self._document.path.parent
        try:
            return step.config.model_validate(settings, context={"base": base})
        except pydantic.ValidationError as error:
            self._invalid(error, *where)
            return None

    def _engine(self, step: Step, body: dict[str, Any], where: tuple[str, str]) -> Any:
        if "engine" not in step.resources:
            if "engine" in body:
                self._problem(
                    f"step '{step.name}' asks no model. Remove 'engine'.", *where, "engine"
                )
            return None
        at: tuple[str, ...] = (*where, "engine") if "engine" in body else ("engine",)
        settings = body.get("engine", self._document.data.get("engine", {"kind": "vllm"}))
        chosen = self._loader.engine
        if chosen:
            kind = settings.get("kind") if isinstance(settings, dict) else None
            own = settings if kind else {}
            common = {key: own[key] for key in COMMON & own.keys()}
            if kind == chosen.kind:
                common = own
            elif kind == "vllm" and chosen.kind == "ray":  # replicas keep the recipe's settings
                common["vllm"] = {key: own[key] for key in own.keys() - COMMON}
            settings = {**common, **chosen.model_dump(exclude_unset=True)}
        try:
            return engine_settings(settings)
        except pydantic.ValidationError as error:
            self._invalid(error, *at)
        except LookupError as error:
            self._problem(error.args[0], *at, "kind")
        return None

    def _invalid(self, error: pydantic.ValidationError, *where: str | int) -> None:
        for fault in error.errors(include_url=False):
            message = fault["msg"].removeprefix("Value error, ").rstrip(".")
            if not fault["loc"]:  # about several fields, named in the message
                self._problem(f"{message}.", *where)
                continue
            name = ".".join(map(str, fault["loc"]))
            # The value may be an API key in the wrong place, or a URL with one: do not repeat it.
            untold = fault["type"] == "missing" or "key" in name or "url" in name
            text = fault["input"] if isinstance(fault["input"], str) else None
            told = text and (repr(text) in message or message.startswith(f"{text}: "))
            value = "" if untold or told else f", found {fault['input']!r:.80}"
            self._problem(f"'{name}': {lower(message)}{value}.", *where, *fault["loc"])


def _made_by(config: Config, inputs: Mapping[str, Dataset]) -> DatasetType:
    """Return the dataset type that a config decides (``type``), else that of the first input."""
    dataset_type = getattr(config, "type", None)
    return DATASET_TYPES[dataset_type] if dataset_type else next(iter(inputs.values())).makes
