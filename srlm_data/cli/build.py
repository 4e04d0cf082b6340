"""The command `build`: make what is missing of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli._options import (
    Duration,
    accept_option,
    allow_env_option,
    engine_option,
    json_option,
    limit_option,
    manifest_record,
    preflight_option,
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
@allow_env_option
@accept_option
@limit_option
@click.option(
    "--max-calls",
    type=click.IntRange(min=0),
    metavar="N",
    help="Stop (exit 11) before more than N requests are sent.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=0),
    metavar="N",
    help="Stop (exit 11) before more than N tokens are read and written.",
)
@click.option(
    "--max-time", type=Duration(), metavar="TIME", help="Stop (exit 11) after 90s, 30m, 2h ..."
)
@preflight_option
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
    limit: int | None,
    max_calls: int | None,
    max_tokens: int | None,
    max_time: float | None,
    no_preflight: bool,
    no_wait: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Build what is missing of RECIPE (or only DATASETS of it, with what they read)."""
    from srlm_data.cli._pretty import show_samples
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
                limit=limit,
                max_calls=max_calls,
                max_tokens=max_tokens,
                max_seconds=max_time,
                preflight=not no_preflight,
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
                manifest_record(manifest) | {"health_checks": watcher.records(name)}
                for name, manifest in manifests.items()
            ]
        )
    elif not quiet:
        if limit:
            show_samples(watcher.store, manifests.values())
        more = limit is not None or unfinished is not None
        watcher.summarize(manifests.values(), _next_command(recipe, more=more))
    if unfinished:
        raise unfinished


def _next_command(recipe: Path, *, more: bool) -> str:
    """Return what one does after a build: build again where more is to be made, else look at it."""
    return f"srlm-data build {recipe}" if more else f"srlm-data report {recipe.stem}"
