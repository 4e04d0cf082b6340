"""The command `steps`: what each step reads, makes and can be set to; an engine's settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say, say_json

if TYPE_CHECKING:
    from srlm_data.core.config import Config
    from srlm_data.pipeline.signature import Step


@click.command()
@click.argument("name", required=False, shell_complete=_completion.steps)
@options.as_json
def steps(name: str | None, as_json: bool) -> None:
    """List what each step reads and makes.

    With a NAME: all settings of this step or engine.
    """
    from srlm_data.engines.settings import ENGINES
    from srlm_data.pipeline.registry import STEPS
    from srlm_data.pipeline.signature import find_step, look_for_steps_in

    if engine := ENGINES.get(name or ""):
        _print_engine(engine, as_json=as_json)
        return
    look_for_steps_in(Path.cwd())
    known = [find_step(step, STEPS) for step in ([name] if name else STEPS)]
    if not as_json:
        for step in known:
            _print_step(step, whole=name is not None)
        return
    say_json(
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
    """Print a step's line; with ``whole``, all its settings, too."""
    reads = ", ".join(
        f"{parameter.name}{'' if parameter.required else '?'}: {parameter.wanted}"
        + {"one": "", "list": " (several)", "mapping": " (named)"}[parameter.form]
        for parameter in step.parameters.values()
    )
    makes = step.makes.name if step.makes else "what its config says"
    say(f"{step.name}({reads}) -> {makes}")
    say(f"    {step.summary}")
    if whole:
        _print_settings(step.config)


def _print_engine(engine: type[Config], *, as_json: bool) -> None:
    if as_json:
        say_json(engine.model_json_schema())
        return
    say(str(engine.__doc__))
    _print_settings(engine)


def _print_settings(config: type[Config]) -> None:
    """Print the settings that a recipe may set, with their defaults."""
    for name, field in config.model_fields.items():
        required = field.is_required()
        default = (
            "required" if required else f"default {field.get_default(call_default_factory=True)}"
        )
        say(f"  {name}: {default}")
        if field.description:
            say(f"      {field.description}")
