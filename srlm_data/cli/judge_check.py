"""The command `judge-check`: what a recipe's judge says of a few candidates, and what is read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say, say_json


@click.command("judge-check")
@options.recipe
@click.argument("step", required=False, shell_complete=_completion.datasets_of_recipe)
@options.number(
    "--n",
    "-n",
    default=5,
    help="Candidates to judge once each, and prompts whose best and worst replies are judged.",
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
    help="Output format.",
)
@click.pass_obj
def judge_check(store: Path, /, recipe: Path, step: str | None, form: str, **settings: Any) -> None:
    """Show what a recipe's judge writes, and how it is parsed.

    The judge is asked about a few candidates. STEP names a dataset of judgments, if the recipe has
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
        say(str(check))
