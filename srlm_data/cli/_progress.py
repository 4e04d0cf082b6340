"""Show a build in a terminal: a line for each version, and a bar while a model works."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from srlm_data.cli._pace import Pace, duration
from srlm_data.cli._stopping import GO_ON, stop_tidily
from srlm_data.cli._terminal import say_state
from srlm_data.core.errors import counted
from srlm_data.core.redaction import redacted
from srlm_data.core.schema import MODELS
from srlm_data.engines.cache.cached_engine import Usage
from srlm_data.pipeline.build import Watcher
from srlm_data.pipeline.plan import Planned
from srlm_data.pipeline.recipe import Dataset
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph

if TYPE_CHECKING:
    from rich.progress import Progress

    from srlm_data.analysis.health_checks import HealthWarning

REDRAW_SECONDS: Final = 0.1
"""The bar is redrawn at most so often: to redraw it can take longer than an answer."""


_LOGS: Final = [logging.getLogger(f"srlm_data.{package}") for package in ("steps", "engines")]


@contextlib.contextmanager
def watching(root: Path, *, quiet: bool, checks: bool) -> Iterator[TerminalWatcher]:
    """Yield a watcher for a build in the store at ``root``; SIGTERM stops it with a clean-up."""
    stop_tidily(GO_ON)
    watcher = TerminalWatcher(Store(root), quiet=quiet, checks=checks)
    handler = _Log(watcher)
    for log in _LOGS:
        log.setLevel(logging.INFO)
        log.addHandler(handler)
        log.propagate = False  # a warning is printed once
    try:
        yield watcher
    finally:
        for log in _LOGS:
            log.removeHandler(handler)
            log.propagate = True
        watcher.stop()


class _Log(logging.Handler):
    """Prints what a step or an engine logs while it runs."""

    def __init__(self, watcher: TerminalWatcher) -> None:
        super().__init__(logging.INFO)
        self._watcher = watcher

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning: " if record.levelno >= logging.WARNING else ""
        self._watcher.hear(f"{kind}{record.getMessage()}")


class TerminalWatcher(Watcher):
    """A build watcher for a person: a bar on a terminal; elsewhere a line every half minute."""

    def __init__(
        self,
        store: Store,
        *,
        quiet: bool = False,
        checks: bool = True,
        patience: float = 120.0,
        interval: float = 30.0,
    ) -> None:
        self.warnings: dict[str, list[HealthWarning]] = {}  # by dataset, of new versions only
        self.store = store
        self._quiet = quiet
        self._checks = checks  # whether to run the health checks on new versions
        self._patience = patience  # seconds without an answer after which a line says so
        self._interval = interval  # seconds between two lines if no bar is drawn
        self._draws = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._bar: Progress | None = None
        self._drawn = 0.0
        self._paces = [Pace("")]  # of every step so far; the last one is of the current step
        self._heard = 0.0
        self._heart: threading.Thread | None = None
        self._stopping = threading.Event()
        self._built = self._reused = 0
        self._began = time.monotonic()

    def begin(self, planned: Planned) -> None:
        """Print what is being built and why."""
        self._say(f"  building {planned.dataset.name}  ({'; '.join(planned.reasons)})")
        self.asking(planned.dataset)
        self._start_heart()

    def asking(self, dataset: Dataset) -> None:
        """Note which dataset the next answers are for."""
        self._paces.append(Pace(dataset.name, dataset.engine.price if dataset.engine else None))

    def progress(self, usage: Usage) -> None:
        """Update the bar."""
        now, pace = time.monotonic(), self._paces[-1]
        if pace.usage is None:
            pace.began = now
        pace.usage, self._heard = usage, now
        self._start_heart()
        if self._draws and now - self._drawn >= REDRAW_SECONDS:
            self._drawn = now
            self._draw(pace, now)

    def _draw(self, pace: Pace, now: float) -> None:
        if self._bar is None:
            # Imported here so that a build without model calls does not wait for rich.
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn
            from rich.table import Column

            self._bar = Progress(
                TextColumn("  "),
                BarColumn(16, table_column=Column(no_wrap=True)),  # else a long line hides the bar
                TextColumn("{task.description}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._bar.add_task("", total=None)
        [task] = self._bar.task_ids
        done, wanted, _ = pace.reached()
        self._bar.update(task, total=wanted, completed=done, description=pace.line(now))

    def waiting(self, reason: str) -> None:
        """Print what the build waits for."""
        self._say(f"  {reason}")

    def hear(self, sentence: str) -> None:
        """Print a message of a step or an engine, which counts as a sign of life."""
        self._heard = time.monotonic()
        self._say(f"      {sentence}")

    def notice(self, sentence: str) -> None:
        """Print a note."""
        self._say(f"  note: {sentence}")

    def reused(self, manifest: Manifest) -> None:
        """Print that a version is reused."""
        self._reused += 1
        self._say(f"  = {manifest.ref}  {manifest.counted}, reused")
        if manifest.failures:
            self._say(f"      {manifest.why_failed}")

    def built(self, manifest: Manifest) -> None:
        """Print a new version's rows, cost, drops and health warnings."""
        self.stop()
        self._built += 1
        seconds = manifest.provenance.get("seconds", 0)
        rows = f"{manifest.counted} in {seconds:.1f} s"
        self._say(f"  + {manifest.ref}  {', '.join(filter(None, [rows, manifest.spent]))}")
        for reason, count in manifest.drops.items():
            self._say(f"      dropped {count:,}: {reason}")
        if self._checks:
            from srlm_data.analysis.health_checks import check_health

            self.warnings[manifest.name] = check_health(self.store, manifest)
            for warning in self.warnings[manifest.name]:
                self._say(f"      warning: {warning.sentence}")

    def _start_heart(self) -> None:
        if self._heart is None and not self._quiet:
            self._stopping = threading.Event()
            self._heart = threading.Thread(target=self._beat, args=(self._stopping,), daemon=True)
            self._heart.start()

    def _beat(self, stopping: threading.Event) -> None:
        """Print the progress regularly, in a thread: a model that hangs sends no events."""
        silences, spoken = 0, time.monotonic()
        while not stopping.wait(min(self._interval, self._patience) / 2):
            now = time.monotonic()
            pace = self._paces[-1]
            waited = now - self._heard if pace.usage else 0.0
            silences = min(silences, int(waited / self._patience))
            if waited >= (silences + 1) * self._patience:
                silences, spoken = silences + 1, now
                self._say(
                    f"  no answer for {waited:,.0f} s. A large model may take that long; "
                    "Ctrl-C stops, and all answers are kept"
                )
            elif not self._draws and now - spoken >= self._interval:
                spoken = now
                self._say(f"  {pace.line(now)}")

    def stop(self) -> None:
        """Remove the bar and print no more of the step's progress."""
        self._stopping.set()
        self._heart = None
        if self._bar is not None:
            self._bar.stop()
        self._bar = None

    def summarize(
        self,
        manifests: Collection[Manifest],
        next_command: str,
        remaining: Sequence[str] = (),
        *,
        trial: bool = False,
    ) -> None:
        """Print the summary of a build: rows, number of warnings, cost, and the next command.

        The first of the ``remaining`` datasets is the one that was being built. The last dataset of
        all belongs to the recipe of the build, whose name is left out of the lines.
        """
        self.stop()
        *_, last = "", *(manifest.name for manifest in manifests), *remaining
        own = f"{last.partition('.')[0]}."
        rows = ", ".join(f"{each.name.removeprefix(own)} {each.rows:,}" for each in manifests)
        self._say(f"rows: {rows}")
        self._say_spent()
        if remaining:
            pace, names = self._paces[-1], [name.removeprefix(own) for name in remaining]
            if pace.usage and pace.name == remaining[0]:
                names[0] += f" ({pace.reached_text()})"
            self._say(f"remaining: {', '.join(names)}")
        if trial:
            self._compare_with_full(manifests)
        self._say(f"next: {next_command}")

    def end_in_error(self) -> None:
        """Print the cost of a failed build, if it called a model."""
        self.stop()
        if any(pace.usage and pace.usage.calls for pace in self._paces):
            self._say_spent()

    def _say_spent(self) -> None:
        warnings = sum(map(len, self.warnings.values()))
        usages = [pace.usage for pace in self._paces if pace.usage]
        calls, failed = sum(each.calls for each in usages), sum(each.failed for each in usages)
        money = sum(pace.money for pace in self._paces)
        cost = f"{calls:,} model calls"
        if calls:
            read = sum(each.new_prompt_tokens for each in usages)
            written = sum(each.new_completion_tokens for each in usages)
            cost += f", {read:,} tokens in, {written:,} out"
        cost += f", {failed:,} failed" if failed else ""
        cost += f", {money:,.2f} by the engines' prices" if money else ""
        self._say(
            f"built {self._built:,}, reused {self._reused:,}; "
            f"{counted(warnings, 'warning')}; {cost}; {duration(time.monotonic() - self._began)}"
        )

    def _compare_with_full(self, manifests: Iterable[Manifest]) -> None:
        """Print how many of a trial's answers the full build will reuse."""
        graph = Graph(self.store)
        asked = kept = 0
        for manifest in manifests:
            answers = int(manifest.cost.get("calls", 0) + manifest.cost.get("reused", 0))
            above = [parent.manifest for parent in graph.ancestors(manifest) if parent.manifest]
            trained = any(each.type == MODELS.name and "limit" in each.provenance for each in above)
            asked += answers
            kept += 0 if trained else answers
        if asked:
            rest = "; the others depend on models that the trial trained" if kept < asked else ""
            self._say(f"the full build reuses {kept:,} of these {asked:,} answers{rest}")

    def _say(self, line: str) -> None:
        if not self._quiet:
            say_state(redacted(line), err=True)
