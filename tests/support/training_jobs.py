"""Training jobs in a folder, and the scripts that do them."""

from __future__ import annotations

import json
import os
import runpy
import sys
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from checkout import ROOT
from srlm_data.core.errors import TrainingError
from srlm_data.models.training import script

WORDS = "red kettle kitchen shelf lamp green one two three four five six seven".split()
QUICK = {"learning_rate": 1e-3, "final_learning_rate": 1e-4, "max_steps": 4, "batch_size": 4}


def says(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def words(start: int, count: int) -> str:
    return " ".join(WORDS[(start + step * step) % len(WORDS)] for step in range(count))


def examples(count: int = 16) -> list[dict[str, Any]]:
    return [
        {
            "prompt": says("user", words(one, 4)),
            "completion": says("assistant", words(one + 3, 2 + one % 5)),
        }
        for one in range(count)
    ]


def pairs(count: int = 16) -> list[dict[str, Any]]:
    return [
        {
            "prompt": says("user", words(one, 4)),
            "chosen": says("assistant", words(one + 3, 4)),
            "rejected": says("assistant", words(one + 5, 2 + one % 5)),
        }
        for one in range(count)
    ]


def job(folder: Path, model: Path, rows: list[dict[str, Any]], **settings: Any) -> Path:
    """Write a job's data and YAML; SFT unless there is a reference."""
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    given = {"model": str(model), "data": ["rows.parquet"], "output": "out"} | QUICK | settings
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(given))
    return file


def command(name: str, file: Path) -> list[str]:
    return [sys.executable, str(script(name)), str(file)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def execute(name: str, file: Path) -> None:
    """Run a script in this process, which has imported torch already."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's and transformers' own
        patch.setattr(sys, "argv", [name, str(file)])
        patch.setattr(sys, "path", [str(ROOT / "train"), *sys.path])
        runpy.run_path(str(script(name)), run_name="__main__")


def train(name: str, file: Path) -> Path:
    """Run a script to its end; the folder of the model."""
    execute(name, file)
    return file.parent / "out" / "model"


def refused(name: str, file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a script says that will not train."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        execute(name, file)
    assert end.value.code == TrainingError.exit_code
    return capsys.readouterr().err


def curve(model: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]


def facts(model: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((model / "training.json").read_text())
    return read
