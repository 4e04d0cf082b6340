"""Makes one version: runs its step with the resources it asks for, and records what that took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from srlm_data.core.rows import Rows
from srlm_data.engines.bounds import Bounds
from srlm_data.engines.cache.cached_engine import CachedEngine, Usage
from srlm_data.engines.cache.journal import seal_journals
from srlm_data.engines.failures import Failures
from srlm_data.models.trainer import Trainer
from srlm_data.models.training import Training, script
from srlm_data.pipeline._emptiness import refuse_empty
from srlm_data.pipeline._resources import Engines, StoreWorkshop
from srlm_data.pipeline.plan import identity_of
from srlm_data.pipeline.provenance import circumstances
from srlm_data.pipeline.recipe import Dataset
from srlm_data.store import Manifest, Store
from srlm_data.store.manifests import accepted_identity, unfinished_identity


class Maker:
    """Makes the versions of a build; the open engine and the trainer are kept from one to the next.

    Args:
        store: where versions lie.
        watch: called with the usage of a step that asks a model.
        bounds: the bounds of the build.
        accept: whether versions in which requests failed are accepted as they are.
    """

    def __init__(
        self, store: Store, watch: Callable[[Usage], None], bounds: Bounds, accept: bool
    ) -> None:
        self._store = store
        self._watch = watch
        self._bounds = bounds
        self._accept = accept
        self._engines = Engines(store, bounds if bounds.any else None)
        self._trainer = Trainer()
        self._beside = ThreadPoolExecutor(1, "sealing")
        self._sealing: list[Future[None]] = []

    def make(
        self, dataset: Dataset, version: str, reads: Sequence[tuple[str, Manifest]], *, latest: bool
    ) -> Manifest:
        """Run the step of a dataset on the versions that it reads, and publish what it makes."""
        started = time.perf_counter()
        arguments = _by_parameter({name: self._store.rows(manifest) for name, manifest in reads})
        engine: CachedEngine | None = None
        workshop = StoreWorkshop(self._store, f"{dataset.name}-{version}", self._trainer)
        with contextlib.ExitStack() as held:
            if dataset.engine:
                model, prompts = arguments["model"], arguments.get("prompts")
                if prompts is not None:
                    self._engines.refuse_turns(dataset.engine, model, prompts)
                engine = self._engines.recorded(dataset.engine, model, dataset.name, self._watch)
                held.callback(engine.close)
                arguments["engine"] = engine
            if "workshop" in dataset.step.resources:
                # A trainer needs the memory and the cores that an idle engine would hold.
                self._engines.close()
                arguments["workshop"] = workshop
                if isinstance(dataset.config, Training):
                    self.start_trainer()
            # These may take a day, but resume where they stopped: a bound may interrupt them.
            if "workshop" in dataset.step.resources or getattr(dataset.engine, "batch", False):
                held.enter_context(self._bounds.interrupting())
            if "versions" in dataset.step.resources:
                arguments["versions"] = self._store
            manifest = self._store.commit(
                dataset.name,
                dataset.step.function(dataset.config, **arguments),
                identity=identity_of(dataset, {name: read.content for name, read in reads}),
                inputs=list(reads),
                complete=lambda drained: self._complete(
                    drained, dataset, [read for _, read in reads], engine, started
                ),
                latest=latest,
            )
        # The answers of this step are sealed as Parquet while the next step runs.
        self._sealing.append(self._beside.submit(seal_journals, self._store.root))
        workshop.clear()
        return manifest

    def start_trainer(self) -> None:
        """Start the imports of trainings, which take longer than a short training."""
        self._trainer.start(script("prefork.py"))

    def finish(self) -> None:
        """Wait until all answers are sealed; raise the error if that failed."""
        for sealing in self._sealing:
            sealing.result()

    def close(self) -> None:
        """Release what was kept from one version to the next."""
        self._engines.close()
        self._trainer.close()
        self._beside.shutdown()

    def _complete(
        self,
        manifest: Manifest,
        dataset: Dataset,
        reads: Sequence[Manifest],
        engine: CachedEngine | None,
        started: float,
    ) -> Manifest:
        """Return the manifest of written rows, completed with cost, failures and provenance."""
        usage, failures = Usage(), Failures(dataset.name)
        if engine:
            usage, failures = engine.usage, engine.failures
        failures.refuse_all(usage.calls + usage.reused)
        identity = manifest.identity
        if failures.count:
            identity = unfinished_identity(identity, failures.digest)
            identity = accepted_identity(identity) if self._accept else identity
        provenance: dict[str, Any] = {"engine": dataset.engine.kind} if dataset.engine else {}
        provenance |= {"limit": dataset.limit} if dataset.limit else {}
        provenance["seconds"] = round(time.perf_counter() - started, 3)
        cost, price = usage.cost(), dataset.engine.price if dataset.engine else None
        if price and cost:
            cost["money"] = price.of(cost["prompt_tokens"], cost["completion_tokens"])
            provenance["price"] = price.model_dump(by_alias=True)
        completed = replace(
            manifest,
            identity=identity,
            failures=failures.kinds,
            cost=cost,
            provenance={**provenance, **circumstances()},
        )
        refuse_empty(dataset, completed, reads)
        return completed


def _by_parameter(inputs: Mapping[str, Rows]) -> dict[str, Any]:
    """Return a step's arguments: ``data[0]`` and the like as a list, ``judges.mine`` as a dict."""
    arguments: dict[str, Any] = {}
    for key, rows in inputs.items():
        name, _, label = key.partition(".")
        name, bracket, _ = name.partition("[")
        if label:
            arguments.setdefault(name, {})[label] = rows
        elif bracket:
            arguments.setdefault(name, []).append(rows)
        else:
            arguments[name] = rows
    return arguments
