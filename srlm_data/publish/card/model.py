"""The card of a model, written from what its training and its version know.

A training run writes it into the checkpoint; publishing writes it anew, with the model's name and
what it was made from. It holds no paths and no host names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from srlm_data.publish.bundle import plain
from srlm_data.publish.card.lineage import License, license_table
from srlm_data.store import Input

TITLES: Final = {"sft": "supervised fine-tuning", "dpo": "direct preference optimisation"}


def text(
    training: Mapping[str, Any] | None,
    *,
    title: str | None = None,
    digest: str | None = None,
    inputs: Sequence[Input] = (),
    licenses: list[License] | None = None,
    header: Mapping[str, Any] | None = None,
) -> str:
    """A README.md for the Hub.

    Args:
        training: what ``training.json`` holds; None for a model that was not trained here.
        title: the model's version, where it has one.
        digest: of the model.
        inputs: the versions that it was made from.
        licenses: those of all that it goes back to.
        header: more for the YAML header, such as ``license`` and ``base_model``.
    """
    method = training["method"] if training else "checkpoint"
    head = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["srlm-data", *(["trl", method] if training else [])],
        **(header or {}),
    }
    lines = [
        "---",
        yaml.safe_dump(head, sort_keys=False).rstrip(),
        "---",
        "",
        f"# {title or f'A model trained by {TITLES[method]}'}",
        "",
        f"{_how(method)}, after "
        "[Self-Rewarding Language Models](https://arxiv.org/abs/2401.10020).",
        "",
        *([f"- Digest of weights, tokenizer and chat template: `{digest}`"] if digest else []),
        *(_trained(training) if training else []),
        *(_made_from(inputs) if inputs else []),
        *(["", "## Licenses", "", *license_table(licenses)] if licenses is not None else []),
        *(_details(training) if training else []),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _how(method: str) -> str:
    if method in TITLES:
        return f"Trained by {TITLES[method]} with srlm-data and TRL"
    return "Named by srlm-data"


def _trained(training: Mapping[str, Any]) -> Iterator[str]:
    for title, digest in (("Base", training["base"]), ("Reference", training["reference"])):
        if digest:
            yield f"- {title} model: digest `{digest}`"
    yield (
        f"- Rows trained on: {training['examples']:,}, in {training['steps']:,} steps; "
        f"loss over the last steps {training['loss']:.4f}"
    )
    for why, count in training["dropped"].items():
        yield f"- Rows dropped: {count:,}: {why}"


def _made_from(inputs: Sequence[Input]) -> Iterator[str]:
    yield from ("", "## Made from", "", "| as | version | content |", "|---|---|---|")
    for one in inputs:
        yield f"| {one.parameter} | {one.name}@{one.version} | `{one.content[:16]}` |"


def _details(training: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Data", "", "| dataset | file | SHA-256 |", "|---|---|---|")
    for one in training["data"]:
        yield f"| {one['name']} | {one['file']} | `{one['sha256']}` |"
    yield from ("", "## Hyper-parameters", "", "| name | value |", "|---|---|")
    for name, value in training["settings"].items():
        yield f"| {name} | {plain(value)} |"
    yield ""
    yield "The learning curve is in `metrics.jsonl`, all of the above in `training.json`."
