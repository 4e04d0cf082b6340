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
@click.option("--down", is_flag=True, help="What came of it, instead of what it came from.")
@options.number(
    "--limit",
    default=5,
    help="With --down: rows to follow that came of one row; the rest is counted.",
)
@options.output("Draw it with Mermaid, into an .mmd or .md file.")
@options.as_json
@click.pass_obj
def lineage(
    store: Path, what: str, down: bool, limit: int, output: Path | None, as_json: bool
) -> None:
    """Say where a row, a model or a version comes from.

    WHAT is the beginning of a row's id or of a model's digest, or the name of a version.
    """
    from srlm_data.core.filesystem import open_whole

    if output is not None and output.suffix not in {".mmd", ".md"}:
        raise click.UsageError(f"--output: .mmd or .md is wanted, found '{output.name}'.")
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
