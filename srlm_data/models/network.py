"""Loads a model's network, and refuses one whose weights are incomplete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from srlm_data.core.errors import SrlmError


def load_network(model: str | Path, error: type[SrlmError], **options: Any) -> Any:
    """Load a folder's or the Hub's causal language model with ``options`` of transformers.

    Raises:
        SrlmError: an ``error``; weights that lie under other names (an adapter's, say) are not
            found by transformers, which would draw them by chance and go on.
    """
    from transformers import AutoModelForCausalLM  # slow to import, and needed only here

    network, report = AutoModelForCausalLM.from_pretrained(
        model, use_safetensors=True, output_loading_info=True, **options
    )
    if missing := sorted(report["missing_keys"]):
        raise error(
            f"the model {model} lacks {len(missing)} weights, the first is {missing[0]}, and would "
            "answer at random. Save the whole model with save_pretrained."
        )
    if "Classification" in (kind := str(network.config.architectures)):
        raise error(f"the model {model} judges texts and writes none ({kind}). Name one that does.")
    return network
