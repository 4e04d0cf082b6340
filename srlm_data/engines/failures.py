"""Failed requests: why they have no answer, and when there are too many of them to go on.

Failures of a server come and go, so some are borne: the rest of the step is answered, and the next
build asks the failed requests again. A step in which too large a share fails is ended, for whatever
its cause is, it will not go away by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final

from pydantic import Field

from srlm_data.core.errors import EngineError
from srlm_data.core.redaction import redacted
from srlm_data.engines.protocol import Completion, response_keys

SHARE: Final = 0.1
"""Share of a step's requests that may fail."""

FLOOR: Final = 10
"""Failed requests that never end a step: with few requests, a share says nothing."""

_LONGEST: Final = 200
"""Most characters of a reason for a failure: a server may send a page of HTML."""


@dataclass(frozen=True)
class Failure:
    """Failed requests of one kind, as a manifest counts them; ``sentence`` is the first one's."""

    count: Annotated[int, Field(ge=0, lt=1 << 63)]
    sentence: Annotated[str, Field(max_length=10_000)]


class Failures:
    """The failed requests of a step, by kind: a ``share`` may fail, and ``floor`` in any case."""

    def __init__(self, where: str, share: float = SHARE, floor: int = FLOOR) -> None:
        self.kinds: dict[str, Failure] = {}
        self._where = where
        self._share = share
        self._floor = floor
        self._keys: set[str] = set()

    @property
    def count(self) -> int:
        """How many requests failed."""
        return sum(failure.count for failure in self.kinds.values())

    @property
    def digest(self) -> str:
        """Hash of which requests failed: together with the step's identity it decides the rows."""
        return hashlib.sha256("".join(sorted(self._keys)).encode()).hexdigest()[:16]

    def add(self, model: str, completion: Completion) -> Completion:
        """Count a failed completion, and return it with what may be written down of it."""
        kind = completion.error_kind or "unknown"
        sentence = " ".join(redacted(completion.error or "the engine gave no reason").split())
        sentence = sentence.encode(errors="replace").decode()  # replaces lone surrogates
        sentence = sentence if len(sentence) <= _LONGEST else f"{sentence[: _LONGEST - 3]}..."
        before = self.kinds.get(kind, Failure(0, sentence))
        self.kinds[kind] = replace(before, count=before.count + 1)
        self._keys.update(response_keys(model, [completion.request]))
        return completion._replace(error=sentence, error_kind=kind)

    def refuse_too_many(self, requests: int) -> None:
        """End the step where too many of its requests so far have failed."""
        if self.count > max(self._floor, self._share * requests):
            self.refuse_all(requests)  # if all failed so far, do not advise a larger budget
            raise EngineError(
                f"{self._where}: {describe_failures(self.kinds, requests)}. All answers are kept: "
                "fix the cause and build again, or raise the engine's 'failure_budget'."
            )

    def refuse_all(self, requests: int) -> None:
        """Refuse a step that has no answer at all, however few its requests were."""
        if requests and self.count == requests:
            raise EngineError(
                f"{self._where}: {describe_failures(self.kinds, requests)}. Fix the cause and "
                "build again."
            )


def describe_failures(failures: Mapping[str, Failure], requests: int) -> str:
    """Return how many requests failed and why: ``8 of 24 requests failed: timed out (2), ...``."""
    most_first = sorted(failures.values(), key=lambda failure: -failure.count)
    reasons = ", ".join(f"{failure.sentence} ({failure.count:,})" for failure in most_first)
    count = sum(failure.count for failure in most_first)
    return f"{count:,} of {requests:,} requests failed: {reasons}"
