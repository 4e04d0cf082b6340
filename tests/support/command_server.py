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
from select import select
from typing import Any, NoReturn

import srlm_data
from srlm_data.cli import main

STDIN = 0
PROGRAM = Path(srlm_data.__file__).with_name("__main__.py")
LATE = ("huggingface_hub.hf_api", "pandas", "polars", "rich.console", "rich.table", "scipy.stats")
"""What our modules import where they use it; pandas, where pyarrow makes an array."""


def import_once(modules: list[str]) -> None:
    """Import all that is ours but the engines that run models, and these modules."""
    gc.disable()  # what is imported stays: walking it again and again takes seconds
    ours = [module.name for module in pkgutil.walk_packages(srlm_data.__path__, "srlm_data.")]
    engines = ("growing_cache", "ray", "transformers", "vllm")
    for name in [*ours, *LATE]:
        if name != "srlm_data.__main__" and not name.endswith(engines):
            with suppress(ImportError):  # of an optional package
                importlib.import_module(name)
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()


def become(request: dict[str, Any], imported: dict[str, str]) -> NoReturn:
    """Be ``python -m srlm_data`` with these arguments; importing has set some variables."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
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


def tell(pipe: str, number: int) -> None:
    """Write a number to who waits for a command, unless nobody does any more."""
    with suppress(OSError):
        handle = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.write(handle, f"{number}\n".encode())
        os.close(handle)


def reap(pipes: dict[int, str]) -> None:
    """Tell how each command ended that has ended."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            tell(pipes.pop(ended[0]), os.waitstatus_to_exitcode(ended[1]))


def serve(imported: dict[str, str]) -> None:
    """Fork for each command that is read, once: a fork costs as much as a small command."""
    pipes: dict[int, str] = {}
    unread = b""
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # which writes to `wake`
    while True:
        ready = select([STDIN, awake], [], [])[0]
        if awake in ready:
            os.read(awake, 4096)
            reap(pipes)
        if STDIN not in ready:
            continue
        if not (data := os.read(STDIN, 1 << 20)):
            return
        *lines, unread = (unread + data).split(b"\n")
        for request in map(json.loads, lines):
            child = os.fork()
            if not child:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.set_wakeup_fd(-1)
                os.close(awake)
                os.close(wake)
                become(request, imported)
            pipes[child] = request["pipe"]
            tell(request["pipe"], child)


if __name__ == "__mp_main__":  # one of vLLM's processes, which is about to import it
    gc.set_threshold(100_000)

if __name__ == "__main__":
    before = dict(os.environ)
    import_once(sys.argv[1:])
    serve({name: value for name, value in os.environ.items() if name not in before})
    os._exit(0)  # nothing was begun here that would have to be ended
