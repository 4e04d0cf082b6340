"""What the machine has."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def count_gpus() -> int | None:
    """Count this machine's GPUs without loading a library; None where that cannot be told."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return sum(name.strip() not in ("", "-1") for name in visible.split(","))
    if sys.platform != "linux" or Path("/dev/kfd").exists() or Path("/dev/dxg").exists():
        return None
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
