"""The functions of the public API: what a command does, for Python.

Every function takes ``store``: a folder, an opened store, or None for ``SRLM_STORE`` or ``store``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srlm_data.analysis.query import Place, opened
from srlm_data.pipeline.build import Watcher
from srlm_data.pipeline.plan import Planned

if TYPE_CHECKING:
    from srlm_data.analysis.diff import Diff
    from srlm_data.analysis.health_checks import Finding
    from srlm_data.analysis.lineage import Lineage
    from srlm_data.analysis.usage import Spending
    from srlm_data.engines.cache.cached_engine import Usage
    from srlm_data.pipeline.estimate import Estimate
    from srlm_data.pipeline.recipe import Recipe
    from srlm_data.publish import Published, Pulled
    from srlm_data.store import Manifest
    from srlm_data.store.verify import Fault

_LOG = logging.getLogger("srlm_data")


@dataclass(frozen=True)
class _Table:
    """A result that is shown as a small table, in a notebook and in a terminal."""

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        raise NotImplementedError

    def __str__(self) -> str:
        heading, rows = self._cells()
        lines = [heading, *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(map(str.ljust, line, widths)).rstrip()  # one line a row
            for line in lines
        )

    def _repr_html_(self) -> str:
        heading, rows = self._cells()
        head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@dataclass(frozen=True, repr=False)
class BuildResult(_Table):
    """What a build made or reused.

    Attributes:
        versions: ``recipe.dataset`` -> manifest, in the order of the recipe.
    """

    versions: dict[str, Manifest]

    def __getitem__(self, name: str) -> Manifest:
        """Return the manifest of a dataset, by ``recipe.dataset``."""
        return self.versions[name]

    def __repr__(self) -> str:
        return f"BuildResult({', '.join(one.ref for one in self.versions.values())})"

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        rows = [
            [manifest.name, manifest.version[:8], manifest.type, f"{manifest.rows:,}"]
            for manifest in self.versions.values()
        ]
        return ["dataset", "version", "type", "rows"], rows


@dataclass(frozen=True, repr=False)
class PlanResult(_Table):
    """What a build would do.

    Attributes:
        datasets: what would become of each dataset, in order.
        estimates: dataset -> what its model calls would take; without those that are reused.
    """

    datasets: list[Planned]
    estimates: dict[str, Estimate]

    def __repr__(self) -> str:
        actions = (f"{planned.dataset.name}: {planned.action}" for planned in self.datasets)
        return f"PlanResult({', '.join(actions)})"

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        rows = [
            [
                planned.dataset.name,
                planned.action,
                _number(planned.expected.rows),
                _number(planned.expected.calls),
                "; ".join(planned.reasons),
            ]
            for planned in self.datasets
        ]
        return ["dataset", "action", "rows at most", "model calls at most", "why"], rows


@dataclass(frozen=True, repr=False)
class CostResult(_Table):
    """What the responses of the latest versions cost.

    Attributes:
        datasets: a line a dataset that asked a model.
        models: a line a model that was asked.
        pairs: a line a dataset of pairs, with all that it was made from.
    """

    datasets: list[Spending]
    models: list[Spending]
    pairs: list[Spending]

    def __repr__(self) -> str:
        return f"CostResult({', '.join(line.name for line in self.datasets)})"

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        keys = ("calls", "reused", "prompt_tokens", "completion_tokens")
        rows = [
            [line.name, f"{line.units:,}", *(f"{line.cost[key]:,.0f}" for key in keys)]
            for line in (*self.datasets, *self.pairs)
        ]
        return ["dataset", "rows", "calls", "reused", "tokens in", "tokens out"], rows


class _Logged(Watcher):
    """A watcher that logs each event before it passes it on."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def begin(self, planned: Planned) -> None:
        _LOG.info("building %s (%s)", planned.dataset.name, "; ".join(planned.reasons))
        self._watcher.begin(planned)

    def progress(self, usage: Usage) -> None:
        self._watcher.progress(usage)

    def waiting(self, reason: str) -> None:
        _LOG.info("%s", reason)
        self._watcher.waiting(reason)

    def reused(self, manifest: Manifest) -> None:
        _LOG.info("reused %s", manifest.ref)
        self._watcher.reused(manifest)

    def built(self, manifest: Manifest) -> None:
        _LOG.info("built %s: %s", manifest.ref, manifest.counted)
        self._watcher.built(manifest)


def build(
    recipe: str | Path,
    *,
    only: Sequence[str] = (),
    engine: str | None = None,
    replicas: int | None = None,
    seed: int | None = None,
    wait: bool = True,
    watcher: Watcher | None = None,
    store: Place = None,
) -> BuildResult:
    """Build what is missing of a recipe, parents first, as ``srlm-data build`` does.

    Args:
        recipe: the YAML file.
        only: short names of datasets; these and what they read are built. All when empty.
        engine: a kind that replaces the recipe's own.
        replicas: copies of the model, with the engine ``ray``.
        seed: a number that replaces the recipe's own.
        wait: whether to wait for another process that builds the same version.
        watcher: hears how the build goes.
        store: where versions lie.

    Raises:
        SrlmError: its class says what kind of failure; what was built before it stays built.
    """
    from srlm_data.pipeline.build import build as build_recipe

    loaded = _load(recipe, engine=engine, replicas=replicas, seed=seed)
    logged = _Logged(watcher or Watcher())
    return BuildResult(build_recipe(loaded, opened(store), only=only, wait=wait, watcher=logged))


def plan(
    recipe: str | Path,
    *,
    engine: str | None = None,
    seed: int | None = None,
    store: Place = None,
) -> PlanResult:
    """Return what a build of a recipe would do, why, and what it would take; nothing is run.

    Raises:
        RecipeError: the recipe is wrong.
        StoreError: a manifest that must be read is damaged.
    """
    from srlm_data.pipeline.estimate import estimate
    from srlm_data.pipeline.plan import plan as plan_recipe

    place = opened(store)
    planned = plan_recipe(_load(recipe, engine=engine, seed=seed), place)
    return PlanResult(planned, estimate(planned, place))


def diff(before: str, after: str, *, samples: int = 3, store: Place = None) -> Diff:
    """Compare two versions of one dataset, or of two datasets of one type.

    Raises:
        DataError: their rows are of different types.
        StoreError: a version is not there, or damaged.
    """
    from srlm_data.analysis.diff import diff as compare

    place = opened(store)
    return compare(place, place.resolve(before), place.resolve(after), samples=samples)


def lineage(what: str, *, down: bool = False, limit: int = 5, store: Place = None) -> Lineage:
    """Return what a row, a model or a version came from, or with ``down`` what came of it.

    Raises:
        StoreError: there is no such row or version.
        DataError: several ids begin so.
    """
    from srlm_data.analysis.lineage import lineage as trace

    return trace(opened(store), what, down=down, limit=limit)


def cost(*recipes: str, store: Place = None) -> CostResult:
    """Return what the responses of these recipes (of all, when none is named) cost.

    Raises:
        StoreError: nothing of a recipe is built, or a manifest is damaged.
    """
    from srlm_data.analysis import usage

    place, names = opened(store), [Path(recipe).stem for recipe in recipes]
    datasets = usage.datasets(place, names)
    return CostResult(datasets, usage.models(datasets, place), usage.pairs(place, names))


def verify(*refs: str, store: Place = None) -> list[Fault]:
    """Read and hash every byte of these versions, or of the whole store; return every fault.

    Raises:
        StoreError: there is no such version.
    """
    from srlm_data.store import verify as verification

    place = opened(store)
    if not refs:
        return list(verification.faults(place, {}))
    manifests = [place.resolve(ref) for ref in refs]
    return [fault for one in manifests for fault in verification.of_version(place, one)]


def write_report(
    *recipes: str,
    output: str | Path = "report.html",
    map_points: int = 1000,
    store: Place = None,
) -> dict[str, list[Finding]]:
    """Write one offline HTML page about built recipes; return dataset -> warnings about it.

    Raises:
        MissingError: a package of the extra ``report`` is not installed.
        StoreError: the store does not have what is named, or it is damaged.
        DataError: there is nothing to report, or the file cannot be written.
    """
    from srlm_data.report import write

    return write(opened(store), recipes, Path(output), map_points=map_points)


def push(
    *targets: str,
    repo: str,
    tag: str | None = None,
    license: str | None = None,
    private: bool = True,
    pull_request: bool = False,
    store: Place = None,
) -> Published:
    """Publish recipes, datasets or versions (all, when none is named) to a Hub repository.

    Raises:
        HubError: the Hub refuses or fails, or the tag names other data.
        StoreError: there is no such dataset.
        MissingError: huggingface_hub is not installed.
    """
    from srlm_data import publish

    place = opened(store)
    bundle = publish.select(place, targets)
    upload = publish.prepare_dataset(bundle, place, repo=repo, tag=tag, license=license)
    return publish.publish(upload, repo, private=private, pull_request=pull_request)


def pull(
    repo: str, revision: str | None = None, *, only: Sequence[str] = (), store: Place = None
) -> list[Pulled]:
    """Bring what a Hub repository holds into the store, as the versions that were published.

    Raises:
        HubError: the Hub refuses or fails, or holds something else than was published.
        MissingError: huggingface_hub is not installed.
    """
    from srlm_data import publish

    return publish.pull(opened(store), repo, revision, only=only)


def _load(recipe: str | Path, **options: Any) -> Recipe:
    from srlm_data.pipeline.recipe import load
    from srlm_data.pipeline.signature import look_for_steps_in

    path = Path(recipe)
    look_for_steps_in(path.resolve().parent, Path.cwd())
    return load(path, **options)


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
