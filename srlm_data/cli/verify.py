"""The command `verify`: read and hash every byte."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli._terminal import say
from srlm_data.core.errors import StoreError, counted

_THINGS = {
    "version": "version",
    "names": "name",
    "model": "model",
    "answers": "answer file",
    "journal": "journal",
}


@click.command()
@click.argument("refs", nargs=-1, shell_complete=_completion.versions)
@click.option("--quarantine", is_flag=True, help="Move damaged files aside; a build remakes them.")
@click.pass_obj
def verify(store: Path, refs: tuple[str, ...], quarantine: bool) -> None:
    """Read and hash every byte, and report every fault.

    REFS are versions; by default the whole store.
    """
    result = srlm_data.verify(*refs, quarantine=quarantine, store=store)
    if result.faults and not quarantine:
        raise StoreError("\n".join(fault.sentence for fault in result.faults))
    for fault, outcome in zip(result.faults, result.outcomes, strict=True):
        say(f"{fault.sentence}\n    {outcome}")
    if result.faults:
        say("build again to remake what was moved aside")
        return
    counts = ", ".join(
        counted(count, _THINGS[kind]) for kind, count in result.counts.items() if count
    )
    say(f"{counts or 'nothing is there'}: every byte as it was written")
