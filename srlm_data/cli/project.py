"""The commands for a project of one's own: init, steps, doctor."""

from __future__ import annotations

from pathlib import Path

import click

from srlm_data.cli import _completion
from srlm_data.cli.options import json_option, print_json


@click.command()
@click.argument("name", required=False, shell_complete=_completion.steps)
@json_option
def steps(name: str | None, as_json: bool) -> None:
    """What each step reads, makes and can be set to, from its own signature and docstring."""
    from srlm_data.cli.pretty import show_step
    from srlm_data.pipeline.registry import STEPS
    from srlm_data.pipeline.signature import find_step, look_for_steps_in

    look_for_steps_in(Path.cwd())
    found = [find_step(one, STEPS) for one in ([name] if name else STEPS)]
    if as_json:
        print_json([
            {
                "step": one.name, "about": one.summary, "reads": list(one.parameters),
                "makes": one.makes.name if one.makes else None,
                "config": one.config.model_json_schema().get("properties", {}),
            }
            for one in found
        ])  # fmt: skip
        return
    for one in found:
        show_step(one, whole=name is not None)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default="recipes")
def init(folder: Path) -> None:
    """Write a folder of recipes to start from; nothing that is there is overwritten."""
    from srlm_data.cli.setup import write_recipes

    for file in write_recipes(folder):
        click.echo(f"wrote {file}")
    click.echo(f"next: srlm-data build {folder}/iter1.yaml")


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """What is installed, what is missing, and how to get it."""
    from srlm_data.cli.setup import examine

    found = examine()
    if as_json:
        print_json(found)
        return
    for one in found:
        state = one["version"] or f"missing: {one['get']}"
        click.echo(
            f"{'ok' if one['version'] else '--'}  {one['package']:<18} {state:<40} {one['for']}"
        )
