"""Data of the package that lie in YAML files beside the modules that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def data_beside(module: str, name: str) -> Any:
    """Return the data of the file ``name`` beside a module, which gives its ``__file__``."""
    return yaml.load(Path(module).with_name(name).read_text(encoding="utf-8"), yaml.CSafeLoader)
