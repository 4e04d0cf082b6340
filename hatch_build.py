"""What a wheel carries besides the package: the recipes and the training scripts."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CarryScripts(BuildHookInterface):  # type: ignore[type-arg]
    """Put recipes/ and train/ into the package, where `srlm-data init` and training find them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add both folders, but not to an editable install: that one reads the checkout's own."""
        if version != "editable":
            build_data["force_include"] |= {
                "recipes": "srlm_data/recipes",
                "train": "srlm_data/train",
            }
