"""What a shell may complete: recipes, their datasets, versions of the store, steps."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import shell_complete

if TYPE_CHECKING:
    from srlm_data.store import Store

VARIABLE: Final = "_SRLM_DATA_COMPLETE"

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def answer_shell(cli: click.Command) -> None:
    """Print the script, or the words, that a shell asks for, and exit; else do nothing."""
    instruction = os.environ.get(VARIABLE)
    if not instruction:
        return
    code = shell_complete(cli, {}, "srlm-data", VARIABLE, instruction)
    if instruction == "bash_source":  # else bash takes dataset@version for three words
        click.echo("COMP_WORDBREAKS=${COMP_WORDBREAKS//@}")
    sys.exit(code)


def recipes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the recipes here and one folder below."""
    begin = escape(incomplete)
    return sorted({*glob(f"{begin}*.yaml"), *glob(f"{begin}*/*.yaml")})


def datasets_of_recipe(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the datasets of the recipe that the command names."""
    import yaml

    try:
        recipe = yaml.safe_load(Path(context.params["recipe"]).read_text(encoding="utf-8"))
        names = list(recipe["datasets"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return []  # a shell has no place for the sentence; the command will say it
    return [name for name in names if str(name).startswith(incomplete)]


def recipes_of_store(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the names of the recipes of which the store has a dataset."""
    names = {name.partition(".")[0] for name in _names(context)}
    return sorted(name for name in names if name.startswith(incomplete))


def versions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the datasets of the store; after an ``@``, the dataset's versions and tags."""
    from srlm_data.core.errors import SrlmError

    name, at, begin = incomplete.partition("@")
    if not at:
        return [known for known in _names(context) if known.startswith(incomplete)]
    store = _store(context)
    try:
        words = sorted({*store.versions(name), *store.refs(name)})
    except (SrlmError, OSError, ValueError):
        return []
    return [f"{name}@{word}" for word in words if word.startswith(begin)]


def steps(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the shipped steps."""
    from srlm_data.pipeline.registry import STEPS

    return [name for name in STEPS if name.startswith(incomplete)]


def _store(context: click.Context) -> Store:
    from srlm_data.store import Store

    return Store(Path(context.find_root().params.get("root") or "store"))


def _names(context: click.Context) -> list[str]:
    from srlm_data.core.errors import SrlmError

    try:
        return sorted(_store(context).names())
    except (SrlmError, OSError):
        return []
