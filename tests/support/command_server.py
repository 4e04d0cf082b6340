"""Runs commands in processes of their own, without the second that Python and Arrow take to begin.

    python tests/support/command_server.py [MODULE...]

It imports what commands import, but for the libraries of models, and these modules, and forks for
each command that it reads: a line of JSON with its arguments, folder and environment, the files of
its streams, and a pipe for how it ends. Nothing of a command is left for the next one.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import srlm_data
from srlm_data.cli import main

PROGRAM = Path(srlm_data.__file__).with_name("__main__.py")
LATE = ("huggingface_hub.hf_api", "pandas", "polars", "rich.console", "rich.table", "scipy.stats")
"""What our modules import where they use it; pandas, where pyarrow makes an array."""


def import_once(modules: list[str]) -> None:
    """Import all that is ours but the engines that run models, and these modules."""
    ours = [module.name for module in pkgutil.walk_packages(srlm_data.__path__, "srlm_data.")]
    engines = ("growing_cache", "ray", "transformers", "vllm")
    for name in [*ours, *LATE]:
        if name != "srlm_data.__main__" and not name.endswith(engines):
            with suppress(ImportError):  # of an optional package
                importlib.import_module(name)
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def become(request: dict[str, Any], imported: dict[str, str]) -> NoReturn:
    """Be ``python -m srlm_data`` with these arguments; importing has set some variables."""
    os.setsid()
    for number, name in enumerate(request["streams"]):
        handle = os.open(name, os.O_RDWR | os.O_NOCTTY)
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(imported | request["environment"])
    if constants := sys.modules.get("huggingface_hub.constants"):
        importlib.reload(constants)  # they were read of another environment
    sys.path.insert(0, request["folder"])  # as -m does
    sys.argv = [str(PROGRAM), *request["arguments"]]
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - a bug is shown, as Python itself would
        sys.excepthook(*sys.exc_info())
    # What Python does at its end, but for taking three thousand modules apart.
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(int(str(code or 0)))


def watch(request: dict[str, Any], imported: dict[str, str]) -> None:
    """Run a command, and tell its number and how it ended."""
    child = os.fork()
    if not child:
        become(request, imported)
    with Path(request["pipe"]).open("w") as pipe:
        print(child, file=pipe, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=pipe)


def reap(*_: object) -> None:
    """Wait for the watchers that have ended, so that their time is counted as this process's."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    before = dict(os.environ)
    import_once(sys.argv[1:])
    imported = {name: value for name, value in os.environ.items() if name not in before}
    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            watch(json.loads(line), imported)
            os._exit(0)
