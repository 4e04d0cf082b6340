"""A chat template tried in a process of its own, where it may take little time and memory.

A template is a program that whoever made a model has written, and it runs for every conversation.
No sandbox bounds how long it loops and how much text it multiplies; and what it includes is a file
that no engine reads.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Final

SECONDS: Final = 3
MEMORY: Final = 1 << 30

_TOO_LONG: Final = f"that takes over {SECONDS} seconds for three turns"
_TOO_MUCH: Final = f"that takes over {MEMORY >> 30} GiB of memory for three turns"
_PROGRAM: Final = f"""
import re, resource, sys
from jinja2 import meta
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
text = re.sub(r"{{%-?\\s*(end)?generation\\s*-?%}}", "", sys.stdin.read())
turns = [{{"role": role, "content": "?"}} for role in ("user", "assistant", "user")]
try:
    environment = ImmutableSandboxedEnvironment(extensions=[loopcontrols])
    if list(meta.find_referenced_templates(environment.parse(text))):
        sys.exit(78)
    values = dict(messages=turns, add_generation_prompt=True, bos_token="", eos_token="")
    environment.from_string(text).render(values)
except (MemoryError, OverflowError):
    sys.exit(77)
except Exception:
    pass  # whoever uses it says so
"""


@functools.cache
def describe_fault(template: str) -> str | None:
    """Return why a template is not to be used, a phrase ("that ..."); None where it can be."""
    try:
        probe = subprocess.run(
            [sys.executable, "-I", "-c", _PROGRAM],
            input=template.encode(errors="replace"),
            capture_output=True,
            timeout=SECONDS * 4,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _TOO_LONG
    if probe.returncode < 0:  # by the signal of a limit
        return _TOO_LONG
    return {77: _TOO_MUCH, 78: "that includes another file"}.get(probe.returncode)
