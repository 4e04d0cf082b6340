"""An engine that judges as the last line of its prompt says, with numbers in the place of #."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from srlm_data.engines.protocol import Completion, Request
from strange import Echo


def open_grading(options: dict[str, Any], model: str, digest: str, revision: str | None) -> Grading:
    """The engine that a recipe names as ``grading:open_grading``."""
    return Grading(digest, **options)


class Grading(Echo):
    """Second answers of a prompt get an 8, first ones a 2."""

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        for completion in super().generate(requests, total=total):
            said = completion.request.messages[-1]["content"]
            points = "8" if "(again)" in said else "2"
            last = said.rsplit("\n", 1)[-1].replace("#", points).replace("/n", "\n")
            yield completion._replace(text=last if "<response>" in said else completion.text)
