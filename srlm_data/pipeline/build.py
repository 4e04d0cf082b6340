"""Build what is missing: each dataset of a recipe, parents first, each a version of its own."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from srlm_data.core import filesystem
from srlm_data.core.errors import (
    BoundError,
    BusyError,
    EngineError,
    RecipeError,
    UnfinishedError,
    did_you_mean,
)
from srlm_data.engines.bounds import Bounds
from srlm_data.engines.cache.cached_engine import Usage
from srlm_data.engines.cache.journal import seal_journals
from srlm_data.models.training import Training
from srlm_data.pipeline._making import Maker
from srlm_data.pipeline._preflight import find_problems, refuse
from srlm_data.pipeline.plan import Planned, plan_flow, plan_one
from srlm_data.pipeline.recipe import Dataset, Key, Recipe
from srlm_data.store import Manifest, Store, access, lock_file

_LOG = logging.getLogger("srlm_data")


class Watcher:
    """Is told about the progress of a build: override what you want to hear; these do nothing."""

    def begin(self, planned: Planned) -> None:
        """A dataset is about to be built."""

    def asking(self, dataset: Dataset) -> None:
        """A dataset's model is about to be called, but the dataset will not be built (a check)."""

    def progress(self, usage: Usage) -> None:
        """A step that calls a model has made progress."""

    def waiting(self, reason: str) -> None:
        """Another process is building the same version; this one waits for it."""

    def notice(self, sentence: str) -> None:
        """Something is worth knowing, but does not end the build."""

    def reused(self, manifest: Manifest) -> None:
        """A version existed already."""

    def built(self, manifest: Manifest) -> None:
        """A version was made."""


def build(
    recipe: Recipe,
    store: Store,
    *,
    only: Sequence[str] = (),
    wait: bool = True,
    preflight: bool = True,
    accept_failures: bool = False,
    bounds: Bounds | None = None,
    watcher: Watcher | None = None,
) -> dict[str, Manifest]:
    """Make every version of the recipe that is missing; return all that were built or reused.

    It is what ``srlm_data.build`` calls, which says what its arguments mean and what it raises.
    """
    # Threads that spin while they wait are ten times slower when anything else needs a core. torch
    # reads this when it is first loaded, here or in a trainer; the user's own setting has priority.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    bounds, watcher = bounds or Bounds(), watcher or Watcher()
    return _Build(store, watcher, bounds, wait, preflight, accept_failures).run(recipe, only)


@dataclass
class _Build:
    _store: Store
    _watcher: Watcher
    _bounds: Bounds
    _wait: bool
    _network: bool  # whether the preflight asks servers and the Hub
    _accept: bool  # whether versions with failed requests are accepted as they are
    _unchecked: list[Dataset] = field(default_factory=list)
    _known: dict[Key, Manifest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._maker = Maker(self._store, self._watcher.progress, self._bounds, self._accept)

    def run(self, recipe: Recipe, only: Sequence[str]) -> dict[str, Manifest]:
        for name in only:
            if name not in recipe.datasets:
                raise RecipeError(
                    f"{recipe.path}: no dataset '{name}'.{did_you_mean(name, recipe.datasets)} "
                    f"It has {', '.join(recipe.datasets)}."
                )
        root = self._store.root
        # This lock keeps garbage collection from deleting anything while the build runs.
        collection = self._patient(lambda wait: access.shared(root, wait=wait))
        with filesystem.refusals(root), collection, contextlib.closing(self._maker):
            lock_file.write_pins(recipe.path, recipe.name, recipe.pins, self._store)
            try:
                flow = self._unchecked = recipe.flow(only)
                for dataset in flow:
                    self._known[dataset.key] = self._one(dataset)
            except BoundError as error:
                remaining = [dataset.name for dataset in flow if dataset.key not in self._known]
                raise BoundError(str(error), self._versions(), remaining) from None
            self._maker.finish()
            versions = self._versions()
            self._leave(None if any(dataset.limit for dataset in flow) else recipe, versions)
        unfinished = [manifest for manifest in versions.values() if manifest.unfinished]
        if unfinished:
            raise UnfinishedError("\n".join(map(_not_finished, unfinished)), versions)
        return versions

    def _versions(self) -> dict[str, Manifest]:
        return {name: manifest for (name, _), manifest in self._known.items()}

    def _lacks_answers(self, dataset: Dataset) -> bool:
        """Return whether anything that a dataset is made from is unfinished."""
        return any(self._known[read.key].unfinished for read in dataset.ancestors())

    def _leave(self, recipe: Recipe | None, versions: Mapping[str, Manifest]) -> None:
        """Seal all answers and write the recipe's lock file; a read-only place is no error."""
        try:
            seal_journals(self._store.root)
            if recipe:
                lock_file.write(recipe.path, recipe.name, versions, recipe.pins, self._store)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise

    def _one(self, dataset: Dataset) -> Manifest:
        planned = self._plan(dataset)
        if planned.is_missing and self._mend(dataset):
            planned = self._plan(dataset)
        manifest = planned.manifest
        if planned.is_missing:
            with self._lock(f"{dataset.name}.{planned.version}"):
                planned = self._plan(dataset)  # another build may have made it by now
                manifest = planned.manifest
                if manifest and manifest.unfinished and self._accept:
                    manifest = self._store.accept(manifest)
                elif planned.is_missing:
                    return self._make(dataset, planned)
        assert manifest, "what is reused is there"
        if self._becomes_latest(dataset):
            self._store.point(dataset.name, manifest.version)
        _LOG.info("reused %s", manifest.ref)
        self._watcher.reused(manifest)
        return manifest

    def _becomes_latest(self, dataset: Dataset) -> bool:
        """Return whether its version becomes the latest; a trial's never replaces a full one."""
        latest = self._store.refs(dataset.name).get("latest") if dataset.limit else None
        if latest is None:
            return True
        return "limit" in self._store.manifest(dataset.name, latest).provenance

    def _mend(self, dataset: Dataset) -> bool:
        """Verify the inputs of a dataset, rebuild damaged ones; return whether there were any."""
        mended = False
        for read in {read.key: read for read in dataset.inputs.values()}.values():
            version = self._known[read.key].version
            if not self._store.fault(read.name, version, proven=True):
                continue
            with self._lock(f"{read.name}.{version}"):
                # Another build may have moved it by now.
                if fault := self._store.fault(read.name, version, proven=True):
                    self._waiting(fault)
                    self._store.put_aside(self._store.folder(read.name, version))
            self._known[read.key] = self._one(read)
            mended = True
        return mended

    def _plan(self, dataset: Dataset) -> Planned:
        return plan_one(dataset, self._store, self._known, rows={})

    def _lock(self, name: str) -> AbstractContextManager[None]:
        return self._patient(lambda wait: self._store.lock(name, wait=wait))

    @contextlib.contextmanager
    def _patient(self, lock: Callable[[bool], AbstractContextManager[None]]) -> Iterator[None]:
        """Take a lock; if it is held, report the holder and wait, or raise BusyError if told so."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock(False))
            except BusyError as busy:
                if not self._wait:
                    raise
                self._waiting(str(busy))
                stack.enter_context(lock(True))
            yield

    def _waiting(self, reason: str) -> None:
        _LOG.info("%s", reason)
        self._watcher.waiting(reason)

    def _preflight(self) -> None:
        """Check all datasets that are to be built, once, before the first of them is."""
        flow, self._unchecked = self._unchecked, []
        if not flow:
            return
        planned = plan_flow(flow, self._store)
        problems = find_problems(planned, self._store, network=self._network)
        refuse(problems)
        for problem in problems:
            self._watcher.notice(problem.note)
        # Trial trainings take less time than their imports, so these start now in the background.
        missing = [each.dataset for each in planned if each.is_missing]
        if any(dataset.limit and isinstance(dataset.config, Training) for dataset in missing):
            self._maker.start_trainer()

    def _make(self, dataset: Dataset, planned: Planned) -> Manifest:
        self._preflight()
        self._bounds.refuse()
        if "workshop" in dataset.step.resources and self._lacks_answers(dataset):
            raise EngineError(
                f"{dataset.name}: its training data lacks the answers of failed requests, and "
                "training twice would cost twice. Build again to ask for them, or accept the data "
                "with --accept-failures."
            )
        assert planned.version
        folder = self._store.folder(dataset.name, planned.version)
        if folder.exists():
            self._store.put_aside(folder)
        _LOG.info("building %s (%s)", dataset.name, "; ".join(planned.reasons))
        self._watcher.begin(planned)
        reads = [(name, self._known[read.key]) for name, read in dataset.inputs.items()]
        latest = self._becomes_latest(dataset)
        manifest = self._maker.make(dataset, planned.version, reads, latest=latest)
        _LOG.info("built %s: %s", manifest.ref, manifest.counted)
        self._watcher.built(manifest)
        return manifest


def _not_finished(manifest: Manifest) -> str:
    return (
        f"{manifest.name}: {manifest.why_failed}. All answers are kept: build again to ask "
        "them again, or accept the version as it is with --accept-failures."
    )
