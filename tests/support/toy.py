"""A recipe of plug-ins, for tests of the real command line: toy steps, an engine without a model.

The engine's answers hang on the request's seed alone, so that any two builds give the same rows;
its log has a line for every answer that it gave, so that a test can count what was asked.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from builders import models, prompt
from srlm_data.core import schema
from srlm_data.core.config import Config, Runtime
from srlm_data.core.errors import EngineError
from srlm_data.core.rows import Models, Prompts, Rows
from srlm_data.engines.protocol import Completion, Request, response_keys

if TYPE_CHECKING:
    from srlm_data.store import Store

RECIPE = """\
seed: 3
engine:
  kind: toy:open_toy
  options: {log: asked.jsonl}
datasets:
  model: {step: 'toy:toy_model', weights: m1}
  prompts: {step: 'toy:toy_prompts', n: 6}
  candidates: {step: generate, prompts: prompts, model: model, n: 4}
  judgments: {step: judge, candidates: candidates, model: model, repeats: 2}
  pairs: {step: pair, candidates: candidates, judgments: judgments}
"""
"""Six prompts make 24 candidates and 48 judgments, so 72 answers."""

BUSY = "the toy is busy"

DATASETS = ("toy.model", "toy.prompts", "toy.candidates", "toy.judgments", "toy.pairs")


def write_recipe(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write ``toy.yaml``, each change replacing an old text of it by a new one."""
    text = RECIPE.replace("asked.jsonl", str(folder / "asked.jsonl"))
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    file = folder / "toy.yaml"
    file.write_text(text)
    return file


def build_once(folder: Path) -> Store:
    """Write the recipe into ``folder``, with the store of its build: the first of this process."""
    from srlm_data.store import Store

    shutil.copytree(_built(), folder, dirs_exist_ok=True)
    for manifest in folder.glob("store/datasets/*/*/manifest.json"):
        manifest.chmod(manifest.stat().st_mode)  # as a build leaves it: newer than its shards
    write_recipe(folder)
    return Store(folder / "store")


@cache
def _built() -> Path:
    # Here: a command that imports this module for its steps does not pay for it.
    from srlm_data.pipeline.build import build
    from srlm_data.pipeline.recipe import load
    from srlm_data.store import Store

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    build(load(write_recipe(folder)), Store(folder / "store"))
    return folder


def publish_pairs(folder: Path) -> Store:
    """Build the recipe in ``folder``, and tag its pairs as ``published``."""
    store = build_once(folder)
    store.point("toy.pairs", store.resolve("toy.pairs").version, "published")
    return store


class ToyModel(Config):
    weights: str = "m1"


def toy_model(config: ToyModel) -> Models:
    """Name a model whose weights nobody reads."""
    return models(config.weights)


class ToyPrompts(Config):
    n: int = 6
    kill_after: Annotated[int | None, Runtime()] = None


def toy_prompts(config: ToyPrompts) -> Prompts:
    """Number some prompts; with ``kill_after``, die while the rows stream."""

    def rows() -> Iterator[dict[str, Any]]:
        for i in range(config.n):
            if i == config.kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            yield prompt(f"Tell me about number {i}", source="toy")

    return Rows.stream(schema.PROMPTS, rows())


def open_toy(options: dict[str, Any], model: str, digest: str, revision: str | None) -> ToyEngine:
    """The engine that a recipe names as ``toy:open_toy``."""
    assert model == "/", "the place of the model's row"
    assert revision is None
    return ToyEngine(digest, **options)


class ToyEngine:
    """Answers in windows, last request first.

    Args:
        model: the digest that it carries.
        log: a file that gets a line for every answer.
        delay: seconds that an answer takes.
        pause: seconds that pass before it is killed.
        window: requests in flight.
        kill_at: the answer, counted from 1, at which its own process gets SIGKILL.
        fail_at: the answer at which the engine cannot go on.
        hang_at: the answer that never comes.
        failing: share of the requests that fail, and which ones: a number that draws them.
    """

    def __init__(
        self,
        model: str,
        log: str,
        delay: float = 0.0,
        pause: float = 0.0,
        window: int = 4,
        kill_at: int | None = None,
        fail_at: int | None = None,
        hang_at: int | None = None,
        failing: tuple[float, int] = (0.0, 0),
    ) -> None:
        self.model = model
        self._log = Path(log)
        self._delay = delay
        self._pause = pause
        self._window = window
        self._kill_at = kill_at
        self._fail_at = fail_at
        self._hang_at = hang_at
        self._failing, self._luck = failing
        self._count = 0

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        source = iter(requests)
        while window := list(islice(source, self._window)):
            for request in reversed(window):
                time.sleep(self._delay)
                self._count += 1
                if self._count == self._kill_at:
                    time.sleep(self._pause)
                    os.kill(os.getpid(), signal.SIGKILL)
                if self._count == self._hang_at:
                    time.sleep(3600)
                if self._count == self._fail_at:
                    raise EngineError("engine: the toy is broken. Mend it and build again.")
                if random.Random(f"{self._luck}/{request.seed}").random() < self._failing:
                    yield Completion(request, "", "error", 7, 0, error=BUSY, error_kind="busy")
                    continue
                [key] = response_keys(self.model, [request])
                line = {"key": key, "pid": os.getpid(), "at": time.time()}
                with self._log.open("a") as log:  # one short write: whole, or not at all
                    log.write(json.dumps(line) + "\n")
                yield Completion(request, reply(request), "stop", 7, 3)

    def close(self) -> None:
        pass


def reply(request: Request) -> str:
    """An answer of one line, a judgment with a score of 0 to 5, or a verdict on two answers."""
    if "Verdict:" in request.messages[-1]["content"]:
        return f"Hard to say.\nVerdict: {'AB'[request.seed % 2]}"
    if "<response>" in request.messages[-1]["content"]:
        return f"So so.\nScore: {request.seed % 6}"
    return f"answer {request.seed % 97}"


class Asked(NamedTuple):
    """One line of the engine's log."""

    key: str
    pid: int
    at: float


def asked(folder: Path) -> list[Asked]:
    """Every answer that the engine gave in a project, in order."""
    log = folder / "asked.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return [Asked(**json.loads(line)) for line in lines]
