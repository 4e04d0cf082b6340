"""The command `view`: the page of `report`, live over the store."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli._terminal import say


@click.command()
@click.argument(
    "names", metavar="[RECIPE]...", nargs=-1, shell_complete=_completion.recipes_of_store
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Unless told, a free one.")
@click.option("--open/--no-open", "opens", default=True, help="Open the page in a browser.")
@click.pass_obj
def view(store: Path, names: tuple[str, ...], port: int, opens: bool) -> None:
    """Show the page of `report` over the store itself: every row, new ones as they are built.

    RECIPEs are what the page begins with; without any it shows all that has something to show.
    """

    def announce(address: str) -> None:
        say(
            f"view {store} at {address}\nCtrl-C ends it; it writes nothing but labels to the store."
        )
        if opens:
            click.launch(address)

    srlm_data.serve_view(*names, port=port, announce=announce, store=store)
