"""The command `lineage`: where a row comes from, as a tree, as JSON or as a drawing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say, say_json


@click.command()
@click.argument("what", shell_complete=_completion.versions)
@click.option("--down", is_flag=True, help="Show what was made from it instead.")
@options.number(
    "--limit",
    default=5,
    help="With --down: rows made from one row to follow; the rest are counted.",
)
@options.output("Write a Mermaid diagram to this .mmd or .md file.")
@options.as_json
@click.pass_obj
def lineage(
    store: Path, what: str, down: bool, limit: int, output: Path | None, as_json: bool
) -> None:
    """Show where a row, a model or a version comes from.

    WHAT is a row's id or a model's digest, or a prefix of it, or the name of a version.
    """
    from srlm_data.core.filesystem import open_whole

    if output is not None and output.suffix not in {".mmd", ".md"}:
        raise click.UsageError(f"--output: must end in .mmd or .md, found '{output.name}'.")
    graph = srlm_data.lineage(what, down=down, limit=limit, store=store)
    if output is not None:
        chart = graph.mermaid()
        text = chart if output.suffix == ".mmd" else f"```mermaid\n{chart}```\n"
        with open_whole(output) as file:
            file.write(text.encode())
    elif as_json:
        say_json(asdict(graph))
    else:
        say(str(graph))
