"""The command `build`: make what is missing of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from srlm_data.core.errors import BoundError, SrlmError, UnfinishedError

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
    """Build what is missing of RECIPE, a YAML file (or only DATASETS of it, with what they read).

    Versions go into the store. What is there already is reused, and so is every kept answer.
    """
    from srlm_data.cli._pretty import show_samples
    from srlm_data.cli._progress import watching

    ended: UnfinishedError | BoundError | None = None
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
        except (UnfinishedError, BoundError) as error:
            manifests, ended = error.manifests, error
        except SrlmError:
            watcher.end_in_error()
            raise
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
        remaining = ended.remaining if isinstance(ended, BoundError) else ()
        there = list(manifests.values())
        following = _next_command(recipe, limit, ended, there)
        watcher.summarize(there, following, remaining, trial=limit is not None)
    if ended:
        raise ended


def _next_command(
    recipe: Path, limit: int | None, ended: Exception | None, manifests: Sequence[Manifest]
) -> str:
    """Return what one does after a build: the rest of it, the whole after a trial, or a look."""
    if ended:
        return f"srlm-data build {recipe}" + (f" --limit {limit}" if limit else "")
    if limit:
        return f"srlm-data build {recipe}"
    if {manifest.type for manifest in manifests} & {"judgments", "pairs", "metrics"}:
        return f"srlm-data report {recipe.stem}"
    return f"srlm-data show {manifests[-1].name}"
