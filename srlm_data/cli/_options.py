"""Options that several commands share, with the names of the API's parameters."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from srlm_data.cli import _completion
from srlm_data.cli._terminal import say

if TYPE_CHECKING:
    from srlm_data.store import Manifest

_LARGEST: Final = 10**18

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def number(*names: str, help: str, least: int = 1, default: int | None = None) -> Decorator:
    """Return an option that takes a whole number, ``least`` or more."""
    kind = click.IntRange(least, _LARGEST)
    return click.option(
        *names, type=kind, metavar="N", default=default, show_default=True, help=help
    )


def output(help: str, default: str | None = None) -> Decorator:
    """Return the option that names the file to write."""
    file = click.Path(path_type=Path, dir_okay=False)
    return click.option("-o", "--output", type=file, default=default, show_default=True, help=help)


recipe = click.argument(
    "recipe", type=click.Path(path_type=Path), shell_complete=_completion.recipes
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")
engine = click.option(
    "--engine",
    metavar="KIND",
    help="Use transformers, vllm, ray, openai or my_module:my_engine instead of the recipe's "
    "engine.",
)
replicas = number("--replicas", help="Copies of the model, with --engine ray.")


def _allow(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> None:  # noqa: ARG001
    if names:
        from srlm_data.engines.settings import ALLOWED

        os.environ[ALLOWED] = ",".join([os.environ.get(ALLOWED, ""), *names])


def negate(context: click.Context, parameter: click.Parameter, value: bool) -> bool:  # noqa: ARG001
    """Return the API's positive value for a flag ``--no-...``."""
    return not value


allow_env = click.option(
    "--allow-env",
    multiple=True,
    metavar="NAME",
    expose_value=False,
    is_eager=True,
    callback=_allow,
    help="Let the recipe send this environment variable to its server as the key.",
)
accept_failures = click.option(
    "--accept-failures",
    is_flag=True,
    help="Accept versions with failed requests as they are; do not ask those again.",
)
limit = number(
    "--limit", help="A trial on N prompts of the recipe's sources, in separate versions."
)
preflight = click.option(
    "--no-preflight",
    "preflight",
    is_flag=True,
    callback=negate,
    help="Do not check servers and the Hub before the build.",
)
seed = number("--seed", least=-_LARGEST, help="Replace the recipe's seed with this one.")
port = click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="By default a free port."
)
opens = click.option("--open/--no-open", "opens", default=True, help="Open the page in a browser.")
kind = click.option(
    "--type",
    "kind",
    type=click.Choice(["dataset", "model"]),
    default="dataset",
    show_default=True,
    help="What is in the repository: dataset versions, or one model.",
)


def seconds(time: str) -> float:
    """Return the seconds of a time such as 90s, 30m, 2h or 1h30m."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", time)
    if not parts or not any(parts.groups()):
        raise click.BadParameter(f"'{time}' is not a time. Write 2h, 30m, 90s or 1h30m.")
    hours, minutes, rest = (int(part or 0) for part in parts.groups())
    return 3600.0 * hours + 60 * minutes + rest


def command(*words: str) -> str:
    """Return a command line, quoted for a shell, for the store of the current command."""
    context = click.get_current_context().find_root()
    named = context.get_parameter_source("root") is ParameterSource.COMMANDLINE
    store = ["--store", str(context.obj)] if named else []
    return shlex.join(["srlm-data", *store, *words])


def same_command(*without: str) -> str:
    """Return the current command line without some options that take values."""
    given = shlex.join(["srlm-data", *sys.argv[1:]])
    return re.sub(rf" ({'|'.join(without)})[ =]\S+", "", given)


def manifest_record(manifest: Manifest) -> dict[str, Any]:
    """Return a version's manifest for ``--json``, without files and notes."""
    facts = {name: vars(manifest)[name] for name in _FACTS}
    failures = {kind: vars(failure) for kind, failure in manifest.failures.items()}
    inputs = list(map(vars, manifest.inputs))
    return facts | {"inputs": inputs, "accepted": manifest.accepted, "failures": failures}


_FACTS: Final = "name version type rows content identity drops cost provenance".split()


def recipe_line(name: str, manifest: Manifest) -> str:
    """Return the line with which a recipe reads exactly this version as its dataset ``name``."""
    return (
        f"  {name}: {{step: read_version, version: {manifest.ref}, type: {manifest.type}, "
        f"content: {manifest.content}}}"
    )


def announcing(served: str, ends: str, *, opens: bool) -> Callable[[str], None]:
    """Return a function that prints a page's address and how to stop, and opens a browser."""

    def announce(address: str) -> None:
        say(f"{served} at {address}\nCtrl-C ends it; {ends}.")
        if opens:
            click.launch(address)

    return announce
