"""The card of a model, written from what its training and its version know.

A training run writes it into the checkpoint; publishing writes it anew, with the model's name and
what it was made from. It holds no paths and no host names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from srlm_data.core.controls import visible
from srlm_data.publish._sources import License, cell, license_table, table
from srlm_data.store import Input

TITLES: Final = {"sft": "supervised fine-tuning", "dpo": "direct preference optimisation"}


def write(
    training: Mapping[str, Any] | None,
    *,
    title: str | None = None,
    digest: str | None = None,
    inputs: Sequence[Input] = (),
    licenses: list[License] | None = None,
    header: Mapping[str, Any] | None = None,
) -> str:
    """Return a README.md for the Hub.

    Args:
        training: what ``training.json`` holds; None for a model that was not trained here.
        title: the model's version, where it has one.
        digest: of the model.
        inputs: the versions that it was made from.
        licenses: those of all that it goes back to.
        header: more for the YAML header, such as ``license`` and ``base_model``.
    """
    method = training["method"] if training else None
    front_matter = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["srlm-data", *(["trl", method] if method else [])],
        **(header or {}),
    }
    origin = f"Trained by {TITLES[method]} with srlm-data and TRL" if method else None
    facts = [f"- Digest of weights, tokenizer and chat template: `{digest}`"] if digest else []
    sections = [
        f"---\n{yaml.safe_dump(front_matter, sort_keys=False)}---",
        f"# {title or f'A model trained by {TITLES[str(method)]}'}",
        f"{origin or 'Named by srlm-data'}, after "
        "[Self-Rewarding Language Models](https://arxiv.org/abs/2401.10020).",
        "\n".join(facts + (_training_facts(training) if training else [])),
    ]
    if inputs:
        rows = [
            (read.parameter, f"{read.name}@{read.version}", f"`{read.content[:16]}`")
            for read in inputs
        ]
        sections += ["## Made from", table("as | version | content", rows)]
    if licenses is not None:
        sections += ["## Licenses", license_table(licenses)]
    if training:
        data = [(each["name"], each["file"], f"`{each['sha256']}`") for each in training["data"]]
        settings = [(name, cell(value)) for name, value in training["settings"].items()]
        sections += ["## Data", table("dataset | file | SHA-256", data)]
        sections += ["## Hyper-parameters", table("name | value", settings)]
        sections += ["The learning curve is in `metrics.jsonl`, the above in `training.json`."]
    return visible("\n\n".join(filter(None, sections)) + "\n")


def _training_facts(training: Mapping[str, Any]) -> list[str]:
    models = [("Base", training["base"]), ("Reference", training["reference"])]
    return [
        *(f"- {title} model: digest `{digest}`" for title, digest in models if digest),
        f"- Rows trained on: {training['examples']:,}, in {training['steps']:,} steps; "
        f"loss over the last steps {training['loss']:.4f}",
        *(f"- Rows dropped: {count:,}: {why}" for why, count in training["dropped"].items()),
        *(f"- Note: {sentence}" for sentence in training.get("notes", {}).values()),
    ]
