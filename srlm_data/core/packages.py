"""Optional packages: which are installed, and how to install more beside this very copy."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from srlm_data.core.errors import MissingError

NAME: Final = "srlm-data"


def is_installed(package: str) -> bool:
    """Return whether a package could be imported; it is not."""
    return importlib.util.find_spec(package) is not None


def require(packages: Iterable[str], extra: str, command: str, otherwise: str) -> None:
    """Refuse a command whose packages, those of an extra, are not installed."""
    for package in packages:
        if not is_installed(package):
            raise missing(command, package, extra, f", or {otherwise}.")


def missing(where: str, package: str, extra: str, otherwise: str = "") -> MissingError:
    """Return the error that says how to get a package which is not installed."""
    return MissingError(
        f"{where}: the package '{package}' is not installed. "
        f"Install it with: {install_command([extra])}{otherwise}"
    )


def install_command(extras: Iterable[str]) -> str:
    """Return the command that installs extras of this copy, from where it was installed itself."""
    wanted = f"[{','.join(sorted(set(extras)))}]"
    try:
        own = importlib.metadata.distribution(NAME)
    except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
        return f"pip install '{NAME}{wanted}'"
    origin: dict[str, Any] = {}
    with suppress(ValueError):
        origin = json.loads(own.read_text("direct_url.json") or "{}")
    program = "uv pip" if (own.read_text("INSTALLER") or "").strip() == "uv" else "pip"
    return f"{program} install {_requirement(origin, wanted)}"


def _requirement(origin: dict[str, Any], wanted: str) -> str:
    """Return the argument of ``pip install``; ``origin`` is the content of ``direct_url.json``."""
    url = str(origin.get("url", ""))
    if url.startswith("file:"):
        folder = unquote(urlsplit(url).path)
        editable = origin.get("dir_info", {}).get("editable")
        return f"{'-e ' if editable else ''}'{folder}{wanted}'"
    if not url:
        return f"'{NAME}{wanted}'"
    source = origin.get("vcs_info", {})
    if source:
        url = f"{source.get('vcs')}+{url}@{source.get('commit_id')}"
    return f"'{NAME}{wanted} @ {url}'"
