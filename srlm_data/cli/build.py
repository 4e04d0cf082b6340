"""The command `build`: make what is missing of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli._options import (
    accept_option,
    engine_option,
    json_option,
    manifest_record,
    print_json,
    recipe_argument,
    replicas_option,
    seed_option,
)
from srlm_data.core.errors import UnfinishedError

if TYPE_CHECKING:
    from srlm_data.store import Manifest


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
@click.pass_obj
def build(
    store: Path,
    recipe: Path,
    datasets: tuple[str, ...],
    engine: str | None,
    replicas: int | None,
    seed: int | None,
    accept_failures: bool,
    no_wait: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Build what is missing of RECIPE (or only DATASETS of it, with what they read)."""
    from srlm_data.cli._progress import watching

    unfinished: UnfinishedError | None = None
    manifests: Mapping[str, Manifest]
    with watching(store, quiet=quiet or as_json, checks=as_json or not quiet) as watcher:
        try:
            manifests = srlm_data.build(
                recipe,
                only=datasets,
                engine=engine,
                replicas=replicas,
                seed=seed,
                wait=not no_wait,
                accept_failures=accept_failures,
                watcher=watcher,
                store=watcher.store,
            ).versions
        except UnfinishedError as error:
            manifests, unfinished = error.manifests, error
    if as_json:
        print_json(
            [
                manifest_record(manifest) | {"findings": watcher.records(name)}
                for name, manifest in manifests.items()
            ]
        )
    if unfinished:
        raise unfinished
