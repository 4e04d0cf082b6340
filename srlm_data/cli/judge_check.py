"""The command `judge-check`: what a recipe's judge says of a few candidates, and what is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli._options import (
    allow_env_option,
    engine_option,
    preflight_option,
    print_json,
    recipe_argument,
    seed_option,
)
from srlm_data.cli._terminal import say

if TYPE_CHECKING:
    from srlm_data import JudgeCheck
    from srlm_data.pipeline.judge_check import CheckedJudgment

_SHOWN: Final = 300
"""Characters of a prompt and of an answer; a judgment is shown whole, up to a screen."""

_SHOWN_JUDGMENT: Final = 2000


@click.command("judge-check")
@recipe_argument
@click.argument("step", required=False, shell_complete=_completion.datasets_of_recipe)
@click.option(
    "--n",
    "-n",
    "number",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Candidates to judge, once each, and prompts whose best and worst reply are judged.",
)
@engine_option
@seed_option
@allow_env_option
@preflight_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How it is printed.",
)
@click.pass_obj
def judge_check(
    store: Path,
    recipe: Path,
    step: str | None,
    number: int,
    engine: str | None,
    seed: int | None,
    no_preflight: bool,
    form: str,
) -> None:
    """Ask the judge of RECIPE about a few candidates: show what it writes, and what is read.

    STEP names a dataset of judgments, where the recipe has several. Answers are kept for the build.
    """
    from srlm_data.cli._progress import watching

    with watching(store, quiet=form == "json", checks=False) as watcher:
        check = srlm_data.check_judge(
            recipe,
            step,
            n=number,
            engine=engine,
            seed=seed,
            preflight=not no_preflight,
            watcher=watcher,
            store=watcher.store,
        )
    if form == "json":
        human = check.human
        print_json(
            asdict(check)
            | {"states": check.states, "read": check.read}
            | ({"human": asdict(human) | {"share": human.share}} if human else {})
        )
    else:
        _print(check)


def _print(check: JudgeCheck) -> None:
    from srlm_data.pipeline.judge_check import describe

    say(
        f"{check.dataset}: {check.model} judges with '{check.template}', "
        f"{check.scale}, read as {check.reader}"
    )
    _print_judgments(check.judgments)
    if check.human:
        say(f"\nreplies that humans ranked, the best and the worst, of {check.human.dataset}")
        _print_judgments(check.human.judgments)
    say()
    for line in describe(check):
        say(line)


def _print_judgments(judgments: Iterable[CheckedJudgment]) -> None:
    from srlm_data.pipeline.judge_check import score_text

    for number, judgment in enumerate(judgments, start=1):
        rank = "" if judgment.rank is None else f", rank {judgment.rank}"
        say(f"\n{number}  candidate {judgment.candidate_id[:8]}{rank}")
        _print_text("prompt", judgment.prompt, _SHOWN)
        _print_text("response", judgment.response, _SHOWN)
        _print_text("judgment", judgment.text, _SHOWN_JUDGMENT)
        criteria = "".join(
            f", {name} {score_text(score)}" for name, score in judgment.criteria.items()
        )
        score = score_text(judgment.score)
        _print_text(
            "read", f"{score}{criteria} ({judgment.state}: {judgment.why})", _SHOWN_JUDGMENT
        )


def _print_text(name: str, text: str, most: int) -> None:
    cut = f" ... ({len(text):,} characters)" if len(text) > most else ""
    lines = (text[:most].strip() + cut).splitlines() or [""]
    say(f"   {name:<9} {lines[0]}")
    for line in lines[1:]:
        say(f"             {line}")
