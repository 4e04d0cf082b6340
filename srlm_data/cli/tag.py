"""The command `tag`: give a version a name."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli._terminal import say


@click.command()
@click.argument("ref", shell_complete=_completion.versions)
@click.argument("name")
@click.pass_obj
def tag(store: Path, ref: str, name: str) -> None:
    """Give the version REF a NAME, as in recipe.dataset@NAME."""
    manifest = srlm_data.tag(ref, name, store)
    say(f"{manifest.name}@{name} is {manifest.version}")
