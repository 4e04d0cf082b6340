"""Finds what would stop a build before anything is paid for; writes nothing.

Only datasets that are still to be built are checked, and all problems are reported at once.
Mistakes in a recipe's text are found when it is read (``recipe``), without a look at the machine.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from srlm_data.core import packages
from srlm_data.core.errors import (
    EngineError,
    HubError,
    MissingError,
    PreflightError,
    SrlmError,
    StoreError,
    TrainingError,
)
from srlm_data.core.hub import Remote
from srlm_data.core.machine import count_gpus
from srlm_data.core.schema import MODELS
from srlm_data.engines.cache.sealed import model_folder
from srlm_data.engines.settings import OpenaiEngine, RayEngine, VllmEngine
from srlm_data.models import identity
from srlm_data.models.chat_template import describe_fault
from srlm_data.models.training import Training, launcher
from srlm_data.pipeline.plan import Planned
from srlm_data.pipeline.recipe import Dataset
from srlm_data.steps.read.records import Records
from srlm_data.steps.train import Checkpoint
from srlm_data.store import Store

_BYTES: Final = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Problem:
    """Something that stands in the way of a build."""

    error: SrlmError  # the error that the build would end with
    # whether it stops the build for sure; if not, the cached answers may be all that is needed,
    # so that no model is asked
    certain: bool = True

    @property
    def note(self) -> str:
        """The sentence to show for a problem that is not certain."""
        return f"{self.error} It is only needed for answers that are not cached."


def refuse(problems: Iterable[Problem]) -> None:
    """Raise all problems that are certain."""
    errors = [problem.error for problem in problems if problem.certain]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise PreflightError(*errors)


def find_problems(
    planned: Sequence[Planned], store: Store, *, network: bool = True
) -> list[Problem]:
    """List what stands in the way of building what is not there."""
    look = _Look(planned, store)
    return [
        *look.for_packages(),
        *look.for_models_without_files(),
        *look.for_chat_templates(),
        *look.for_gpus(),
        *look.for_keys(),
        *(look.for_servers() if network else ()),
        *(look.for_repositories() if network else ()),
        *look.for_columns(),
        *look.for_launchers(),
        *look.for_room(),
    ]


class _Look:
    """Checks the datasets of a plan that are to be built."""

    def __init__(self, planned: Sequence[Planned], store: Store) -> None:
        self._store = store
        self._todo = [each.dataset for each in planned if each.is_missing]
        self._models: dict[str, dict[str, Any]] = {
            each.dataset.name: next(store.rows(each.manifest).dicts())
            for each in planned
            if each.dataset.makes is MODELS and each.manifest and not each.is_missing
        }

    def for_packages(self) -> Iterator[Problem]:
        """Report packages of steps and engines that are not installed; one command installs all."""
        needed: dict[str, str] = {}
        maybe: dict[str, str] = {}
        for dataset in self._todo:
            needed.update(dataset.config.packages())
            if dataset.engine:
                (maybe if self._has_answers(dataset) else needed).update(dataset.engine.needs)
        for wanted, certain in ((needed, True), (maybe, False)):
            missing = {name: of for name, of in wanted.items() if not packages.is_installed(name)}
            if missing:
                names = ", ".join(f"'{name}'" for name in missing)
                sentence = (
                    f"packages: {names} are needed and not installed. Install them with: "
                    f"{packages.install_command(missing.values())}"
                )
                yield Problem(MissingError(sentence), certain)

    def for_models_without_files(self) -> Iterator[Problem]:
        """Report models that only a server has, where a step or an engine needs their files."""
        for dataset in self._todo:
            for model in dataset.inputs.values():
                location = self._location(model) or ""
                if not identity.is_remote(location):
                    continue
                if "workshop" in dataset.step.resources:
                    sentence = (
                        f"{dataset.line}: '{dataset.step.name}' trains or reads the files of "
                        f"'{location}', but only a server has them. Name a model in a folder or on "
                        "the Hub."
                    )
                    yield Problem(TrainingError(sentence))
                elif dataset.engine and dataset.engine.holds_the_model:
                    sentence = (
                        f"{dataset.line}: the engine '{dataset.engine.kind}' loads a model's "
                        f"files, but only a server has those of '{location}'. "
                        "Set 'engine: {kind: openai}' for this dataset."
                    )
                    yield self._unless_answered(EngineError(sentence), dataset)

    def for_chat_templates(self) -> Iterator[Problem]:
        """Report models that are asked or trained, and have no usable chat template."""
        readers: dict[Path, Dataset] = {}
        # Trainings first: they need more of a template, and it is checked for its first reader.
        for dataset in sorted(self._todo, key=lambda each: not isinstance(each.config, Training)):
            holds = dataset.engine and dataset.engine.holds_the_model
            model = dataset.inputs.get("model")
            if model and (holds or isinstance(dataset.config, Training)):
                models = self._line(model)
                folder = self._folder(models[-1])
                is_set = any(
                    getattr(each.config, "chat_template", None) for each in (*models, dataset)
                )
                if folder and not is_set:
                    readers.setdefault(folder, dataset)
        for folder, dataset in readers.items():
            template = identity.chat_template(folder)
            trains = isinstance(dataset.config, Training)
            if template is None:
                fault = "no chat template, so conversations cannot be formatted"
            elif unusable := describe_fault(template, learned=trains):
                fault = f"a chat template {unusable}"
            else:
                continue
            sentence = f"{dataset.line}: the model in {folder} has {fault}. "
            sentence += "Set 'chat_template' on its checkpoint."
            if trains:
                yield Problem(TrainingError(sentence))
            else:
                yield self._unless_answered(EngineError(sentence), dataset)

    def for_gpus(self) -> Iterator[Problem]:
        """Report engines that need more GPUs than this machine has."""
        there = count_gpus()
        if there is None:
            return
        for engine, datasets in self._by_engine(VllmEngine, RayEngine):
            wanted = _wanted_gpus(engine, there)
            if wanted > max(there, 1):
                sentence = (
                    f"{datasets[0].line}: the engine '{engine.kind}' needs {wanted} GPUs "
                    f"(tensor_parallel_size, replicas), but this machine has {there}. Lower these "
                    "settings, or build on a larger machine."
                )
                yield self._unless_answered(EngineError(sentence), *datasets)

    def for_keys(self) -> Iterator[Problem]:
        """Report API keys that a provider needs and the environment does not have."""
        for engine, datasets in self._by_engine(OpenaiEngine):
            if engine.address is None and not engine.has_key:
                sentence = (
                    f"{datasets[0].line}: the environment has no {engine.api_key_env}, and no "
                    "'base_url' is set. Export the key, or set a server that needs none."
                )
                yield self._unless_answered(MissingError(sentence), *datasets)

    def for_servers(self) -> Iterator[Problem]:
        """Report servers that cannot be reached, refuse the key, or do not serve the model.

        The server of a model that is yet to be trained need not run before the model exists.
        """
        asking = [
            (dataset, dataset.engine, dataset.inputs["model"])
            for dataset in self._todo
            if isinstance(dataset.engine, OpenaiEngine)
        ]
        if not asking or not packages.is_installed("openai"):
            return
        from srlm_data.engines.backends.openai import is_listed, list_models  # noqa: PLC0415

        served: dict[tuple[str | None, str], list[str] | None] = {}
        for dataset, engine, model in asking:
            location, server = self._location(model), (engine.address, engine.api_key_env)
            if location is None or (engine.address is None and not engine.has_key):
                continue
            where = f"{dataset.line}: the server {engine.address or 'of OpenAI'} does not"
            if server not in served:
                served[server] = None  # its problem is reported once
                try:
                    served[server] = list_models(engine)
                except EngineError as error:
                    yield self._unless_answered(error, dataset)
                    continue
                if served[server] is None:
                    sentence = f"{where} list its models, so what it serves is unknown."
                    yield Problem(EngineError(sentence), certain=False)
            name = engine.served_name or self._served_name(model, location)
            listed = served[server]
            if listed is not None and name and not is_listed(name, listed):
                known = ", ".join(map("'{}'".format, listed[:5])) or "no model"
                sentence = (
                    f"{where} serve '{name}', it serves {known}. Start it with "
                    f"--served-model-name {name}, or set 'served_name' to its name for the same "
                    "model; --no-preflight is for a server that does not list it."
                )
                yield self._unless_answered(EngineError(sentence), dataset)

    def for_repositories(self) -> Iterator[Problem]:
        """Report models and datasets that the Hub does not have, or that cannot be read there."""
        wanted: dict[tuple[str, str, str], tuple[str, bool]] = {}
        for dataset in self._todo:
            config = dataset.config
            if isinstance(config, Records) and config.hub:
                wanted["dataset", config.hub, config.commit or "main"] = dataset.line, True
            models = [dataset, *dataset.inputs.values()]
            for location in filter(None, map(self._location, models)):
                kind, _, rest = location.partition(":")
                name, _, commit = rest.rpartition("@")
                if kind == "hub" and self._loads_files(dataset):
                    certain = not self._has_answers(dataset)
                    wanted.setdefault(("model", name, commit), (dataset.line, certain))
        for (kind, name, commit), (line, certain) in wanted.items():
            try:
                remote = Remote(name, kind)
                if not remote.downloaded(commit):  # else no Hub is needed
                    remote.check(commit)
            except (HubError, MissingError) as error:
                yield Problem(type(error)(f"{line}: {error}"), certain)

    def for_columns(self) -> Iterator[Problem]:
        """Report files whose first records do not fit the recipe."""
        for dataset in self._todo:
            config, step = dataset.config, dataset.step
            if isinstance(config, Records) and config.files and not step.parameters:
                try:
                    next(iter(step.function(config).batches()), None)
                except SrlmError as error:
                    yield Problem(error)

    def for_launchers(self) -> Iterator[Problem]:
        """Report programs that start a training, or their configs, that do not exist."""
        for dataset in self._todo:
            if isinstance(dataset.config, Training):
                try:
                    launcher(dataset.config.launch)
                except TrainingError as error:
                    yield Problem(TrainingError(f"{dataset.line}: {error}"))

    def for_room(self) -> Iterator[Problem]:
        """Report a disk with too little room for the models that are to be trained."""
        needed = 0
        for dataset in self._todo:
            model = dataset.inputs.get("model")
            if isinstance(dataset.config, Training) and model:
                folder = self._folder(self._line(model)[-1])
                weights = identity.parameters(folder) if folder else 0
                needed += weights * _BYTES[dataset.config.dtype]
        root = self._store.root.resolve()
        place = next(folder for folder in (root, *root.parents) if folder.exists())
        free = shutil.disk_usage(place).free
        if needed > free:
            sentence = (
                f"{self._store.root}: the models to be trained take {needed / 1e9:,.1f} GB, but "
                f"the disk has {free / 1e9:,.1f} GB left. Make room, or name another store."
            )
            yield Problem(StoreError(sentence))

    # Helpers of the checks -----------------------------------------------------------------------

    def _unless_answered(self, error: SrlmError, *datasets: Dataset) -> Problem:
        """Return a problem that is certain, unless all answers for these datasets may be cached."""
        return Problem(error, certain=not all(map(self._has_answers, datasets)))

    def _by_engine(self, *kinds: Any) -> Iterator[tuple[Any, list[Dataset]]]:
        """Yield the engines of these kinds, each with the datasets to build that use it."""
        datasets = [dataset for dataset in self._todo if isinstance(dataset.engine, kinds)]
        for place, dataset in enumerate(datasets):
            if not any(other.engine == dataset.engine for other in datasets[:place]):
                same = [other for other in datasets if other.engine == dataset.engine]
                yield dataset.engine, same

    def _loads_files(self, dataset: Dataset) -> bool:
        """Return whether a dataset's step or engine reads the files of models."""
        if "workshop" in dataset.step.resources:
            return True
        return dataset.engine is not None and dataset.engine.holds_the_model

    def _line(self, model: Dataset) -> list[Dataset]:
        """Return a model and those it is to be trained from, down to the first that is built."""
        base = model.inputs.get("model")
        return [model] if model.name in self._models or not base else [model, *self._line(base)]

    def _location(self, model: Dataset) -> str | None:
        """Return where a model is; None if it is yet to be trained."""
        if model.name in self._models:
            return str(self._models[model.name]["location"])
        return model.config.location if isinstance(model.config, Checkpoint) else None

    def _folder(self, model: Dataset) -> Path | None:
        """Return the folder of a model; None if it is not in a folder, or yet to be trained."""
        kind, _, rest = (self._location(model) or "").partition(":")
        folder = {"path": Path(rest), "store": self._store.root / rest}.get(kind)
        return folder if folder and folder.is_dir() else None

    def _served_name(self, model: Dataset, location: str) -> str | None:
        """Return what a server calls a model: its name, or the digest of its files, if known."""
        kind, _, rest = location.partition(":")
        dressed = isinstance(model.config, Checkpoint) and model.config.is_dressed
        if kind in ("hub", "remote") and not dressed:
            return rest.rpartition("@")[0]
        digest = self._models.get(model.name, {}).get("model")
        return digest and str(digest)

    def _has_answers(self, dataset: Dataset) -> bool:
        """Return whether all answers may be cached: there are some of its model, or a journal."""
        model = dataset.inputs.get("model")
        known = self._models.get(model.name) if model else None
        if known is None:
            return False
        root = self._store.root
        return model_folder(root, known["model"]).is_dir() or any(root.glob("journal/*.log"))


def _wanted_gpus(engine: VllmEngine | RayEngine, there: int) -> int:
    """Return the GPUs that an engine takes on this machine; a cluster has its own."""
    if isinstance(engine, VllmEngine):
        return engine.tensor_parallel_size
    if engine.address is not None:
        return 0
    each = engine.vllm.tensor_parallel_size if engine.gpus is None else engine.gpus
    return math.ceil(each * (engine.replicas if there else 1))
