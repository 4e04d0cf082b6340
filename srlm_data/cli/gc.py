"""The command `gc`: list, or delete, what no name needs any more."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say, say_json
from srlm_data.core.errors import counted


@click.command()
@click.option("--delete", is_flag=True, help="Delete what is listed; without it, only list.")
@click.option(
    "--recipes",
    type=click.Path(path_type=Path, file_okay=False),
    default="recipes",
    show_default=True,
    help="Keep what the lock files in this folder refer to.",
)
@options.as_json
@click.pass_obj
def gc(store: Path, delete: bool, recipes: Path, as_json: bool) -> None:
    """List, or delete, what no name needs any more.

    This includes versions, models, and what killed processes left behind.
    """
    result = srlm_data.gc(delete=delete, recipes=recipes, store=store)
    if as_json:
        say_json(
            {
                "deleted": result.deleted,
                "bytes": result.bytes,
                "kept_versions": result.kept,
                "garbage": list(map(vars, result.garbage)),
            }
        )
        return
    for garbage in result.garbage:
        say(f"{garbage.kind:<8} {garbage.name:<44} {garbage.bytes:>15,} bytes  {garbage.why}")
    outcome = "deleted" if delete else "can go; --delete deletes it"
    say(f"{counted(len(result.garbage), 'thing')}, {counted(result.bytes, 'byte')} {outcome}")
    say(f"kept: {counted(result.kept, 'version')}, and every model response")
