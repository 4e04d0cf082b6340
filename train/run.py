"""What happens around TRL's trainer: settings, resuming, the finished checkpoint and its card.

A job's output folder holds

    model/          the finished checkpoint: it is there when, and only when, training is done
    checkpoints/    what a killed run goes on from
    cache/          the prepared rows, until then
    settings.json   what decides the weights; another job is refused the folder
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import PartialState
from job import Job, Settings, read
from transformers import AutoModelForCausalLM, PreTrainedModel, Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from srlm_data.core import filesystem
from srlm_data.core.errors import SrlmError, TrainingError
from srlm_data.core.locks import locked
from srlm_data.models import chat_template
from srlm_data.models.identity import digest, parameters
from srlm_data.models.training import DROPPED
from srlm_data.publish import model_card

SETTINGS: Final = "settings.json"


class Progress(ProgressCallback):  # type: ignore[misc]
    """A bar that shows the loss, where the Trainer's own prints every log in full."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Show the newest loss beside the bar."""
        if self.training_bar is not None and logs and "loss" in logs:
            self.training_bar.set_postfix(loss=f"{float(logs['loss']):.4f}", refresh=False)


def run(kind: type[Settings], trainer: Callable[[Job[Settings]], Trainer]) -> None:
    """Train as the YAML named on the command line says; ends the process on an expected error."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} job.yaml")
    try:
        job = read(Path(sys.argv[1]), kind)
        # Wait for a run whose parent has died; the other ranks belong to this run.
        first = int(os.environ.get("RANK", "0")) == 0
        with locked(job.output / ".lock", wait=True) if first else nullcontext():
            identity = _identity(job)
            if (job.output / "model").is_dir():
                print(f"{job.output / 'model'} is finished: nothing to do.")
            else:
                if first:
                    job.check_models()
                _train(job, identity, trainer)
    except SrlmError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _train(
    job: Job[Settings], identity: dict[str, Any], make: Callable[[Job[Settings]], Trainer]
) -> None:
    trainer = make(job)
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if trainer.args.world_size != started:  # each would train alone and overwrite the others
        raise TrainingError(
            f"launch: {started} processes were started, but {trainer.args.world_size} work "
            "together. Use accelerate launch; where there is no GPU, set ACCELERATE_USE_CPU=true."
        )
    rows = len(trainer.train_dataset)
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(Progress)
    if PartialState().is_main_process:
        _write_json(job.output / SETTINGS, identity)
    _allow_saving(trainer.model)
    last = _last_checkpoint(job.output / "checkpoints")
    begin = f"resuming from {Path(last).name}" if last else "starting from the first step"
    print(f"{rows} rows, dropped {dict(job.drops) or 'none'}; {begin}", flush=True)
    for sentence in job.notes.values():
        print(sentence, flush=True)
    outcome = trainer.train(resume_from_checkpoint=last)
    curve = trainer.state.log_history
    losses = [entry["loss"] for entry in curve if "loss" in entry][-10:]
    loss = sum(losses) / len(losses)
    if not math.isfinite(loss):
        raise TrainingError(f"the final loss is {loss}. Lower learning_rate.")
    folder = _save(job, trainer)
    if PartialState().is_main_process:
        summary = {
            **identity,
            "examples": rows,
            "dropped": job.drops,
            "notes": job.notes,
            "steps": trainer.state.global_step,
            "loss": loss,
            "seconds": outcome.metrics["train_runtime"],
            "parameters": parameters(folder),
        }
        _write_json(folder / "training.json", summary)
        _write_json(job.output / DROPPED, job.drops.examples)  # texts, kept out of the model
        with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in curve)
        (folder / "README.md").write_text(model_card.write(summary), encoding="utf-8")
        folder.rename(job.output / "model")
        shutil.rmtree(job.cache, ignore_errors=True)
    PartialState().wait_for_everyone()


def _identity(job: Job[Settings]) -> dict[str, Any]:
    """Return what decides the weights; raise if the folder holds a run that differs in it."""
    identity = {
        "method": type(job.settings).__name__.lower(),
        "base": digest(job.model),
        "reference": digest(job.reference) if job.paths.reference is not None else None,
        "data": [_named(file) for file in job.data],
        "settings": job.settings.identity(),
    }
    settings = job.output / SETTINGS
    if settings.is_file() and json.loads(settings.read_text(encoding="utf-8")) != identity:
        raise TrainingError(
            f"{job.output}: it holds another training run, whose {SETTINGS} differs. "
            "Name another output, or delete this one."
        )
    return identity


def _named(file: Path) -> dict[str, str]:
    """Return a data file for the card: its dataset version, or file name, and its SHA-256."""
    versions = [path for path in file.resolve().parents if (path / "manifest.json").is_file()]
    name = f"{versions[0].parent.name}@{versions[0].name}" if versions else file.name
    return {"name": name, "file": file.name, "sha256": filesystem.digest(file)}


def _last_checkpoint(folder: Path) -> str | None:
    """Return the newest complete checkpoint: the trainer's state is the last file written."""
    for checkpoint in sorted(
        folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True
    ):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            continue
        return str(checkpoint)
    return None


def _save(job: Job[Settings], trainer: Trainer) -> Path:
    """Write the finished checkpoint, full and as safetensors, under a provisional name."""
    folder, trained = job.output / ".model", job.output / "trained"
    trainer.save_model(str(trained))
    if PartialState().is_main_process:
        network = _load_trained(job, trained)
        for name, value in job.dropouts.items():
            setattr(network.config, name, value)
        _end_answers(network, job.tokenizer)
        _allow_saving(network)
        shutil.rmtree(folder, ignore_errors=True)
        network.save_pretrained(folder)
        job.tokenizer.save_pretrained(folder)
        for file in job.model.glob("*processor*.json"):  # vLLM needs them for image models
            shutil.copy2(file, folder)
        shutil.rmtree(trained)
    return folder


def _load_trained(job: Job[Settings], folder: Path) -> PreTrainedModel:
    """Load what was trained in the type that it is saved in, an adapter merged into its base."""
    if job.settings.lora is None:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=job.save_dtype, use_safetensors=True
        )
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(job.network(), str(folder))
    return adapted.merge_and_unload().to(getattr(torch, job.save_dtype))


def _end_answers(network: PreTrainedModel, tokenizer: Any) -> None:
    """Make generation stop at the token that ends an answer, as the model has learned."""
    end, ends = chat_template.end_token(tokenizer), network.generation_config.eos_token_id or []
    ends = ends if isinstance(ends, list) else [ends]
    if end is not None and end not in ends:
        network.generation_config.eos_token_id = [end, *ends]


def _allow_saving(network: Any) -> None:
    """Turn sampling on if the config sets its parameters: otherwise saving refuses them."""
    settings = network.generation_config
    try:
        settings.validate(strict=True)
    except ValueError:
        settings.do_sample = True


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
