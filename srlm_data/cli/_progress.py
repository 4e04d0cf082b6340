"""What a terminal shows of a build: lines of what was made, and a bar while a model is at work."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from srlm_data.cli._stopping import stop_tidily
from srlm_data.cli._terminal import say
from srlm_data.core.redaction import redacted
from srlm_data.engines.cache.cached_engine import Usage
from srlm_data.pipeline.build import Watcher
from srlm_data.pipeline.plan import Planned
from srlm_data.store import Manifest, Store

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from srlm_data.analysis.health_checks import HealthWarning

REDRAW_SECONDS: Final = 0.1
"""A bar that moves with every answer would take longer than many an answer."""


_STEPS: Final = logging.getLogger("srlm_data.steps")


@contextlib.contextmanager
def watching(root: Path, *, quiet: bool, checks: bool) -> Iterator[TerminalWatcher]:
    """Yield a watcher for a build in the store at ``root``, which SIGTERM stops in good order."""
    stop_tidily()
    watcher = TerminalWatcher(Store(root), quiet=quiet, checks=checks)
    log = _StepLog(watcher._say)
    _STEPS.setLevel(logging.INFO)
    _STEPS.addHandler(log)
    try:
        yield watcher
    finally:
        _STEPS.removeHandler(log)
        watcher.stop()


class _StepLog(logging.Handler):
    """Says what a step logs while it runs."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning: " if record.levelno >= logging.WARNING else ""
        self._say(f"      {kind}{record.getMessage()}")


class TerminalWatcher(Watcher):
    """A build watcher for a person. The bar is drawn on a terminal only; lines go everywhere.

    Args:
        store: where the versions lie.
        quiet: say nothing.
        checks: whether to check the health of what was built.
        patience: seconds without an answer after which it says so, while a model is at work.

    Attributes:
        store: where the versions lie.
        warnings: dataset -> what is worth knowing of the version that was just built.
    """

    def __init__(
        self, store: Store, *, quiet: bool = False, checks: bool = True, patience: float = 120.0
    ) -> None:
        self.warnings: dict[str, list[HealthWarning]] = {}
        self.store = store
        self._quiet = quiet
        self._checks = checks
        self._patience = patience
        self._stalled: threading.Timer | None = None
        self._answers = 0
        self._draws = sys.stderr.isatty() and not quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._started = self._drawn = 0.0

    def begin(self, planned: Planned) -> None:
        """Say what is being built and why."""
        self._say(f"  building {planned.dataset.name}  ({'; '.join(planned.reasons)})")
        self._started = time.perf_counter()

    def progress(self, usage: Usage) -> None:
        """Move the bar: answers, answers a second, tokens a second, time to go."""
        self._answers = usage.calls + usage.reused
        if self._stalled is None and not self._quiet:
            self._watch(0.0)
        if not self._draws or (now := time.perf_counter()) - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = now
        if self._bar is None:
            # Only here: a build that asks no model does not wait for rich.
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("  "),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} answers"),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=usage.total, speed="")
        assert self._task is not None
        passed = max(now - self._started, 1e-9)
        done = usage.calls + usage.reused
        self._bar.update(
            self._task,
            total=usage.total,
            completed=done,
            speed=f"{usage.calls / passed:,.0f} rows/s "
            f"{usage.completion_tokens / passed:,.0f} tokens/s",
        )

    def waiting(self, reason: str) -> None:
        """Say who is waited for."""
        self._say(f"  {reason}")

    def reused(self, manifest: Manifest) -> None:
        """Say that nothing had to be done."""
        self._say(f"  = {manifest.ref}  {manifest.counted}, as built before")
        if manifest.failures:
            self._say(f"      {manifest.why_failed}")

    def built(self, manifest: Manifest) -> None:
        """Say what was made, what was dropped, what it cost and what is worth knowing of it."""
        self.stop()
        seconds = manifest.provenance.get("seconds", 0)
        made = f"{manifest.counted} in {seconds:.1f} s"
        self._say(f"  + {manifest.ref}  {made}{_cost(manifest)}")
        for reason, count in manifest.drops.items():
            self._say(f"      dropped {count:,}: {reason}")
        if self._checks:
            from srlm_data.analysis.health_checks import check_health

            self.warnings[manifest.name] = check_health(self.store, manifest)
            for warning in self.warnings[manifest.name]:
                self._say(f"      warning: {warning.sentence}")

    def records(self, name: str) -> list[dict[str, Any]] | None:
        """Return what `--json` says of a dataset's health; None where it was reused."""
        if name not in self.warnings:
            return None
        return [
            {"kind": warning.kind, "sentence": warning.sentence, "figures": dict(warning.figures)}
            for warning in self.warnings[name]
        ]

    def _watch(self, passed: float) -> None:
        """Look again after a while whether an answer has come; a model that hangs says nothing."""
        before = self._answers

        def look() -> None:
            if self._stalled is None:
                return
            waited = passed + self._patience if self._answers == before else 0.0
            if waited:
                self._say(
                    f"  no answer for {waited:,.0f} s. A large model may take that long; "
                    "Ctrl-C stops, and what was answered is kept"
                )
            self._watch(waited)

        self._stalled = threading.Timer(self._patience, look)
        self._stalled.daemon = True
        self._stalled.start()

    def stop(self) -> None:
        """Take the bar away."""
        if self._stalled is not None:
            self._stalled.cancel()
        self._stalled = None
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None

    def _say(self, line: str) -> None:
        if not self._quiet:
            say(redacted(line), err=True)


def _cost(manifest: Manifest) -> str:
    cost = manifest.cost
    if not cost:
        return ""
    return (
        f", {cost['calls']:,} model calls ({cost['reused']:,} answers reused), "
        f"{cost['completion_tokens']:,} tokens written"
    )
