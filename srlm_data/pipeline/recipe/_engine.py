"""Parses the ``engine`` section of a recipe, or of the command line, into settings."""

from __future__ import annotations

from typing import Any

import pydantic

from srlm_data.core.errors import RecipeError, did_you_mean
from srlm_data.core.redaction import remember
from srlm_data.engines.settings import ENGINES, EngineSettings, PluginEngine


def engine_settings(section: Any) -> EngineSettings:
    """Return the settings of an ``engine`` section."""
    kind = section.get("kind") if isinstance(section, dict) else None
    if isinstance(section, dict):
        remember(section)  # so that no error message shows its secrets
    if not isinstance(kind, str):
        raise LookupError(
            f"an engine has a 'kind', found {section!r:.80}. Write 'engine: {{kind: vllm}}'."
        )
    settings = PluginEngine if ":" in kind else ENGINES.get(kind)
    if settings is None:
        raise LookupError(
            f"unknown engine '{kind}'.{did_you_mean(kind, ENGINES)} The kinds are "
            f"{', '.join(ENGINES)}; an engine of your own is written my_module:my_engine."
        )
    return settings.model_validate(section)


def chosen(kind: str, replicas: int | None) -> EngineSettings:
    """The engine that the command line names, with its default settings."""
    try:
        own = {} if replicas is None else {"replicas": replicas}
        return engine_settings({"kind": kind, **own})
    except pydantic.ValidationError as error:
        fault = lower(error.errors()[0]["msg"].removeprefix("Value error, "))
        raise RecipeError(f"--engine: {fault}, found '{kind}'. Name another one.") from None
    except LookupError as error:
        raise RecipeError(f"--engine: {error.args[0]}") from None


def lower(message: str) -> str:
    """A message as it stands in the middle of a sentence."""
    return message[:1].lower() + message[1:]
