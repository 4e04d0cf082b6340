"""The command `steps`: what each step reads, makes and can be set to."""

from __future__ import annotations

from pathlib import Path

import click

from srlm_data.cli import _completion
from srlm_data.cli._options import json_option, print_json


@click.command()
@click.argument("name", required=False, shell_complete=_completion.steps)
@json_option
def steps(name: str | None, as_json: bool) -> None:
    """What each step reads, makes and can be set to, from its own signature and docstring."""
    from srlm_data.cli._pretty import show_step
    from srlm_data.pipeline.registry import STEPS
    from srlm_data.pipeline.signature import find_step, look_for_steps_in

    look_for_steps_in(Path.cwd())
    known = [find_step(step, STEPS) for step in ([name] if name else STEPS)]
    if not as_json:
        for step in known:
            show_step(step, whole=name is not None)
        return
    print_json(
        [
            {
                "step": step.name,
                "about": step.summary,
                "reads": list(step.parameters),
                "makes": step.makes.name if step.makes else None,
                "config": step.config.model_json_schema().get("properties", {}),
            }
            for step in known
        ]
    )
