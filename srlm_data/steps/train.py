"""Models: a checkpoint that is there, and what training makes of one (paper, section 2.4).

    M0 --sft on IFT + EFT--> M1 --dpo on AIFT(M1)--> M2 --dpo on AIFT(M2)--> M3

A model is a row: its digest, the digests that it came from, and where its files lie. What must
not be trained is refused before anything is loaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import pyarrow.parquet
import pydantic
from pydantic import Field, ValidationInfo, model_validator

from srlm_data.core import database
from srlm_data.core.config import Config
from srlm_data.core.errors import RecipeError, TrainingError
from srlm_data.core.hub import Pins
from srlm_data.core.rows import Drops, Examples, Models, Pairs, Prompts, Rows
from srlm_data.core.schema import MODELS
from srlm_data.models import chat_template, identity
from srlm_data.models.chat_template import ChatTemplate, SystemTurns
from srlm_data.models.identity import Workshop
from srlm_data.models.training import Dpo, Sft, run


def _folder(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path):
        raise ValueError("expected the name of a folder")
    path = Path((info.context or {}).get("base", ".")) / value
    if not os.path.isdir(path):  # noqa: PTH112 - is False, not an error, for an invalid name
        raise ValueError(f"no such folder: '{value}'")
    try:
        identity.check(path)
    except RecipeError as error:
        raise ValueError(str(error)) from None
    return path.resolve()


Folder = Annotated[
    Path,
    pydantic.PlainValidator(_folder),
    pydantic.PlainSerializer(lambda path: {"digest": identity.digest(path)}),
]
"""A model's folder, looked up beside the recipe; the model's digest is its identity."""


class Checkpoint(Config):
    """A model that exists: one of ``path``, ``hub`` and ``remote``."""

    path: Folder | None = Field(None, description="the folder of a model, beside the recipe")
    hub: str | None = Field(
        None,
        pattern=r"^[^@\s]+/[^@\s]+(@[^@\s]+)?$",
        description="a model on the Hugging Face Hub, as name@commit; a branch, a tag or no "
        "revision is resolved once, and its commit is written into the lock file",
    )
    remote: str | None = Field(
        None,
        pattern=r"^[^@\s]+@[^@\s]+$",
        description="a model that only a server has, as name@version: the server's name for it, "
        "and the version that you pin (such as its release date)",
    )

    chat_template: ChatTemplate | None = Field(
        None,
        description="chat template to use instead of the model's own, if any: chatml, gemma, "
        "llama2, plain, zephyr, or a Jinja file beside the recipe",
    )
    system: SystemTurns | None = Field(
        None,
        description="fold: move system turns to the beginning of the user's and merge consecutive "
        "turns of one role, for a template that refuses them",
    )

    @model_validator(mode="after")
    def _names_one_model(self) -> Self:
        if [self.path, self.hub, self.remote].count(None) != 2:
            raise ValueError("name a model by exactly one of 'path', 'hub' and 'remote'")
        if self.remote and self.is_dressed:
            raise ValueError("a server applies its own template: remove the chat template")
        return self

    @property
    def is_dressed(self) -> bool:
        """Whether it gets another chat template, so that it is a model of the store."""
        return bool(self.chat_template or self.system)

    def pinned(self, pins: Pins) -> Self:
        """Return it with the commit that its name on the Hub means."""
        if self.hub is None:
            return self
        name, _, revision = self.hub.partition("@")
        commit = pins.commit("model", name, revision)
        return self.model_copy(update={"hub": f"{name}@{commit}"})

    @property
    def location(self) -> str:
        """Where the model's files are, as a model row says it."""
        if self.path is not None:
            return f"path:{self.path}"
        return f"hub:{self.hub}" if self.hub else f"remote:{self.remote}"


def checkpoint(config: Checkpoint, workshop: Workshop) -> Models:
    """Name an existing model: a folder, a Hub model or a server's at a pinned version.

    With a ``chat_template`` or ``system`` it is another model, in a folder of the store: the same
    files, linked, and that template.
    """
    location = config.location
    if config.path is not None:
        digest = identity.digest(config.path)
    else:
        name, _, revision = str(config.hub or config.remote).partition("@")
        named = identity.hub_digest if config.hub else identity.remote_digest
        digest = named(name, revision)
    if config.is_dressed:
        folder = workshop.resolve(location)
        template = chat_template.compose(
            identity.chat_template(folder), config.chat_template, config.system
        )
        dressed = workshop.scratch / "model"
        shutil.rmtree(dressed, ignore_errors=True)
        if template is None:
            raise TrainingError(
                f"{location}: it has no chat template of its own to fold. Name a 'chat_template'."
            )
        chat_template.dress(folder, template, dressed)
        if fault := chat_template.fault_of(dressed, named=config.chat_template is not None):
            raise TrainingError(f"{location}: {fault}")
        digest, location = workshop.keep(dressed)
    return Rows.of(MODELS, [{"model": digest, "method": "checkpoint", "location": location}])


def sft(
    config: Sft,
    model: Models,
    data: list[Examples],
    workshop: Workshop,
    held_out: Prompts | None = None,
) -> Models:
    """Fine-tune a model on prompts and completions, with the loss on the completions only.

    The paper trains the SFT baseline on IFT, and M1 on IFT and EFT, both from M0 (section 2.1).
    All of ``data`` is shuffled together; prompts of ``held_out`` must not be in it.
    """
    return _train("sft.py", config, model, data, workshop, held_out)


def dpo(
    config: Dpo,
    model: Models,
    reference: Models,
    pairs: Pairs,
    workshop: Workshop,
    held_out: Prompts | None = None,
) -> Models:
    """Train a model on preference pairs by DPO, against a reference model.

    In the paper M(t) starts from M(t-1), has it as its reference, and sees only the pairs that
    M(t-1) has made (section 2.4).
    Prompts of ``held_out`` must not be in the pairs.
    """
    if config.on_policy:
        _refuse_other_models(pairs, _only_row(model, "model")["model"])
    return _train("dpo.py", config, model, [pairs], workshop, held_out, reference)


def _train(
    script: str,
    config: Sft | Dpo,
    model: Models,
    data: Sequence[Rows],
    workshop: Workshop,
    held_out: Prompts | None,
    reference: Models | None = None,
) -> Models:
    """Check the data, run the training script, and return the row of the model that it made."""
    base = _only_row(model, "model")
    against = _only_row(reference, "reference") if reference is not None else None
    if not any(rows.count() for rows in data):
        names = ", ".join(rows.name for rows in data) or "an empty list"
        wanted = data[0].type.name if data else "examples"
        raise TrainingError(f"{names}: there are no {wanted} to train on. Check what dropped them.")
    for rows in data:
        _refuse_leak(rows, held_out)
    folder, training = run(
        script,
        config,
        workshop.scratch,
        model=workshop.resolve(base["location"]),
        reference=workshop.resolve(against["location"]) if against else None,
        data=[file for place, rows in enumerate(data) for file in _files(rows, workshop, place)],
        trainer=workshop.trainer,
    )
    if base["location"].startswith("path:") and training["base"] != base["model"]:
        raise TrainingError(f"{base['location']}: {identity.CHANGED}")
    digest, location = workshop.keep(folder)
    row = {
        "model": digest,
        "base": base["model"],
        "reference": against and against["model"],
        "method": training["method"],
        "location": location,
        "dropped": sum(training["dropped"].values()),
        **{name: training[name] for name in ("parameters", "examples", "steps", "loss", "seconds")},
    }
    models = Rows.of(MODELS, [row])
    models.drops = Drops(training["dropped"], training["examples_dropped"])
    models.notes["training"] = training.get("notes", {})
    return models


def _only_row(models: Models, parameter: str) -> dict[str, Any]:
    rows = list(models.dicts("model", "location"))
    if len(rows) != 1:
        raise TrainingError(
            f"{parameter}: expected one model, found {len(rows)} in {models.name}. "
            "Name a dataset of one model."
        )
    return rows[0]


def _refuse_other_models(pairs: Pairs, model: str) -> None:
    query = """
        SELECT coalesce(model, 'no model'), count(*) AS n FROM pairs
        WHERE model IS DISTINCT FROM $model GROUP BY 1 ORDER BY n DESC, 1
    """
    with database.viewing(pairs=pairs) as connection:
        strangers = connection.execute(query, {"model": model}).fetchall()
    if strangers:
        count = sum(n for _, n in strangers)
        raise TrainingError(
            f"{pairs.name}: DPO is on-policy, found {count:,} pairs made by {strangers[0][0]} "
            f"instead of the model in training, {model}. Train the model that made them, or set "
            "on_policy: false."
        )


def _refuse_leak(rows: Rows, held_out: Prompts | None) -> None:
    if held_out is None:
        return
    query = """
        SELECT any_value(rows.prompt[-1].content ORDER BY prompt_id), count(*)
        FROM rows SEMI JOIN held_out USING (prompt_id)
    """
    with database.viewing(rows=rows, held_out=held_out) as connection:
        [(example, count)] = connection.execute(query).fetchall()
    if count:
        raise TrainingError(
            f"{rows.name}: {count:,} rows have a prompt that {held_out.name} holds out for "
            f"evaluation, found '{' '.join(example.split()):.80}'. Remove them before training."
        )


def _files(rows: Rows, workshop: Workshop, place: int) -> list[Path]:
    """Return the Parquet files of a version; write rows in memory to the scratch folder first."""
    if rows.files:
        return list(rows.files)
    file = workshop.scratch / f"rows-{place}.parquet"
    pyarrow.parquet.write_table(rows.table(), file)
    return [file]
