"""What a step that is being built has spent so far, kept through a kill.

    <store>/spent/<dataset>@<version>.jsonl    a line of increments a moment, gone when it is built

Answers have a journal of their own; what they cost besides tokens (seconds, retries, failures)
would vanish with the process that waited for them. The lock of the version makes its builder the
only writer. A line that a kill has cut is left out: at most a moment is not counted. A call whose
answer was on no disk yet when the kill came is asked again and counts twice, for it was paid twice.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

FLUSH_SECONDS: Final = 0.5
"""How long spending may wait in memory."""


class Ledger:
    """The spending of one version (``recipe.dataset@version``), used as a context.

    Attributes:
        earlier: what attempts that did not finish have spent.
    """

    def __init__(self, root: Path, version: str) -> None:
        self._file = root / "spent" / f"{version}.jsonl"
        self._totals: Callable[[], Mapping[str, float]] = dict
        self._written: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self.earlier = _sums(self._file)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        self._flush()

    def note(self, totals: Callable[[], Mapping[str, float]]) -> None:
        """Say what this attempt's ``totals`` are; whenever they change, the disk has it soon."""
        self._totals = totals
        if self._thread is None:
            # A thread, not a look at the clock: the next answer may be a long batch away.
            thread = threading.Thread(target=self._run, daemon=True)
            thread.start()
            self._thread = thread  # started: Ctrl-C may come between any two lines

    def _run(self) -> None:
        while not self._ended.wait(FLUSH_SECONDS):
            self._flush()

    def _flush(self) -> None:
        totals = Counter(self._totals())
        new = {key: round(totals[key] - self._written[key], 6) for key in totals}
        if any(new.values()):
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a") as file:  # the line before may be cut
                    file.write("\n" + json.dumps({key: n for key, n in new.items() if n}))
            except OSError:
                return  # the answers' journal is on the same disk, and says it in a sentence
            self._written = totals

    def _end(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def clear(self) -> None:
        """Forget it all: the version is built, and its manifest has the sums."""
        self._end()
        self._totals = dict
        self._file.unlink(missing_ok=True)


def forget(root: Path, version: str) -> None:
    """Remove the spending of a version that is built."""
    (root / "spent" / f"{version}.jsonl").unlink(missing_ok=True)


def _sums(file: Path) -> Counter[str]:
    """The sums of a ledger's lines."""
    found: Counter[str] = Counter()
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            found.update(json.loads(line))
        except ValueError:
            continue  # empty, or cut by a kill
    return found
