"""The command `eval`: build a recipe and print its metrics as one table."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli._options import (
    accept_option,
    allow_env_option,
    engine_option,
    recipe_argument,
    replicas_option,
    seed_option,
)
from srlm_data.cli._terminal import say


@click.command("eval")
@recipe_argument
@engine_option
@replicas_option
@seed_option
@allow_env_option
@accept_option
@click.option("-q", "--quiet", is_flag=True, help="Print the table alone.")
@click.pass_obj
def evaluate(
    store: Path,
    recipe: Path,
    engine: str | None,
    replicas: int | None,
    seed: int | None,
    accept_failures: bool,
    quiet: bool,
) -> None:
    """Build RECIPE, a YAML file, then print its metrics as one table, models in columns."""
    from srlm_data.cli._progress import watching

    with watching(store, quiet=quiet, checks=not quiet) as watcher:
        result = srlm_data.evaluate(
            recipe,
            engine=engine,
            replicas=replicas,
            seed=seed,
            accept_failures=accept_failures,
            watcher=watcher,
            store=watcher.store,
        )
    say(result.table)
