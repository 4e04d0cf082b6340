"""A small human seed in, versioned preference data out, made and judged by the model itself."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srlm_data.analysis.query import connect
    from srlm_data.analysis.reading import load, scan, sql

__all__ = ["connect", "load", "scan", "sql"]


def __getattr__(name: str) -> object:
    """Import what is asked for when it is: ``import srlm_data`` waits for no library."""
    if name not in __all__:
        raise AttributeError(f"module 'srlm_data' has no attribute '{name}'")
    module = "srlm_data.analysis.query" if name == "connect" else "srlm_data.analysis.reading"
    return getattr(importlib.import_module(module), name)
