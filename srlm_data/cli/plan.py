"""The command `plan`: what a build would do, why, and what it would take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import srlm_data
from srlm_data.cli._options import (
    engine_option,
    json_option,
    print_json,
    recipe_argument,
    seed_option,
)

if TYPE_CHECKING:
    from srlm_data import PlanResult
    from srlm_data.pipeline.estimate import Estimate
    from srlm_data.pipeline.plan import Planned


@click.command()
@recipe_argument
@engine_option
@seed_option
@click.option(
    "--tokens-per-second",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Tokens that your engines write a second; gives hours.",
)
@json_option
@click.pass_obj
def plan(
    store: Path,
    recipe: Path,
    engine: str | None,
    seed: int | None,
    tokens_per_second: float | None,
    as_json: bool,
) -> None:
    """Say what a build of RECIPE would do, why, and what it would take; run nothing."""
    result = srlm_data.plan(recipe, engine=engine, seed=seed, store=store)
    if as_json:
        _print_json(result)
        return
    for planned in result.datasets:
        _print_dataset(planned, result.estimates.get(planned.dataset.name))
    _print_sum(result, tokens_per_second)


def _print_json(result: PlanResult) -> None:
    from srlm_data.pipeline.estimate import NOTHING

    print_json(
        [
            {
                "dataset": planned.dataset.name,
                "action": planned.action,
                "version": planned.version,
                "reasons": planned.reasons,
                "rows": planned.expected.rows,
                "calls": planned.expected.calls,
                "trust_remote_code": _runs_model_code(planned),
                "estimate": vars(result.estimates.get(planned.dataset.name, NOTHING)),
            }
            for planned in result.datasets
        ]
    )


def _print_dataset(planned: Planned, estimate: Estimate | None) -> None:
    from srlm_data.cli._terminal import visible
    from srlm_data.core.redaction import redacted

    mark = {"reuse": "=", "build": "+", "retry": "~", "wait": "?"}[planned.action]
    line = f"{mark} {planned.dataset.name}  {planned.dataset.step.name}"
    if planned.action != "reuse":
        if planned.expected.rows is not None:
            line += f"  <= {planned.expected.rows:,} rows"
        line += _calls(planned) + _tokens(planned.dataset.name, estimate)
    click.echo(line)
    for reason in planned.reasons:
        click.echo(f"      {visible(redacted(reason))}")
    if _runs_model_code(planned):
        click.echo("      runs Python code that comes with the model (trust_remote_code)")


def _print_sum(result: PlanResult, tokens_per_second: float | None) -> None:
    todo = [planned for planned in result.datasets if planned.action != "reuse"]
    calls = [planned.expected.calls for planned in todo]
    more = " and those that are unknown yet" if None in calls else ""
    click.echo(
        f"{len(todo)} of {len(result.datasets)} datasets to build, at most "
        f"{sum(filter(None, calls)):,} model calls{more} "
        "(answers that are kept are not asked again)"
    )
    estimates = [estimate for estimate in result.estimates.values() if estimate.completion_tokens]
    if not estimates:
        return
    written = sum(estimate.completion_tokens or 0 for estimate in estimates)
    line = (
        f"about {sum(estimate.calls or 0 for estimate in estimates):,.0f} calls, "
        f"{sum(estimate.prompt_tokens or 0 for estimate in estimates):,.0f} tokens in, "
        f"{written:,.0f} out"
    )
    if tokens_per_second:
        hours = written / tokens_per_second / 3600
        line += f": {hours:,.2f} hours at {tokens_per_second:,g} tokens a second"
    click.echo(line)


def _tokens(name: str, estimate: Estimate | None) -> str:
    if estimate is None or not estimate.calls or not estimate.completion_tokens:
        return ""
    most = "" if estimate.basis else "at most "
    alike = f" (as {estimate.basis})" if estimate.basis not in (None, name) else ""
    read = "" if estimate.prompt_tokens is None else f"{estimate.prompt_tokens:,.0f} tokens in, "
    return (
        f"; about {estimate.calls:,.0f} calls, {read}{most}"
        f"{estimate.completion_tokens:,.0f} out{alike}"
    )


def _runs_model_code(planned: Planned) -> bool:
    engine = planned.dataset.engine
    return planned.action != "reuse" and bool(getattr(engine, "trust_remote_code", False))


def _calls(planned: Planned) -> str:
    calls = planned.expected.calls
    if calls is None:
        return f"  model calls: unknown until {planned.unknown_until} is built"
    return f", {calls:,} model calls" if calls else ""
