"""How a model is trained: the settings that decide its weights, and the run that makes them.

The settings are read by the steps (``steps/train.py``) and by the scripts in ``train/`` alike.
Their defaults are the paper's (section 3.1.2); what the paper does not state is ours and says
so. The run itself happens in a process of its own, so that the core never imports torch.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import yaml
from pydantic import Field, model_validator

from srlm_data.core.config import Config, Runtime
from srlm_data.core.errors import TrainingError
from srlm_data.models.chat_template import ChatTemplate, SystemTurns, TemplateOptions
from srlm_data.models.identity import CHAT_TEMPLATE
from srlm_data.models.trainer import Trainer

DROPPED: Final = "dropped.json"
"""The file of a run with examples of the dropped rows."""

PRESETS: Final = {"paper-v3": {"schedule": "cosine"}, "paper-v1": {"schedule": "linear"}}
"""The settings in which the two versions of the paper differ; all others are the same in both."""


class Lora(Config):
    """Train low-rank adapters and merge them, instead of training every weight."""

    rank: int = Field(16, gt=0, description="rank of the adapters")
    alpha: float = Field(32, gt=0, description="scale of the adapters; they add alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the adapters")
    targets: str | list[str] = Field("all-linear", description="modules that get an adapter")


class Training(Config):
    """What ``sft`` and ``dpo`` share. AdamW without weight decay; gradients clipped to norm 1."""

    identity_if_set: ClassVar[tuple[str, ...]] = ("chat_template_kwargs",)

    preset: Annotated[Literal["paper-v3", "paper-v1"], Runtime()] = Field(
        "paper-v3", description="whose figures are the defaults"
    )
    learning_rate: float = Field(gt=0, description="learning rate at the first step")
    final_learning_rate: float = Field(ge=0, description="learning rate at the last step")
    schedule: Literal["cosine", "linear"] = Field(
        "cosine", description="how the learning rate goes from first to last"
    )
    batch_size: int = Field(16, gt=0, description="rows per optimizer step, over all processes")
    dropout: float = Field(0.1, ge=0, lt=1, description="every dropout of the model")
    epochs: float = Field(gt=0, description="passes over the data (not stated by the paper)")
    max_steps: int | None = Field(None, gt=0, description="optimizer steps, instead of epochs")
    max_length: int = Field(2048, gt=1, description="tokens of prompt and answer (not stated)")
    chat_template_kwargs: TemplateOptions | None = Field(
        None,
        description="passed to the chat template; set what the answers were generated with: "
        "{enable_thinking: false}",
    )
    lora: Lora | None = Field(None, description="train adapters and merge them")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="type of the weights in training; bfloat16 rounds small updates away"
    )
    save_dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        None, description="number type of the saved model; by default that of its base"
    )
    seed: int = Field(0, ge=0, description="seed of the row order, dropout and new adapters")
    bf16: Annotated[bool | None, Runtime()] = Field(
        None, description="compute in bfloat16; by default on with a GPU that can"
    )
    gradient_checkpointing: Annotated[bool | None, Runtime()] = Field(
        None, description="save memory, about 20 % slower; by default on with a GPU"
    )
    device_batch: Annotated[int | None, Runtime()] = Field(
        None, gt=0, description="rows per process at a time; by default its share of the batch"
    )
    save_every: Annotated[int, Runtime()] = Field(
        200, gt=0, description="optimizer steps between checkpoints, where a killed run resumes"
    )
    launch: Annotated[tuple[str, ...], Runtime()] = Field(
        (), description="launcher of the script, such as [accelerate, launch, --config_file, f]"
    )

    def packages(self) -> dict[str, str]:
        """Return TRL and what it stands on; peft only for adapters."""
        wanted = ("torch", "transformers", "accelerate", "datasets", "trl")
        return dict.fromkeys([*wanted, *(["peft"] if self.lora else [])], "train")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {**PRESETS.get(str(values.get("preset", "paper-v3")), {}), **values}

    @model_validator(mode="after")
    def _learning_rate_falls(self) -> Self:
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate {self.final_learning_rate:g} is above "
                f"learning_rate {self.learning_rate:g}; give both"
            )
        return self


class Sft(Training):
    """Supervised fine-tuning, the loss on the answer's tokens only (paper, section 2.1)."""

    learning_rate: float = Field(5.5e-6, gt=0, description="learning rate at the first step")
    final_learning_rate: float = Field(1.1e-6, ge=0, description="learning rate at the last step")
    epochs: float = Field(2, gt=0, description="passes over the data (not stated by the paper)")
    chat_template: ChatTemplate | None = Field(
        None,
        description="the template to train with, if not the base model's: chatml, gemma, llama2, "
        "plain, zephyr, or a Jinja file; tokens that it names are added",
    )
    system: SystemTurns | None = Field(
        None,
        description="fold: system turns become the beginning of the user's, and neighbours of one "
        "role are one turn",
    )


Loss = Literal[
    "sigmoid",
    "sft",
    "sppo_hard",
    "ipo",
    "hinge",
    "nca_pair",
    "bco_pair",
    "apo_zero",
    "apo_down",
    "sigmoid_norm",
]
"""The losses of TRL that need no setting other than beta."""


class Dpo(Training):
    """Direct preference optimisation (paper, section 2.4)."""

    learning_rate: float = Field(1e-6, gt=0, description="learning rate at the first step")
    final_learning_rate: float = Field(1e-7, ge=0, description="learning rate at the last step")
    epochs: float = Field(1, gt=0, description="passes over the data (not stated by the paper)")
    beta: float = Field(0.1, gt=0, description="how strongly the reference model holds back")
    losses: dict[Loss, float] = Field(
        {"sigmoid": 1.0},
        min_length=1,
        description="TRL's losses and their weights: sigmoid is DPO's; sft adds the likelihood of "
        "the chosen answer (NLL); sppo_hard, ipo, hinge and the like are follow-ups'",
    )
    # Not a Runtime field: a model trained without this check must not be reused as a checked one.
    on_policy: bool = Field(True, description="refuse pairs of another model than is trained")


def script(name: str) -> Path:
    """A training script (``sft.py``, ``dpo.py``): of the checkout, or of the installed package."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "train", package.parent / "train"):
        if (folder / name).is_file():
            return folder / name
    raise TrainingError(
        f"train/{name}: the script is missing, looked beside and inside '{package.name}'. Install "
        "srlm-data again."
    )


def run(
    name: str,
    config: Training,
    scratch: Path,
    *,
    model: Path,
    reference: Path | None = None,
    data: Sequence[Path],
    trainer: Trainer | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Train in a process of its own, and go on where a killed run of the same scratch stopped.

    Args:
        name: the script, ``sft.py`` or ``dpo.py``.
        config: the settings.
        scratch: the run's own folder; it holds ``config.yaml``, ``log.txt`` and checkpoints.
        model: folder of the model to start from.
        reference: folder of DPO's reference model.
        data: Parquet files.
        trainer: runs the script, faster where it has trained before.

    Returns:
        The folder of the finished model, and what ``training.json`` in it says of the run.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    settings = config.model_dump(mode="json", exclude={"launch"})
    settings |= {"model": str(model.resolve()), "output": str(scratch.resolve())}
    settings |= {"data": [str(file.resolve()) for file in data]}
    if reference is not None:
        settings["reference"] = str(reference.resolve())
    if isinstance(config, Sft) and config.chat_template:
        settings["chat_template"] = CHAT_TEMPLATE  # relative to the YAML file
        (scratch / CHAT_TEMPLATE).write_text(config.chat_template.text, encoding="utf-8")
    recipe = scratch / "config.yaml"
    recipe.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    log = scratch / "log.txt"
    before = log.stat().st_size if log.is_file() else 0  # a resumed run appends to its log
    command = [str(script(name)), str(recipe)]
    status = (trainer or Trainer()).run(launcher(config.launch), command, log)
    if status:
        died = f"was killed by signal {-status}" if status < 0 else f"failed with status {status}"
        if status == -signal.SIGKILL:
            died += " (by the kernel, if memory ran out: device_batch makes it smaller)"
        raise TrainingError(
            f"train/{name}: training {died}, found '{_telling(log, before)}'. "
            f"The full log is {log}; the same command resumes from the last checkpoint."
        )
    finished = scratch / "model"
    training = json.loads((finished / "training.json").read_text(encoding="utf-8"))
    training["examples_dropped"] = json.loads((scratch / DROPPED).read_text(encoding="utf-8"))
    return finished, training


def launcher(launch: Sequence[str]) -> list[str]:
    """Return the command that starts a training's script; empty where a recipe names none.

    A shipped config, ``train/configs/offload.yaml``, is found wherever the package lies.

    Raises:
        TrainingError: there is no such program, or no such YAML file.
    """
    if not launch:
        return []
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which(launch[0], path=beside)
    if program is None:
        raise TrainingError(f"launch: no program '{launch[0]}' on the path. Install it or name it.")
    return [program, *map(_find_config, launch[1:])]


def _find_config(word: str) -> str:
    """Return an argument of ``launch``; a missing YAML file is looked for beside ``train/``."""
    if not word.endswith(".yaml") or Path(word).is_file():
        return word
    shipped = script("sft.py").parents[1] / word
    if not shipped.is_file():
        raise TrainingError(f"launch: no file '{word}' in {Path.cwd()}. Give its path.")
    return str(shipped)


_ERROR: Final = re.compile(r"(?:\[\w+\]: *)?((?:[\w.]*(?:Error|Exception|Interrupt)|error)\b.*)")
_LAUNCHERS_OWN: Final = ("subprocess.CalledProcessError", "torch.distributed.elastic")


def _telling(log: Path, start: int) -> str:
    """Return the last line from byte ``start`` on that names an error, else the last line."""
    text = log.read_bytes()[start:].decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines[-400:]):
        match = _ERROR.fullmatch(line)
        if match and not match[1].startswith(_LAUNCHERS_OWN):
            return match[1].removeprefix("error: ")
    return lines[-1] if lines else "nothing in the log"
