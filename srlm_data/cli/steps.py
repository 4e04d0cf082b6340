"""The command `steps`: what each step reads, makes and can be set to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srlm_data.cli import _completion
from srlm_data.cli._options import json_option, print_json
from srlm_data.cli._terminal import say

if TYPE_CHECKING:
    from srlm_data.pipeline.signature import Step


@click.command()
@click.argument("name", required=False, shell_complete=_completion.steps)
@json_option
def steps(name: str | None, as_json: bool) -> None:
    """What each step reads, makes and can be set to, from its own signature and docstring."""
    from srlm_data.pipeline.registry import STEPS
    from srlm_data.pipeline.signature import find_step, look_for_steps_in

    look_for_steps_in(Path.cwd())
    known = [find_step(step, STEPS) for step in ([name] if name else STEPS)]
    if not as_json:
        for step in known:
            _print_step(step, whole=name is not None)
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


def _print_step(step: Step, *, whole: bool) -> None:
    """Print a step's line; with ``whole``, everything that a recipe may set."""
    reads = ", ".join(
        f"{one.name}{'' if one.required else '?'}: {one.wanted}"
        + {"one": "", "list": " (several)", "mapping": " (named)"}[one.form]
        for one in step.parameters.values()
    )
    makes = step.makes.name if step.makes else "what its config says"
    say(f"{step.name}({reads}) -> {makes}")
    say(f"    {step.summary}")
    for name, field in step.config.model_fields.items() if whole else ():
        required = field.is_required()
        default = (
            "required" if required else f"default {field.get_default(call_default_factory=True)}"
        )
        say(f"  {name}: {default}")
        if field.description:
            say(f"      {field.description}")
