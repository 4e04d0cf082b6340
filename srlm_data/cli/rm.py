"""The command `rm`: take away a name, or all names of a version or a dataset."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli._terminal import say
from srlm_data.core.errors import counted

_SHOWN = 5


@click.command()
@click.argument("ref", shell_complete=_completion.versions)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.pass_obj
def rm(store: Path, ref: str, dry_run: bool) -> None:
    """Remove a name, or all names of a version or a dataset.

    REF is a dataset, a version of it, or one name (recipe.dataset@tag). No version is deleted:
    `gc --delete` deletes what no name and no lock file refers to.
    """
    result = srlm_data.remove(ref, dry_run=dry_run, store=store)
    for name in result.names:
        say(f"{name} {'would be removed' if dry_run else 'removed'}")
    if result.used_by:
        more = f" and {len(result.used_by) - _SHOWN} more" if len(result.used_by) > _SHOWN else ""
        say(
            f"{counted(len(result.used_by), 'version')} made from it: "
            f"{', '.join(result.used_by[:_SHOWN])}{more}; while one of them has a name, it is kept"
        )
    say("srlm-data gc lists what no name needs any more; with --delete it deletes it")
