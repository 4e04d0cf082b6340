"""Runs real commands by forking: importing takes seconds, and a kill test needs hundreds of runs.

It imports everything once and starts nothing, so that a fork is as good as a new process. Each line
of its input is a request in JSON, each line of its output the answer: `start` gives a process id,
`wait` its exit status, negative for a signal.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from typing import Any, NoReturn

import huggingface_hub.hf_api
import pandas  # pyarrow imports it as soon as it makes an array
import sitecustomize as moments

import srlm_data.analysis.query
import srlm_data.cli._pretty
import srlm_data.pipeline.build
import srlm_data.pipeline.recipe
import srlm_data.pipeline.registry
import srlm_data.publish.api
import srlm_data.store._gc
import srlm_data.store._verify
import toy
from srlm_data.cli import main

assert pandas
assert huggingface_hub
assert toy
assert srlm_data


def run(folder: str, said: str, argv: list[str], at: int, happens: str) -> NoReturn:
    """The command, in a process of its own."""
    os.chdir(folder)
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    sys.argv = ["srlm-data", *argv]
    code: object = 1
    moments.arm(at, happens)
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - a bug is shown, as Python itself would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(output, f"\nmoments: {moments.moments}\n".encode())
        os._exit(int(str(code or 0)))


def answer(request: dict[str, Any]) -> int:
    if "wait" in request:
        _, status = os.waitpid(request["wait"], 0)
        return os.waitstatus_to_exitcode(status)
    child = os.fork()
    if not child:
        run(**request)
    return child


if __name__ == "__main__":
    gc.freeze()  # a child that walked what is imported would copy it
    for line in sys.stdin:
        print(answer(json.loads(line)), flush=True)
