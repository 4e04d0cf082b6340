"""The command that shows data to a person: report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srlm_data.cli import _completion
from srlm_data.cli.options import pass_store

if TYPE_CHECKING:
    from srlm_data.store import Store


@click.command()
@click.argument(
    "names",
    metavar="RECIPE...",
    nargs=-1,
    required=True,
    shell_complete=_completion.recipes_of_store,
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default="report.html",
    show_default=True, help="The page; it is replaced if it is there.",
)  # fmt: skip
@click.option(
    "--map-points", type=click.IntRange(min=0), default=1000, show_default=True,
    help="Prompts on the map, at most; 0 leaves the map out.",
)  # fmt: skip
@pass_store
def report(store: Store, names: tuple[str, ...], output: Path, map_points: int) -> None:
    """Write one offline HTML page about built recipes, in the order of RECIPE..."""
    from srlm_data.report import write

    for dataset, found in write(store, names, output, map_points=map_points).items():
        for finding in found:
            click.echo(f"warning: {dataset}: {finding.sentence}", err=True)
    click.echo(f"wrote {output}")
