"""The command `report`: one page about the data of some recipes."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say, say_state


@click.command()
@click.argument(
    "names",
    metavar="RECIPE...",
    nargs=-1,
    required=True,
    shell_complete=_completion.recipes_of_store,
)
@options.output("The page; an existing file is replaced.", default="report.html")
@options.number(
    "--map-points",
    least=0,
    default=1000,
    help="Most prompts on the map; 0 omits the map.",
)
@click.pass_obj
def report(store: Path, names: tuple[str, ...], output: Path, map_points: int) -> None:
    """Write one offline HTML page about built recipes."""
    warnings = srlm_data.write_report(*names, output=output, map_points=map_points, store=store)
    for dataset, of_dataset in warnings.items():
        for warning in of_dataset:
            say_state(f"warning: {dataset}: {warning.sentence}", err=True)
    say(f"wrote {output}")
