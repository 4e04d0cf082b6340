"""The steps that make models: what they refuse, and what they hand to the build."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from builders import answer, example, models, preferred, prompt, prompts
from checkout import ROOT
from needed import needs
from srlm_data.core.errors import RecipeError, TrainingError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import EXAMPLES, MODELS, PAIRS
from srlm_data.models import identity, training
from srlm_data.models.trainer import Trainer
from srlm_data.models.training import Dpo, Sft
from srlm_data.pipeline._resources import StoreWorkshop
from srlm_data.steps.train import Checkpoint, checkpoint, dpo, sft
from srlm_data.store import Store
from tiny import tiny_model

QUICK: dict[str, Any] = {
    "learning_rate": 1e-3, "final_learning_rate": 1e-4, "max_steps": 2, "batch_size": 2,
}  # fmt: skip


@dataclass
class Bench:
    """A workshop in a folder."""

    root: Path
    trainer: Trainer = field(default_factory=Trainer)

    @property
    def scratch(self) -> Path:
        folder = self.root / "scratch"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def keep(self, directory: Path) -> tuple[str, str]:
        digest = identity.digest(directory)
        shutil.move(directory, self.root / digest)
        return digest, f"path:{self.root / digest}"

    def resolve(self, location: str) -> Path:
        return Path(location.removeprefix("path:"))


def says(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def named(digest: str, location: str = "path:/nowhere") -> Rows:
    return models(digest, location=location)


def some_pairs(model: str | None, count: int = 4) -> Rows:
    rows = []
    for number in range(count):
        asked = prompt(f"Question {number}?")
        yes, no = (
            answer(asked["prompt_id"], text, prompt=asked["prompt"])
            for text in (f"Yes {number}.", "No.")
        )
        rows.append(preferred(yes, no, model=model))
    return Rows.of(PAIRS, rows)


def some_examples(count: int = 4) -> Rows:
    rows = [example(f"Question {number}?", f"Yes {number}.") for number in range(count)]
    return Rows.of(EXAMPLES, rows)


def held_out(text: str) -> Rows:
    return prompts(text)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "bench")
    with closing(bench.trainer):
        yield bench


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that trains where it should have refused."""

    def never(*args: Any, **kwargs: Any) -> None:
        pytest.fail("training began")

    monkeypatch.setattr("srlm_data.steps.train.run", never)


@pytest.mark.usefixtures("no_training")
def test_dpo_refuses_pairs_that_another_model_made(bench: Bench) -> None:
    with pytest.raises(TrainingError, match=r"4 pairs made by m1 instead of .* m2\. .*on_policy"):
        dpo(Dpo(), named("m2"), named("m2"), some_pairs("m1"), bench)
    with pytest.raises(TrainingError, match="4 pairs made by no model"):
        dpo(Dpo(), named("m2"), named("m2"), some_pairs(None), bench)


@pytest.mark.usefixtures("no_training")
def test_a_prompt_of_an_evaluation_is_never_trained_on(bench: Bench) -> None:
    leaked = held_out("Question 2?")
    with pytest.raises(TrainingError, match=r"1 rows have a prompt .* found 'Question 2\?'"):
        dpo(Dpo(), named("m1"), named("m1"), some_pairs("m1"), bench, held_out=leaked)
    with pytest.raises(TrainingError, match=r"1 rows have a prompt .* found 'Question 2\?'"):
        sft(Sft(), named("m0"), [some_examples()], bench, held_out=leaked)


@pytest.mark.usefixtures("no_training")
def test_nothing_to_train_on_and_no_reference_are_refused(bench: Bench) -> None:
    none = Rows.of(MODELS, [])
    with pytest.raises(TrainingError, match="there are no pairs"):
        dpo(Dpo(), named("m1"), named("m1"), some_pairs("m1", 0), bench)
    with pytest.raises(TrainingError, match="there are no examples"):
        sft(Sft(), named("m0"), [some_examples(0)], bench)
    with pytest.raises(TrainingError, match="there are no examples"):
        sft(Sft(), named("m0"), [], bench)
    with pytest.raises(TrainingError, match="reference: expected one model, found 0"):
        dpo(Dpo(), named("m1"), none, some_pairs("m1"), bench)


def test_the_checks_let_good_rows_through(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Began(Exception):
        pass

    def begin(*args: Any, **kwargs: Any) -> None:
        raise Began

    monkeypatch.setattr("srlm_data.steps.train.run", begin)
    fresh = held_out("Another question?")
    with pytest.raises(Began):
        dpo(Dpo(), named("m1"), named("m1"), some_pairs("m1"), bench, held_out=fresh)
    with pytest.raises(Began):
        dpo(Dpo(on_policy=False), named("m2"), named("m1"), some_pairs("m1"), bench)


def test_a_checkpoint_is_named_by_its_weights_and_not_by_its_folder(
    tmp_path: Path, bench: Bench
) -> None:
    first = tiny_model(tmp_path / "first")
    shutil.copytree(first, tmp_path / "copy")
    configs = [
        Checkpoint.model_validate({"path": name}, context={"base": tmp_path})
        for name in ("first", "copy")
    ]
    assert configs[0].identity() == configs[1].identity()
    rows = [checkpoint(config, bench).table().to_pylist()[0] for config in configs]
    assert rows[0]["model"] == rows[1]["model"] == identity.digest(first)
    assert rows[0]["location"] == f"path:{first.resolve()}"


def test_a_remote_model_is_named_with_the_version_that_is_meant(
    tmp_path: Path, bench: Bench
) -> None:
    row = checkpoint(Checkpoint(remote="big@2026-04-14"), bench).table().to_pylist()[0]
    assert row["location"] == "remote:big@2026-04-14"
    other = checkpoint(Checkpoint(remote="big@2026-05-01"), bench).table().to_pylist()[0]
    assert row["model"] != other["model"]
    with pytest.raises(RecipeError, match="the version 'latest' can move"):
        checkpoint(Checkpoint(remote="big@latest"), bench)
    with pytest.raises(TrainingError, match="only a server has the model's files"):
        StoreWorkshop(Store(tmp_path), "x").resolve(row["location"])


def test_a_checkpoint_is_one_model() -> None:
    with pytest.raises(ValidationError):
        Checkpoint(hub="name")
    with pytest.raises(ValidationError, match="exactly one of"):
        Checkpoint()
    with pytest.raises(ValidationError, match="no such folder: 'gone'"):
        Checkpoint.model_validate({"path": "gone"})


@pytest.mark.slow
@needs("trl")
def test_sft_and_then_dpo_make_models_with_their_lineage(tmp_path: Path, bench: Bench) -> None:
    bench.trainer.start(training.script("prefork.py"))
    m0 = tiny_model(tmp_path / "m0")
    start = named(identity.digest(m0), f"path:{m0}")
    m1 = sft(Sft(**QUICK), start, [some_examples(), some_examples()], bench)
    first = m1.table().to_pylist()[0]
    assert first["base"] == identity.digest(m0) != first["model"]
    assert (first["method"], first["examples"], first["steps"]) == ("sft", 8, 2)
    shutil.rmtree(bench.scratch)
    m2 = dpo(Dpo(**QUICK), m1, m1, some_pairs(first["model"]), bench)
    second = m2.table().to_pylist()[0]
    assert (second["base"], second["reference"]) == (first["model"], first["model"])
    assert second["model"] == identity.digest(bench.resolve(second["location"]))
    assert second["parameters"] == 98_624
    assert second["loss"] == pytest.approx(0.69, abs=0.3)
    shutil.rmtree(bench.scratch)
    with pytest.raises(TrainingError, match="its files have changed since its recipe was read"):
        sft(Sft(**QUICK), named("another", f"path:{m0}"), [some_examples()], bench)
    assert second["dropped"] == 0


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Put ``code`` in the place of the training script."""
    file = tmp_path / "stand_in.py"
    file.write_text(code)
    monkeypatch.setattr(training, "script", lambda name: file)


def test_a_failed_run_shows_its_last_telling_line_and_its_log(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "print('3 of 9', end='\\r')\nraise MemoryError('too big')")
    with pytest.raises(TrainingError, match=r"status 1, found 'MemoryError: too big'.*log\.txt"):
        sft(Sft(), named("m0"), [some_examples()], bench)
    stand_in(tmp_path, monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(TrainingError, match=r"killed by signal 9 \(by the kernel, if memory"):
        sft(Sft(), named("m0"), [some_examples()], bench)


def test_a_launcher_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(TrainingError, match="no program 'no-such-launcher'"):
        sft(Sft(launch=("no-such-launcher",)), named("m0"), [some_examples()], bench)


INTERRUPTED = """
import sys
from pathlib import Path
from srlm_data.models import training
training.script = lambda name: Path(sys.argv[1]) / "stand_in.py"
scratch = Path(sys.argv[1])
training.run("sft.py", training.Sft(), scratch, model=scratch, data=[])
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_training_ends_with_the_build_that_started_it(tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "stand_in.py").write_text(
        "import os, time, pathlib\n"
        "pathlib.Path(__file__).with_name('pid').write_text(str(os.getpid()))\n"
        "while True: print('step', flush=True); time.sleep(0.02)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "log.txt").exists() or b"step" not in (tmp_path / "log.txt").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child = int((tmp_path / "pid").read_text())
    parent.send_signal(how)
    parent.wait(timeout=60)
    while True:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)
