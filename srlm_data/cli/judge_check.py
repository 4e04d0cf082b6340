"""The command `judge-check`: what a recipe's judge says of a few candidates, and what is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say, say_json, say_table

if TYPE_CHECKING:
    from srlm_data import JudgeCheck
    from srlm_data.pipeline.judge_check import CheckedJudgment

_SHOWN: Final = 300
"""Characters of a prompt and of an answer; a judgment is shown whole, up to a screen."""

_SHOWN_JUDGMENT: Final = 2000


@click.command("judge-check")
@options.recipe
@click.argument("step", required=False, shell_complete=_completion.datasets_of_recipe)
@options.number(
    "--n",
    "-n",
    default=5,
    help="Candidates to judge, once each, and prompts whose best and worst reply are judged.",
)
@options.engine
@options.seed
@options.allow_env
@options.preflight
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How it is printed.",
)
@click.pass_obj
def judge_check(store: Path, /, recipe: Path, step: str | None, form: str, **settings: Any) -> None:
    """Show what a recipe's judge writes, and what is read of it.

    It is asked about a few candidates. STEP names a dataset of judgments, where the recipe has
    several. Answers are kept for the build.
    """
    from srlm_data.cli._progress import watching

    with watching(store, quiet=form == "json", checks=False) as watcher:
        check = srlm_data.check_judge(
            recipe, step, watcher=watcher, store=watcher.store, **settings
        )
    if form == "json":
        say_json(asdict(check))
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
        criteria = (f", {name} {score_text(score)}" for name, score in judgment.criteria.items())
        scores = score_text(judgment.score) + "".join(criteria)
        cells = {
            "prompt": _cut(judgment.prompt, _SHOWN),
            "response": _cut(judgment.response, _SHOWN),
            "judgment": _cut(judgment.text, _SHOWN_JUDGMENT),
            "read": f"{scores} ({judgment.state}: {judgment.why})",
        }
        say_table((), cells.items())


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} ... ({len(text):,} characters)"
