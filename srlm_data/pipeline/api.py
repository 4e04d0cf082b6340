"""The Python API of recipes, behind the commands `build`, `plan`, `eval` and `judge-check`.

Each function takes ``store``: a folder, an opened store, or None for ``SRLM_STORE`` or ``store``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srlm_data.core.errors import ArgumentError, RecipeError
from srlm_data.core.schema import METRICS, MODELS
from srlm_data.core.tables import Table
from srlm_data.engines.bounds import Bounds
from srlm_data.evaluation.table import paper_table
from srlm_data.pipeline import plan as planning
from srlm_data.pipeline._estimate import estimate
from srlm_data.pipeline._limit import limited
from srlm_data.pipeline._preflight import Problem, find_problems, refuse
from srlm_data.pipeline.build import Watcher
from srlm_data.pipeline.build import build as build_recipe
from srlm_data.pipeline.judge_check import JudgeCheck, check
from srlm_data.pipeline.plan import Planned
from srlm_data.pipeline.recipe import Recipe, load
from srlm_data.pipeline.signature import look_for_steps_in
from srlm_data.store import Manifest, Place, Store, open_store

_LOG = logging.getLogger("srlm_data")


@dataclass(frozen=True, repr=False)
class BuildResult(Table):
    """The versions that a build made or reused."""

    versions: dict[str, Manifest]  # ``recipe.dataset`` -> manifest, in the order of the recipe

    def __getitem__(self, name: str) -> Manifest:
        """Return the manifest of a dataset, by ``recipe.dataset``."""
        return self.versions[name]

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return a row for each version."""
        rows = [
            [manifest.name, manifest.version[:8], manifest.type, f"{manifest.rows:,}"]
            for manifest in self.versions.values()
        ]
        return ["dataset", "version", "type", "rows"], rows


@dataclass(frozen=True, repr=False)
class PlanResult(Table):
    """What a build would do."""

    # in the order of a build: what would be done with each dataset, and what that would take
    datasets: list[Planned]
    problems: list[Problem]  # what would stop the build, or may

    def refuse_problems(self) -> None:
        """Raise the error that the build would end with.

        Raises:
            SrlmError: the one certain problem, or a :class:`PreflightError` of several.
        """
        refuse(self.problems)

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return a row for each dataset."""
        rows = []
        for planned in self.datasets:
            bounds = ["unknown" if bound is None else f"{bound:,}" for bound in planned.expected]
            rows.append([planned.dataset.name, planned.action, *bounds, "; ".join(planned.reasons)])
        return ["dataset", "action", "rows at most", "model calls at most", "why"], rows


@dataclass(frozen=True, repr=False)
class EvalResult(BuildResult):
    """What an evaluation built, and its metrics."""

    table: str  # the metrics as text, models in columns, as in the paper

    def __str__(self) -> str:
        return self.table


def build(
    recipe: str | Path,
    *,
    only: str | Sequence[str] = (),
    engine: str | None = None,
    replicas: int | None = None,
    seed: int | None = None,
    limit: int | None = None,
    preflight: bool = True,
    wait: bool = True,
    accept_failures: bool = False,
    max_calls: int | None = None,
    max_tokens: int | None = None,
    max_seconds: float | None = None,
    watcher: Watcher | None = None,
    store: Place = None,
) -> BuildResult:
    """Build what is missing of a recipe, parents first, as ``srlm-data build`` does.

    Args:
        recipe: the YAML file.
        only: short names of datasets, built with what they read; all if empty.
        engine: the kind of engine to use instead of the recipe's.
        replicas: copies of the model, with the engine ``ray``.
        seed: the seed to use instead of the recipe's.
        limit: try the recipe on this many prompts of its sources, in separate versions.
        preflight: whether to check servers and the Hub before anything is built.
        wait: whether to wait for another process that builds the same version.
        accept_failures: whether to accept versions with failed requests as they are.
        max_calls: most requests to send before the build stops.
        max_tokens: most tokens to read and write before the build stops.
        max_seconds: most time to take before the build stops.
        watcher: is told about the progress of the build.
        store: the store to use.

    Raises:
        BoundError: one of the limits was reached; everything made and answered is kept.
        UnfinishedError: everything was built, but answers of failed requests are missing.
        SrlmError: a failure, of the kind that its class says; what was built before it is kept.
    """
    opened = open_store(store)
    loaded = _load(recipe, opened, engine, seed, replicas=replicas, limit=limit)
    versions = build_recipe(
        loaded,
        opened,
        only=[only] if isinstance(only, str) else only,
        wait=wait,
        preflight=preflight,
        accept_failures=accept_failures,
        bounds=Bounds(max_calls, max_tokens, max_seconds),
        watcher=watcher,
    )
    return BuildResult(versions)


def plan(
    recipe: str | Path,
    *,
    engine: str | None = None,
    seed: int | None = None,
    limit: int | None = None,
    preflight: bool = True,
    store: Place = None,
) -> PlanResult:
    """Return what a :func:`build` with these arguments would do, why, and what it would take.

    Nothing is run.

    Raises:
        RecipeError: the recipe is wrong.
        StoreError: a manifest that must be read is damaged.
    """
    opened = open_store(store)
    loaded = _load(recipe, opened, engine, seed, limit=limit)
    planned = estimate(planning.plan(loaded, opened), opened)
    return PlanResult(planned, find_problems(planned, opened, network=preflight))


def evaluate(
    recipe: str | Path,
    *,
    engine: str | None = None,
    replicas: int | None = None,
    seed: int | None = None,
    accept_failures: bool = False,
    watcher: Watcher | None = None,
    store: Place = None,
) -> EvalResult:
    """Build a recipe and return its metrics as one table, as ``srlm-data eval`` does.

    Raises:
        SrlmError: as :func:`build` does.
        RecipeError: it has no metrics.
        DataError: two rows give different figures for one metric of one model.
    """
    opened = open_store(store)
    loaded = _load(recipe, opened, engine, seed, replicas=replicas)
    measured = [dataset for dataset in loaded.datasets.values() if dataset.makes is METRICS]
    if not measured:
        raise RecipeError(f"{recipe}: it has no metrics. Evaluate one such as recipes/loop.yaml.")
    versions = build_recipe(loaded, opened, accept_failures=accept_failures, watcher=watcher)
    metrics = [opened.rows(versions[dataset.name]) for dataset in measured]
    names = {
        row["model"]: dataset.name.partition(".")[2].upper()
        for dataset in loaded.flow()
        if dataset.makes is MODELS
        for row in opened.rows(versions[dataset.name]).dicts()
    }
    return EvalResult(versions, paper_table(metrics, names))


def check_judge(
    recipe: str | Path,
    step: str | None = None,
    *,
    n: int = 5,
    engine: str | None = None,
    seed: int | None = None,
    preflight: bool = True,
    watcher: Watcher | None = None,
    store: Place = None,
) -> JudgeCheck:
    """Ask a recipe's judge about a few candidates, as ``srlm-data judge-check`` does.

    ``step`` is the short name of its judgments, not needed if there is only one judge. It judges
    ``n`` candidates, and two ranked replies for each of ``n`` prompts.

    Raises:
        ArgumentError: there is no such judge, or a model that it needs is not yet trained.
        SrlmError: as :func:`build` does.
    """
    opened = open_store(store)
    loaded = _load(recipe, opened, engine, seed)
    return check(loaded, opened, step, candidates=n, preflight=preflight, watcher=watcher)


def _load(
    recipe: str | Path,
    store: Store,
    engine: str | None,
    seed: int | None,
    *,
    replicas: int | None = None,
    limit: int | None = None,
) -> Recipe:
    if replicas is not None and engine != "ray":
        raise ArgumentError("replicas: only the engine 'ray' has them. Give both.")
    path = Path(recipe)
    look_for_steps_in(path.resolve().parent, Path.cwd())
    loaded = load(path, engine=engine, replicas=replicas, seed=seed)
    for notice in loaded.notices:
        _LOG.warning("%s", notice)
    return loaded if limit is None else limited(loaded, limit, store)
