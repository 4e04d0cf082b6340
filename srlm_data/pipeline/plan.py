"""What a build would do, and why, told before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from srlm_data.core.config import Expected
from srlm_data.core.errors import StoreError, counted
from srlm_data.core.ids import row_id
from srlm_data.core.schema import MODELS, schema_text
from srlm_data.pipeline.recipe import Dataset, Key, Recipe
from srlm_data.store import Manifest, Store, version_of
from srlm_data.store.manifests import step_identity

Action = Literal["reuse", "build", "retry", "wait"]


@dataclass(frozen=True)
class Estimate:
    """What one dataset is likely to take; None is unknown."""

    rows: float | None = None  # how many rows it will have
    calls: float | None = None  # answers that it needs and does not have yet
    prompt_tokens: float | None = None  # tokens that these calls read
    completion_tokens: float | None = None  # tokens that they write
    # the dataset whose tokens were measured; None where tokens are guessed, and
    # ``completion_tokens`` is an upper bound
    basis: str | None = None
    # at the price of the engine; None if it has no price, or tokens are unknown
    money: float | None = None


@dataclass(frozen=True)
class Planned:
    """One dataset of a plan."""

    dataset: Dataset
    # ``reuse`` an existing version, ``build`` one, ``retry`` the failed requests of one, or
    # ``wait`` for an input whose rows decide (if they come out as before, nothing is built)
    action: Action
    version: str | None  # the version reused or built; None while waiting
    reasons: tuple[str, ...]  # why, a phrase each: ``never built``, ``config.n: 4 -> 6``
    expected: Expected  # rows and model calls, of which some may be cached
    # the existing version: to ``reuse``, or the one that lacks answers, to ``retry``
    manifest: Manifest | None = None
    # the dataset that must be built before ``expected`` is known; itself, where only its own
    # step can tell
    unknown_until: str | None = None
    estimate: Estimate = Estimate()  # unknown until it is estimated

    @property
    def is_missing(self) -> bool:
        """Whether a build makes it."""
        return self.action != "reuse"

    @property
    def runs_model_code(self) -> bool:
        """Whether a build runs Python code that comes with a model."""
        engine = self.dataset.engine
        return self.is_missing and engine is not None and engine.runs_model_code


def identity_of(dataset: Dataset, contents: Mapping[str, str]) -> dict[str, Any]:
    """What decides a dataset's rows, as plain JSON."""
    deciding = dataset.engine.decides() if dataset.engine else {}
    return {
        "step": dataset.step.name,
        "revision": dataset.config.revision,
        "type": dataset.makes.name,
        "schema": row_id(schema_text(dataset.makes.schema))[:8],
        "config": dataset.config.identity(),
        "inputs": dict(contents),
        **({"engine": deciding} if deciding else {}),
    }


def plan(recipe: Recipe, store: Store) -> list[Planned]:
    """What a build of the recipe would do, in order; nothing is run or written."""
    return plan_flow(recipe.flow(), store)


def plan_flow(flow: Iterable[Dataset], store: Store) -> list[Planned]:
    """What a build of these datasets would do, parents first; see :func:`plan`."""
    known: dict[Key, Manifest] = {}
    rows: dict[Key, int | None] = {}
    planned: list[Planned] = []
    unknown: dict[Key, str] = {}
    for dataset in flow:
        each = plan_one(dataset, store, known, rows)
        rows[dataset.key] = each.expected.rows
        if each.manifest and not each.is_missing:
            known[dataset.key] = each.manifest
        elif None in each.expected:
            until = [unknown[read.key] for read in dataset.inputs.values() if read.key in unknown]
            unknown[dataset.key] = until[0] if until else dataset.name
            each = replace(each, unknown_until=unknown[dataset.key])
        planned.append(each)
    return planned


def plan_one(
    dataset: Dataset, store: Store, known: Mapping[Key, Manifest], rows: Mapping[Key, int | None]
) -> Planned:
    """What a build would do with one dataset, given the versions of what it reads.

    Of what is not there yet, ``rows`` says how many to expect.
    """
    counts = {
        parameter: known[read.key].rows if read.key in known else rows.get(read.key)
        for parameter, read in dataset.inputs.items()
    }
    expected = dataset.config.expected(counts)
    if dataset.engine and expected.rows is None:
        expected = Expected(None, None)
    waits = [read.name for read in dataset.inputs.values() if read.key not in known]
    if waits:
        reason = f"waits for {', '.join(dict.fromkeys(waits))}"
        return Planned(dataset, "wait", None, (reason, *_asked_in_vain(dataset)), expected)
    contents = {parameter: known[read.key].content for parameter, read in dataset.inputs.items()}
    identity = identity_of(dataset, contents)
    version = version_of(identity)
    if store.has(dataset.name, version):
        if fault := store.fault(dataset.name, version):
            return Planned(dataset, "build", version, (fault,), expected)
        manifest = store.manifest(dataset.name, version)
        return Planned(dataset, "reuse", version, (), Expected(manifest.rows, 0), manifest)
    lacking = store.without_failed(dataset.name, identity)
    if lacking and not store.fault(dataset.name, lacking.version):
        if lacking.accepted:
            there = Expected(lacking.rows, 0)
            return Planned(dataset, "reuse", lacking.version, (), there, lacking)
        reason = f"{counted(lacking.failed, 'failed request')} will be asked again"
        expected = Expected(expected.rows, lacking.failed)
        return Planned(dataset, "retry", version, (reason,), expected, lacking)
    return Planned(dataset, "build", version, _reasons(dataset, identity, store, known), expected)


def _reasons(
    dataset: Dataset, identity: dict[str, Any], store: Store, known: Mapping[Key, Manifest]
) -> tuple[str, ...]:
    if dataset.limit:
        return (f"a trial on {counted(dataset.limit, 'prompt')}", *_asked_in_vain(dataset))
    try:
        before = store.resolve(dataset.name)
    except StoreError:
        return ("never built",)
    changed = dict(differences(step_identity(before.identity), identity))
    names = {f"inputs.{parameter}": known[read.key] for parameter, read in dataset.inputs.items()}
    was = {f"inputs.{i.parameter}": f"{i.name}@{i.version[:8]}" for i in before.inputs}
    return tuple(
        f"{where}: {was.get(where, '(none)')} -> {names[where].name}@{names[where].version[:8]}"
        if where in names
        else f"{where}: {_brief(old)} -> {_brief(new)}"
        for where, (old, new) in changed.items()
    )


def _asked_in_vain(dataset: Dataset) -> tuple[str, ...]:
    """Return the warning that a trial's answers come from a model that only the trial has."""
    models = [read.name for read in dataset.ancestors() if read.limit and read.makes is MODELS]
    if not (models and dataset.engine):
        return ()
    return (f"depends on the trial's {models[0]}: the full build trains another and asks again",)


def differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Every field in which two JSON payloads differ, as ``config.n`` -> (old, new)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{where}.{key}" if where else str(key)
            yield from differences(old.get(key), new.get(key), inner)
    elif old != new:
        yield where, (old, new)


def changes(before: Manifest, after: Manifest) -> dict[str, tuple[Any, Any]]:
    """The fields that decide two versions and differ; an input is told as ``name@version``."""
    changed = dict(differences(before.identity, after.identity))
    old, new = (
        {f"inputs.{i.parameter}": f"{i.name}@{i.version}" for i in side.inputs}
        for side in (before, after)
    )
    return {
        where: (old.get(where), new.get(where)) if where in old or where in new else values
        for where, values in changed.items()
    }


def _brief(value: Any) -> str:
    text = "(none)" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
