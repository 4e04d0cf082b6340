"""The command `export`: a version as the files that another trainer reads."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say, say_json, say_state
from srlm_data.core.errors import counted


@click.command()
@click.argument("ref", shell_complete=_completion.versions)
@click.option(
    "--to",
    "trainer",
    required=True,
    metavar="FORMAT",
    help="trl, alpaca, sharegpt, openai, llamafactory or axolotl; jsonl for rows of any type.",
)
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path),
    help="A new folder; by default REF.FORMAT.",
)
@options.as_json
@click.pass_obj
def export(store: Path, ref: str, trainer: str, folder: Path | None, as_json: bool) -> None:
    """Write a version in the format of another trainer.

    REF is a dataset or a version of it. A config that loads the files is written beside them.
    """
    written = srlm_data.export(ref, trainer, folder, store=store)
    if as_json:
        say_json({**vars(written), "folder": str(written.folder)})
        return
    for name in written.files:
        say_state(f"+ {written.folder / name}")
    say(f"  {counted(written.rows, 'record')}")
    for reason, count in written.drops.items():
        say(f"  dropped {count:,}: {reason}")
    if written.next_command:
        say(f"Next, in {written.folder}: set your model, then {written.next_command}")
