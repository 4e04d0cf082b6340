"""A training job: what a YAML asks for, as the arguments that TRL takes."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import datasets
import torch
import yaml
from pydantic import Field, ValidationError
from rows import prepare
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from srlm_data.core.config import Config
from srlm_data.core.errors import TrainingError, did_you_mean
from srlm_data.core.hub import MODEL_FILES, Remote
from srlm_data.core.rows import Drops
from srlm_data.models import chat_template, identity
from srlm_data.models.network import load_network
from srlm_data.models.training import Sft, Training

Settings = TypeVar("Settings", bound=Training)


class Paths(Config):
    """What a YAML names beside the settings; a relative path starts at the YAML's folder."""

    model: str = Field(description="folder of the model to start from, or hub/name@revision")
    reference: str | None = Field(None, description="the reference model; DPO has no default")
    data: list[str] = Field(min_length=1, description="Parquet files, or folders of versions")
    validation: list[str] = Field([], description="the same, never trained on")
    output: str = Field(description="folder of this job")


@dataclass
class Job(Generic[Settings]):
    """A job's YAML, read and validated."""

    settings: Settings
    base: Path  # where relative paths start
    paths: Paths
    # Filled when the rows are read: the rows left out, and notes about the others.
    drops: Drops = field(default_factory=Drops)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        """The job's own folder."""
        return self.base / self.paths.output

    @cached_property
    def model(self) -> Path:
        """Folder of the model to start from."""
        return self._folder(self.paths.model)

    @cached_property
    def reference(self) -> Path:
        """Folder of the reference model."""
        if self.paths.reference is None:
            raise TrainingError(
                "reference: DPO needs a reference model, found none. "
                "Name one; the paper's is the model that training starts from."
            )
        return self._folder(self.paths.reference)

    def _folder(self, name: str) -> Path:
        if (self.base / name).is_dir():
            return self.base / name
        repository, _, revision = name.partition("@")
        if repository.count("/") != 1 or not revision:
            raise TrainingError(
                f"'{name}': no such folder, and not a hub/name@revision. Correct the path, or pin "
                "the revision."
            )
        return Remote(repository, "model").fetch(revision, MODEL_FILES)

    def check_models(self) -> None:
        """Raise for models that cannot be trained, or whose tokens differ: TRL does not check."""
        named = [self.model] if self.paths.reference is None else [self.model, self.reference]
        model, *others = dict.fromkeys(named)
        for folder in (model, *others):
            if getattr(AutoConfig.from_pretrained(folder), "quantization_config", None):
                raise TrainingError(
                    f"the model {folder} is quantised, and training goes on from whole weights. "
                    "Name the model that it was made of."
                )
            if not load_network(folder, TrainingError, device_map="meta").config.architectures:
                raise TrainingError(
                    f"{folder}/config.json: it names no 'architectures'. Save the model with "
                    "save_pretrained."
                )
        for other in others:
            vocabularies = [AutoTokenizer.from_pretrained(each).get_vocab() for each in named]
            if vocabularies[0] != vocabularies[1]:
                raise TrainingError(
                    f"reference: the tokenizer of {other} has other tokens than that of {model}, "
                    "and would read another text. Name a model of the same family."
                )

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The config of the model to start from."""
        return AutoConfig.from_pretrained(self.model)

    @cached_property
    def embeddings(self) -> int:
        """How many tokens the model has an embedding of, before any is added."""
        return int(self.config.get_text_config().vocab_size)

    @cached_property
    def max_length(self) -> int:
        """The tokens that a row is cut to: those wanted, or all that the model has a position of.

        Rotary positions are computed, for any number of tokens.
        """
        config = self.config.get_text_config()
        is_rotary = getattr(config, "rope_parameters", None) is not None
        positions = None if is_rotary else getattr(config, "max_position_embeddings", None)
        return min(self.settings.max_length, positions or self.settings.max_length)

    @property
    def cache(self) -> Path:
        """Where ``datasets`` keeps what it prepares; it ends with the job's run."""
        return self.output / "cache"

    @cached_property
    def data(self) -> list[Path]:
        """The Parquet files to train on."""
        return self._parquet(self.paths.data)

    @cached_property
    def validation(self) -> list[Path]:
        """The Parquet files to validate on."""
        return self._parquet(self.paths.validation)

    def _parquet(self, names: list[str]) -> list[Path]:
        files: list[Path] = []
        for path in (self.base / name for name in names):
            parts = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
            if not parts or not parts[0].is_file():
                raise TrainingError(f"'{path}': there are no Parquet files. Correct the path.")
            files += parts
        return files

    def rows(self, *answers: str) -> datasets.Dataset:
        """Return the rows to train on, without those that do not fit."""
        return self._rows(self.data, answers, self.drops, self.notes)

    def validation_rows(self, *answers: str) -> datasets.Dataset | None:
        """Return the rows to validate on; None where the YAML names none."""
        return self._rows(self.validation, answers, Drops(), {}) if self.validation else None

    def _rows(self, files: list[Path], answers: tuple[str, ...], *counts: Any) -> datasets.Dataset:
        known = max(self.embeddings, len(self.tokenizer) if self.new_tokens else 0)
        limits = (self.max_length, known)
        return prepare(files, answers, self.tokenizer, self.settings, *limits, self.cache, *counts)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer, with the wanted chat template and the tokens that it names."""
        tokenizer = AutoTokenizer.from_pretrained(self.model)
        named = None
        if isinstance(self.settings, Sft):
            named, system = self.settings.chat_template, self.settings.system
            if named or system:
                own = identity.chat_template(self.model)
                tokenizer.chat_template = chat_template.compose(own, named, system)
        if not tokenizer.chat_template:
            raise TrainingError(
                f"'{self.paths.model}': the tokenizer has no chat template. "
                "Name one with chat_template, or put a chat_template.jinja beside it."
            )
        if fault := chat_template.fault(tokenizer, named=bool(named)):
            raise TrainingError(f"'{self.paths.model}': {fault}")
        if named:
            chat_template.add_tokens(tokenizer)
        if tokenizer.pad_token is None or tokenizer.pad_token_id >= self.embeddings:
            # Any token will do, since padding is masked: 0 where the end is not a single token.
            end = tokenizer.convert_ids_to_tokens(chat_template.end_token(tokenizer) or 0)
            tokenizer.pad_token = tokenizer.eos_token or end
        return tokenizer

    @cached_property
    def new_tokens(self) -> list[int]:
        """The tokens that the tokenizer has and the model's own has not."""
        known = len(AutoTokenizer.from_pretrained(self.model))
        return list(range(known, len(self.tokenizer)))

    def network(self) -> PreTrainedModel:
        """The model to start from, with embeddings for the new tokens: near the mean of all."""
        network = AutoModelForCausalLM.from_pretrained(self.model, **self.loading())
        if len(self.tokenizer) > network.get_input_embeddings().weight.shape[0]:
            set_seed(self.settings.seed)
            network.resize_token_embeddings(len(self.tokenizer))
        if self.new_tokens:
            network.config.eos_token_id = self.tokenizer.eos_token_id
        return network

    @cached_property
    def save_dtype(self) -> str:
        """The type that the finished model is saved in: its base's own, unless one is wanted."""
        own = self.config.dtype or torch.float32
        return self.settings.save_dtype or str(own).removeprefix("torch.")

    @cached_property
    def dropouts(self) -> dict[str, float]:
        """The model's own value of every dropout that its config has."""
        return {
            name: value
            for name, value in self.config.to_dict().items()
            if ("dropout" in name or name.endswith("_pdrop")) and isinstance(value, float | int)
        }

    def loading(self) -> dict[str, Any]:
        """How the model is loaded: in the wanted type, with the wanted dropout."""
        if self.settings.dropout and not self.dropouts:
            raise TrainingError(
                f"dropout {self.settings.dropout:g}: the model's config has no dropout to set. "
                "Write dropout: 0."
            )
        return {
            "dtype": self.settings.dtype,
            "use_safetensors": True,  # never a pickle
            **dict.fromkeys(self.dropouts, self.settings.dropout),
        }

    def arguments(self) -> dict[str, Any]:
        """The arguments that SFTConfig and DPOConfig share."""
        settings = self.settings
        gpu = torch.cuda.is_available()
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        share = settings.device_batch or math.ceil(settings.batch_size / processes)
        if settings.batch_size % (share * processes):
            raise TrainingError(
                f"batch_size {settings.batch_size}: not a multiple of {share} rows per process "
                f"times {processes} processes. Change device_batch or the number of processes."
            )
        bf16, recompute = settings.bf16, settings.gradient_checkpointing
        return {
            "output_dir": str(self.output / "checkpoints"),
            "model_init_kwargs": self.loading(),
            "disable_dropout": False,
            "max_length": self.max_length,
            "learning_rate": settings.learning_rate,
            **_schedule(settings),
            "per_device_train_batch_size": share,
            "per_device_eval_batch_size": share,
            "gradient_accumulation_steps": settings.batch_size // (share * processes),
            "num_train_epochs": settings.epochs,
            "max_steps": settings.max_steps or -1,
            "seed": settings.seed,
            "bf16": gpu and torch.cuda.is_bf16_supported() if bf16 is None else bf16,
            "gradient_checkpointing": gpu if recompute is None else recompute,
            "dataloader_pin_memory": gpu,
            "eval_strategy": "steps" if self.validation else "no",
            "eval_steps": settings.save_every,
            "save_steps": settings.save_every,
            "save_total_limit": 2,
            "logging_steps": 1,
            "logging_nan_inf_filter": False,  # it would replace a NaN by the mean and go on
            "report_to": "none",
        }

    def lora(self, network: PreTrainedModel | None = None) -> Any:
        """PEFT's config, or None when every weight is trained.

        The embeddings of a ``network`` that has new tokens are trained in full: PEFT can train a
        few rows alone, but TRL multiplies by the output layer's weights and would bypass PEFT.
        """
        wanted = self.settings.lora
        if wanted is None:
            return None
        from peft import LoraConfig

        return LoraConfig(
            r=wanted.rank,
            lora_alpha=wanted.alpha,
            lora_dropout=wanted.dropout,
            target_modules=wanted.targets,
            task_type="CAUSAL_LM",
            modules_to_save=None if network is None else _embeddings(network),
            ensure_weight_tying=network is not None and network.config.tie_word_embeddings,
        )


def _embeddings(network: PreTrainedModel) -> list[str]:
    """Return the names of the layers that have a row for every token; of tied ones, the input's."""
    layers = [network.get_input_embeddings(), network.get_output_embeddings()]
    if network.config.tie_word_embeddings:
        del layers[1]
    return [name for name, layer in network.named_modules() if layer in layers]


def _schedule(settings: Training) -> dict[str, Any]:
    floor = settings.final_learning_rate
    if floor == settings.learning_rate:
        return {"lr_scheduler_type": "constant"}
    if settings.schedule == "cosine":
        return {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": floor}}
    options = {"lr_end": floor, "power": 1.0}
    return {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": options}


def read(file: Path, kind: type[Settings]) -> Job[Settings]:
    """Read a job's YAML."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise TrainingError(f"{file}: cannot read it, found '{error}'.") from None
    if not isinstance(values, dict):
        raise TrainingError(f"{file}: expected settings, found {type(values).__name__}.")
    known = [*Paths.model_fields, *kind.model_fields]
    unknown = [str(key) for key in values if key not in known]
    problems = [f"{file}: unknown key '{key}'.{did_you_mean(key, known)}" for key in unknown]
    parts: list[Any] = []
    for part in (kind, Paths):
        own = {key: value for key, value in values.items() if key in part.model_fields}
        try:
            parts.append(part.model_validate(own, context={"base": file.parent}))
        except ValidationError as error:
            problems += [
                f"{file}: {'.'.join(map(str, mistake['loc'])) or 'settings'}: {mistake['msg']}."
                for mistake in error.errors()
            ]
    if problems:
        raise TrainingError("\n".join(problems))
    return Job(parts[0], file.parent, parts[1])
