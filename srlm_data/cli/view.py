"""The command `view`: the page of `report`, live over the store."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._stopping import stop_tidily


@click.command()
@click.argument(
    "names", metavar="[RECIPE]...", nargs=-1, shell_complete=_completion.recipes_of_store
)
@options.port
@options.opens
@click.pass_obj
def view(store: Path, names: tuple[str, ...], port: int, opens: bool) -> None:
    """Serve the page of `report` live over the store.

    It has every row, including new ones while they are built. The page begins with the given
    RECIPEs, by default with all that have something to show.
    """
    stop_tidily("Start it again to continue; labels are kept.")
    announce = options.announcing(
        f"view {store}", "it writes nothing but labels to the store", opens=opens
    )
    srlm_data.serve_view(*names, port=port, announce=announce, store=store)
