"""Fork a process for each training, with what all of them import imported once.

    python train/prefork.py FD

FD is a Unix socket. A message asks for a training: a script and its YAML, and the descriptor that
its output goes to. The answers are its process id and, once it has ended, its status.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import sys


def serve(connection: socket.socket) -> list[str] | None:
    """Fork for each message; return the script and YAML in the child, and None at the end."""
    while True:
        message, outputs, _, _ = socket.recv_fds(connection, 65536, 1)
        if not message:
            return None
        child = os.fork()
        if not child:
            connection.close()
            for stream in (1, 2):
                os.dup2(outputs[0], stream)
            os.close(outputs[0])
            return list(json.loads(message))
        os.close(outputs[0])
        connection.send(b"%d" % child)
        _, status = os.waitpid(child, 0)
        connection.send(b"%d" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the build and for the training
    gc.disable()  # imported objects stay: collections over them during the imports take seconds
    import dpo  # noqa: F401
    import sft  # noqa: F401

    gc.enable()
    gc.freeze()
    command = serve(socket.socket(fileno=int(sys.argv[1])))
    if command is None:
        os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")
