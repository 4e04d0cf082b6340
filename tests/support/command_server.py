"""Runs commands in processes of their own, without the second that Python and Arrow take to begin.

    python tests/support/command_server.py [MODULE...]

It imports what nearly every command imports, and these modules, and forks for each command that it
reads: a line of JSON with its arguments, folder and environment, the files for what it prints, and
a pipe for how it ends. Nothing of a command is left for the next one.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import duckdb  # noqa: F401 - what is imported here is imported once
import pyarrow.compute
import pyarrow.parquet  # noqa: F401

import srlm_data.analysis.api
import srlm_data.pipeline.api
import srlm_data.store.api
from srlm_data.cli import main

PROGRAM = Path(srlm_data.__file__).with_name("__main__.py")


def become(request: dict[str, Any]) -> NoReturn:
    """Be ``python -m srlm_data`` with these arguments."""
    for number, name in enumerate((os.devnull, request["stdout"], request["stderr"])):
        os.dup2(os.open(name, os.O_RDWR), number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path.insert(0, request["folder"])  # as -m does
    sys.argv = [str(PROGRAM), *request["arguments"]]
    main()


def watch(request: dict[str, Any]) -> None:
    """Run a command, and tell its number and how it ended."""
    child = os.fork()
    if not child:
        become(request)
    with Path(request["pipe"]).open("w") as pipe:
        print(child, file=pipe, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=pipe)


def reap(*_: object) -> None:
    """Wait for the watchers that have ended, so that their time is counted as this process's."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            watch(json.loads(line))
            os._exit(0)
