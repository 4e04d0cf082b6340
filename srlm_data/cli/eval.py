"""The command `eval`: build a recipe and print its metrics as one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import srlm_data
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say


@click.command("eval")
@options.recipe
@options.engine
@options.replicas
@options.seed
@options.allow_env
@options.accept_failures
@click.option("-q", "--quiet", is_flag=True, help="Print only the table.")
@click.pass_obj
def evaluate(store: Path, /, recipe: Path, quiet: bool, **settings: Any) -> None:
    """Build RECIPE, then print its metrics as one table."""
    from srlm_data.cli._progress import watching

    with watching(store, quiet=quiet, checks=not quiet) as watcher:
        result = srlm_data.evaluate(recipe, watcher=watcher, store=watcher.store, **settings)
    say(result.table)
