"""Shell completion: recipes, their datasets, versions of the store, steps."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import shell_complete

if TYPE_CHECKING:
    from srlm_data.store import Store

VARIABLE: Final = "_SRLM_DATA_COMPLETE"

Completer = Callable[[click.Context, click.Parameter, str], list[str]]
Words = Callable[[click.Context, str], Iterable[str]]


def completer(words: Words) -> Completer:
    """Return a completer that offers those words that begin with the typed text."""

    def complete(context: click.Context, parameter: click.Parameter, begin: str) -> list[str]:
        try:
            return [word for word in words(context, begin) if word.startswith(begin)]
        except Exception:  # noqa: BLE001 - a shell cannot show an error; the command reports it
            return []

    return complete


def answer_shell(cli: click.Command) -> None:
    """Print the script or the words that a shell requests, and exit; otherwise do nothing."""
    instruction = os.environ.get(VARIABLE)
    if not instruction:
        return
    code = shell_complete(cli, {}, "srlm-data", VARIABLE, instruction)
    if instruction == "bash_source":  # else bash splits dataset@version at the @
        click.echo("COMP_WORDBREAKS=${COMP_WORDBREAKS//@}")
    sys.exit(code)


@completer
def recipes(_: click.Context, begin: str) -> Iterable[str]:
    """Return the recipes here and one folder below."""
    begin = escape(begin)
    return sorted({*glob(f"{begin}*.yaml"), *glob(f"{begin}*/*.yaml")})


@completer
def datasets_of_recipe(context: click.Context, _: str) -> Iterable[str]:
    """Return the datasets of the recipe that the command names."""
    import yaml

    recipe = yaml.safe_load(Path(context.params["recipe"]).read_text(encoding="utf-8"))
    return map(str, recipe["datasets"])


@completer
def recipes_of_store(context: click.Context, _: str) -> Iterable[str]:
    """Return the names of the recipes of which the store has a dataset."""
    return sorted({name.partition(".")[0] for name in _store(context).names()})


@completer
def versions(context: click.Context, begin: str) -> Iterable[str]:
    """Return the datasets of the store; after an ``@``, the dataset's versions and tags."""
    store = _store(context)
    name, at, _ = begin.partition("@")
    if not at:
        return sorted(store.names())
    return [f"{name}@{word}" for word in sorted({*store.versions(name), *store.refs(name)})]


@completer
def steps(_: click.Context, __: str) -> Iterable[str]:
    """Return the names of the shipped steps."""
    from srlm_data.pipeline.registry import STEPS

    return STEPS


def _store(context: click.Context) -> Store:
    from srlm_data.store import Store

    return Store(Path(context.find_root().params.get("root") or "store"))
