"""The card of a trained model, written from what the run knows: no paths, no host names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

TITLES = {"sft": "supervised fine-tuning", "dpo": "direct preference optimisation"}


def text(training: Mapping[str, Any]) -> str:
    """A README.md for the Hub.

    Args:
        training: what ``training.json`` holds.
    """
    method = training["method"]
    head = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["srlm-data", "trl", method],
    }
    models = {"Base model": training["base"], "Reference model": training["reference"]}
    lines = [
        "---",
        yaml.safe_dump(head, sort_keys=False).rstrip(),
        "---",
        "",
        f"# A model trained by {TITLES[method]}",
        "",
        "Trained with srlm-data and TRL, after "
        "[Self-Rewarding Language Models](https://arxiv.org/abs/2401.10020).",
        "",
        *(f"- {title}: digest `{digest}`" for title, digest in models.items() if digest),
        f"- Rows trained on: {training['examples']:,}, in {training['steps']:,} steps; "
        f"loss over the last steps {training['loss']:.4f}",
        *(f"- Rows dropped: {count:,}: {why}" for why, count in training["dropped"].items()),
        "",
        "## Data",
        "",
        "| dataset | file | SHA-256 |",
        "|---|---|---|",
        *(f"| {one['name']} | {one['file']} | `{one['sha256']}` |" for one in training["data"]),
        "",
        "## Hyper-parameters",
        "",
        "| name | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in training["settings"].items()),
        "",
        "The learning curve is in `metrics.jsonl`, all of the above in `training.json`.",
        "",
    ]
    return "\n".join(lines)
