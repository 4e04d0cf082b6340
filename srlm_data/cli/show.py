"""The command `show`: how a version was made, and its first rows."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say, say_json


@click.command()
@click.argument("ref", shell_complete=_completion.versions)
@options.number("-n", "--rows", "count", least=0, default=3, help="Rows to show.")
@click.option("--manifest", "whole", is_flag=True, help="Print the whole manifest as JSON.")
@click.option(
    "--dropped", is_flag=True, help="Print what was dropped: reasons, counts, and examples."
)
@options.as_json
@click.pass_obj
def show(store: Path, ref: str, count: int, whole: bool, dropped: bool, as_json: bool) -> None:
    """Show how a version was made, and its first rows.

    REF is recipe.name, for the latest version, or recipe.name@version.
    """
    from srlm_data.cli._pretty import show_drops, show_rows
    from srlm_data.cli._provenance import packages, provenance, step
    from srlm_data.store.graph import Graph

    opened = srlm_data.Store(store)
    if whole:
        say(opened.resolve(ref).json().decode(), nl=False)
        return
    if dropped:
        drops, examples = opened.resolve(ref).drops, opened.resolve(ref).notes.get("dropped", {})
        if as_json:
            say_json(
                {
                    reason: {"count": times, "examples": examples.get(reason, [])}
                    for reason, times in drops.items()
                }
            )
        else:
            show_drops(drops, examples)
        return
    result = srlm_data.show(ref, rows=count, store=opened)
    if as_json:
        say_json(result.rows)
        return
    manifest = result.manifest
    say(f"{manifest.ref}  {manifest.counted}")
    say(f"  made {manifest.provenance.get('at', '')} by {step(manifest)}")
    for line in (*provenance(manifest, Graph(opened)), packages(manifest)):
        say(f"  {line}")
    show_rows(result.rows)
