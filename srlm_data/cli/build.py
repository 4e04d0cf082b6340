"""The command `build`: make what is missing of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._options import manifest_record
from srlm_data.cli._terminal import say_json
from srlm_data.core.errors import BoundError, SrlmError, UnfinishedError

if TYPE_CHECKING:
    from srlm_data.store import Manifest

_BOUNDS: Final = ("--max-calls", "--max-tokens", "--max-time")


@click.command()
@options.recipe
@click.argument("datasets", nargs=-1, shell_complete=_completion.datasets_of_recipe)
@options.engine
@options.replicas
@options.seed
@options.allow_env
@options.accept_failures
@options.limit
@options.number("--max-calls", least=0, help="Stop (exit 11) before more than N requests are sent.")
@options.number(
    "--max-tokens", least=0, help="Stop (exit 11) before more than N tokens are read and written."
)
@click.option(
    "--max-time",
    "max_seconds",
    type=options.seconds,
    metavar="TIME",
    help="Stop (exit 11) after 90s, 30m, 2h ...",
)
@options.preflight
@click.option(
    "--no-wait",
    "wait",
    is_flag=True,
    callback=options.negate,
    help="Fail if another process is building the same version.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing unless it fails.")
@options.as_json
@click.pass_obj
def build(
    store: Path,
    /,
    recipe: Path,
    datasets: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Build what is missing of RECIPE, a YAML file.

    Name DATASETS to build only these and what they read; by default all. Versions go into the
    store. Existing versions are reused, and so is every cached response.
    """
    from srlm_data.cli._pretty import show_samples
    from srlm_data.cli._progress import watching

    limit = settings["limit"]
    ended: UnfinishedError | BoundError | None = None
    manifests: Mapping[str, Manifest]
    with watching(store, quiet=quiet or as_json, checks=as_json or not quiet) as watcher:
        try:
            manifests = srlm_data.build(
                recipe, only=datasets, watcher=watcher, store=watcher.store, **settings
            ).versions
        except (UnfinishedError, BoundError) as error:
            manifests, ended = error.manifests, error
        except SrlmError:
            watcher.end_in_error()
            raise
    if as_json:
        checks = {name: list(map(vars, warnings)) for name, warnings in watcher.warnings.items()}
        say_json(
            [
                manifest_record(manifest) | {"health_checks": checks.get(name)}
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
    """Return the next command: build the rest, build in full after a trial, or look at the rows."""
    if ended:
        return options.same_command(*_BOUNDS)
    if limit:
        return options.same_command(*_BOUNDS, "--limit")
    if {manifest.type for manifest in manifests} & {"judgments", "pairs", "metrics"}:
        return options.command("report", recipe.stem)
    return options.command("show", manifests[-1].name)
