"""The commands that make: build, eval, and plan, which says what build would do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srlm_data.cli import _completion
from srlm_data.cli.options import (
    accept_option,
    engine_option,
    findings_row,
    json_option,
    manifest_row,
    pass_store,
    print_json,
    recipe_argument,
    replicas_option,
    seed_option,
)

if TYPE_CHECKING:
    from srlm_data.pipeline.estimate import Estimate
    from srlm_data.pipeline.plan import Planned
    from srlm_data.pipeline.recipe import Recipe
    from srlm_data.store import Manifest, Store


@click.command()
@recipe_argument
@click.argument("datasets", nargs=-1, shell_complete=_completion.datasets_of_recipe)
@engine_option
@replicas_option
@seed_option
@accept_option
@click.option("--no-wait", is_flag=True, help="Fail when another process builds the same version.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless it fails.")
@json_option
@pass_store
def build(
    store: Store, recipe: Path, datasets: tuple[str, ...], engine: str | None,
    replicas: int | None, seed: int | None, accept_failures: bool, no_wait: bool, quiet: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Build what is missing of RECIPE (or only DATASETS of it, with what they read)."""
    from srlm_data.cli.progress import Told
    from srlm_data.cli.stopping import stop_tidily
    from srlm_data.core.errors import UnfinishedError
    from srlm_data.pipeline.build import build as build_recipe

    stop_tidily()
    loaded = _load(recipe, engine, seed, replicas)
    told = Told(store, quiet=quiet or as_json, looks=as_json or not quiet)
    unfinished: UnfinishedError | None = None
    made: Mapping[str, Manifest]
    try:
        made = build_recipe(
            loaded, store, only=datasets, wait=not no_wait, accept_failures=accept_failures,
            watcher=told,
        )  # fmt: skip
    except UnfinishedError as error:
        made, unfinished = error.manifests, error
    finally:
        told.stop()
    if as_json:
        print_json([
            manifest_row(manifest) | {"findings": findings_row(told.findings.get(name))}
            for name, manifest in made.items()
        ])  # fmt: skip
    if unfinished:
        raise unfinished


@click.command("eval")
@recipe_argument
@engine_option
@replicas_option
@seed_option
@accept_option
@click.option("-q", "--quiet", is_flag=True, help="Print the table alone.")
@pass_store
def evaluate(
    store: Store, recipe: Path, engine: str | None, replicas: int | None, seed: int | None,
    accept_failures: bool, quiet: bool,
) -> None:  # fmt: skip
    """Build RECIPE, then print its metrics as one table: models in columns, as in the paper."""
    from srlm_data.cli.progress import Told
    from srlm_data.cli.stopping import stop_tidily
    from srlm_data.core.schema import METRICS, MODELS
    from srlm_data.evaluation.table import paper_table
    from srlm_data.pipeline.build import build as build_recipe

    stop_tidily()
    loaded = _load(recipe, engine, seed, replicas)
    told = Told(store, quiet=quiet, looks=not quiet)
    try:
        made = build_recipe(loaded, store, accept_failures=accept_failures, watcher=told)
    finally:
        told.stop()
    metrics = [made[one.name] for one in loaded.datasets.values() if one.makes is METRICS]
    names = {
        row["model"]: one.name.partition(".")[2].upper()
        for one in loaded.flow()
        if one.makes is MODELS
        for row in store.rows(made[one.name]).dicts()
    }
    click.echo(paper_table([store.rows(manifest) for manifest in metrics], names))


@click.command()
@recipe_argument
@engine_option
@seed_option
@click.option(
    "--tokens-per-second", type=click.FloatRange(min=0, min_open=True), metavar="N",
    help="Tokens that your engines write a second; gives hours.",
)  # fmt: skip
@json_option
@pass_store
def plan(
    store: Store, recipe: Path, engine: str | None, seed: int | None,
    tokens_per_second: float | None, as_json: bool,
) -> None:  # fmt: skip
    """Say what a build of RECIPE would do, why, and what it would take; run nothing."""
    from srlm_data.cli.terminal import visible
    from srlm_data.core.redaction import redacted
    from srlm_data.pipeline.estimate import NOTHING, estimate
    from srlm_data.pipeline.plan import plan as plan_recipe

    planned = plan_recipe(_load(recipe, engine, seed), store)
    estimates = estimate(planned, store)
    if as_json:
        print_json([
            {
                "dataset": one.dataset.name, "action": one.action, "version": one.version,
                "reasons": one.reasons, "rows": one.expected.rows, "calls": one.expected.calls,
                "trust_remote_code": _runs_model_code(one),
                "estimate": vars(estimates.get(one.dataset.name, NOTHING)),
            }
            for one in planned
        ])  # fmt: skip
        return
    for one in planned:
        mark = {"reuse": "=", "build": "+", "retry": "~", "wait": "?"}[one.action]
        size = "" if one.expected.rows is None else f"  <= {one.expected.rows:,} rows"
        calls = _calls(one) + _tokens(one.dataset.name, estimates.get(one.dataset.name))
        if one.action == "reuse":
            size = calls = ""
        click.echo(f"{mark} {one.dataset.name}  {one.dataset.step.name}{size}{calls}")
        for reason in one.reasons:
            click.echo(f"      {visible(redacted(reason))}")
        if _runs_model_code(one):
            click.echo("      runs Python code that comes with the model (trust_remote_code)")
    asked = [one.expected.calls for one in planned if one.action != "reuse"]
    more = " and those that are unknown yet" if None in asked else ""
    todo = sum(one.action != "reuse" for one in planned)
    click.echo(
        f"{todo} of {len(planned)} datasets to build, at most {sum(filter(None, asked)):,} model "
        f"calls{more} (answers that are kept are not asked again)"
    )
    whole = [one for one in estimates.values() if one.completion_tokens]
    if whole:
        written = sum(one.completion_tokens or 0 for one in whole)
        line = f"about {sum(one.calls or 0 for one in whole):,.0f} calls, "
        line += f"{sum(one.prompt_tokens or 0 for one in whole):,.0f} tokens in, {written:,.0f} out"
        if tokens_per_second:
            hours = written / tokens_per_second / 3600
            line += f": {hours:,.2f} hours at {tokens_per_second:,g} tokens a second"
        click.echo(line)


def _tokens(name: str, estimated: Estimate | None) -> str:
    if estimated is None or not estimated.calls or not estimated.completion_tokens:
        return ""
    most = "" if estimated.basis else "at most "
    alike = f" (as {estimated.basis})" if estimated.basis not in (None, name) else ""
    read = "" if estimated.prompt_tokens is None else f"{estimated.prompt_tokens:,.0f} tokens in, "
    return (
        f"; about {estimated.calls:,.0f} calls, {read}{most}"
        f"{estimated.completion_tokens:,.0f} out{alike}"
    )


def _runs_model_code(planned: Planned) -> bool:
    engine = planned.dataset.engine
    return planned.action != "reuse" and bool(getattr(engine, "trust_remote_code", False))


def _calls(planned: Planned) -> str:
    calls = planned.expected.calls
    if calls is None:
        return f"  model calls: unknown until {planned.unknown_until} is built"
    return f", {calls:,} model calls" if calls else ""


def _load(
    recipe: Path, engine: str | None, seed: int | None, replicas: int | None = None
) -> Recipe:
    from srlm_data.pipeline.recipe import load
    from srlm_data.pipeline.signature import look_for_steps_in

    if replicas is not None and engine != "ray":
        raise click.UsageError("--replicas is for '--engine ray': give both.")
    look_for_steps_in(recipe.resolve().parent, Path.cwd())
    loaded = load(recipe, engine=engine, replicas=replicas, seed=seed)
    for notice in loaded.notices:
        click.echo(f"note: {notice}", err=True)
    return loaded
