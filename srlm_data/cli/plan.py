"""The command `plan`: what a build would do, why, and what it would take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import srlm_data
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say, say_json, say_state

if TYPE_CHECKING:
    from srlm_data import PlanResult
    from srlm_data.pipeline.plan import Planned


@click.command()
@options.recipe
@options.engine
@options.seed
@options.allow_env
@options.limit
@options.preflight
@click.option(
    "--tokens-per-second",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Tokens that your engines write per second; adds hours.",
)
@options.as_json
@click.pass_obj
def plan(
    store: Path,
    /,
    recipe: Path,
    tokens_per_second: float | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Show what a build would do, why, and what it would take.

    Nothing is run or written.
    """
    result = srlm_data.plan(recipe, store=store, **settings)
    if as_json:
        _print_json(result)
    else:
        for planned in result.datasets:
            _print_dataset(planned)
        _print_sum(result, tokens_per_second)
    for problem in result.problems:
        if not problem.certain:
            say_state(f"note: {problem.note}", err=True)
    result.refuse_problems()


def _print_json(result: PlanResult) -> None:
    say_json(
        [
            {
                "dataset": planned.dataset.name,
                "action": planned.action,
                "version": planned.version,
                "reasons": planned.reasons,
                "rows": planned.expected.rows,
                "calls": planned.expected.calls,
                "trust_remote_code": planned.runs_model_code,
                "estimate": vars(planned.estimate),
            }
            for planned in result.datasets
        ]
    )


def _print_dataset(planned: Planned) -> None:
    from srlm_data.core.redaction import redacted

    mark = {"reuse": "=", "build": "+", "retry": "~", "wait": "?"}[planned.action]
    line = f"{mark} {planned.dataset.name}  {planned.dataset.step.name}"
    if planned.is_missing:
        if planned.expected.rows is not None:
            line += f"  <= {planned.expected.rows:,} rows"
        line += _calls(planned) + _tokens(planned)
    say_state(line)
    for reason in planned.reasons:
        say(f"      {redacted(reason)}")
    if planned.is_missing and (server := _server(planned)):
        say(f"      {redacted(server)}")
    if planned.runs_model_code:
        say("      runs the model's own Python code (trust_remote_code)")


def _server(planned: Planned) -> str | None:
    """Return which server a dataset calls and the variable with its key; None for other engines."""
    from srlm_data.engines.settings import OpenaiEngine

    engine = planned.dataset.engine
    if not isinstance(engine, OpenaiEngine):
        return None
    key = f" with the key in {engine.api_key_env}" if engine.api_key_env in os.environ else ""
    return f"asks {engine.address or 'OpenAI'}{key}"


def _print_sum(result: PlanResult, tokens_per_second: float | None) -> None:
    todo = [planned for planned in result.datasets if planned.is_missing]
    asking = [planned for planned in todo if planned.expected.calls != 0]
    sentence = f"{len(todo)} of {len(result.datasets)} datasets to build"
    if asking:
        sentence += f", model calls: {_sum_of_calls(asking)} (cached answers are not asked again)"
    say(sentence)
    estimates = [planned.estimate for planned in asking]
    if not any(estimate.calls for estimate in estimates):
        return
    written = [estimate.completion_tokens for estimate in estimates]
    guessed = not any(estimate.basis for estimate in estimates)
    most = guessed and not any(planned.dataset.config.calls_are_fewest for planned in asking)
    sums = [
        _sum([estimate.calls for estimate in estimates], "about", "calls"),
        _sum([estimate.prompt_tokens for estimate in estimates], "about", "tokens in"),
        _sum(written, "at most" if most else "about", "out"),
    ]
    engines = [(planned.dataset.engine, planned.estimate.money) for planned in asking]
    money = [cost for engine, cost in engines if engine and engine.price]
    if money:
        sums.append("cost: " + _sum(money, "about", "by the engines' prices", ",.2f"))
    line = ", ".join(sums)
    if tokens_per_second and any(written):
        hours = sum(filter(None, written)) / tokens_per_second / 3600
        line += f": {hours:,.2f} hours at {tokens_per_second:,g} tokens a second"
    say(line)


def _sum_of_calls(asking: Sequence[Planned]) -> str:
    """Return the datasets' sum of calls in words, with separate upper and lower bounds."""
    fewest = [planned for planned in asking if planned.dataset.config.calls_are_fewest]
    most = [planned for planned in asking if planned not in fewest]
    words = [
        f"{bound} {sum(known):,}"
        for bound, some in (("at most", most), ("at least", fewest))
        if (known := [planned.expected.calls for planned in some if planned.expected.calls])
    ]
    if unknown := [planned.dataset.name for planned in asking if planned.expected.calls is None]:
        words.append(f"unknown for {', '.join(unknown)}")
    return " and ".join(words)


def _sum(values: Sequence[float | None], known: str, of: str, form: str = ",.0f") -> str:
    """Return a sum in words; if some values are unknown, as a lower bound."""
    if all(value is None for value in values):
        return f"unknown {of}"
    bound = "at least" if None in values else known
    return f"{bound} {sum(filter(None, values)):{form}} {of}".lstrip()


def _tokens(planned: Planned) -> str:
    estimate = planned.estimate
    if not estimate.calls:
        return ""
    alike = f" (as {estimate.basis})" if estimate.basis not in (None, planned.dataset.name) else ""
    read = _sum([estimate.prompt_tokens], "", "tokens in")
    written = _sum([estimate.completion_tokens], "" if estimate.basis else "at most", "out")
    return f"; about {estimate.calls:,.0f} calls, {read}, {written}{alike}"


def _calls(planned: Planned) -> str:
    calls = planned.expected.calls
    if calls is None:
        return f"  model calls: unknown until {planned.unknown_until} is built"
    bound = "at least" if planned.dataset.config.calls_are_fewest else "at most"
    return f", {bound} {calls:,} model calls" if calls else ""
