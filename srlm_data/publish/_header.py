"""The YAML header of a dataset's card: what the Hub, its viewer and ``datasets`` read.

From ``configs`` and ``dataset_info`` the Hub makes its viewer and the Croissant description.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import yaml

from srlm_data.core.schema import DATASET_TYPES
from srlm_data.publish._bundle import Bundle, Part
from srlm_data.store import Store

_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def default_config(bundle: Bundle) -> str:
    """Return the config that the viewer shows first: the pairs, or else the last one made."""
    names = [part.config for part in bundle.parts]
    return "pairs" if "pairs" in names else names[-1]


def header(bundle: Bundle, store: Store, licenses: Sequence[str]) -> str:
    """Return the header, with its ``---`` lines.

    Args:
        bundle: what is published.
        store: where its rows lie.
        licenses: those of the inputs, each once.
    """
    first = default_config(bundle)
    data = {
        "pretty_name": bundle.title,
        "license": licenses[0] if len(licenses) == 1 else "other" if licenses else "unknown",
        "task_categories": ["text-generation", "reinforcement-learning"],
        "tags": ["srlm-data", "self-rewarding", "preference", "dpo", "synthetic"],
        "size_categories": [_size_category(sum(part.manifest.rows for part in bundle.parts))],
        "configs": [_config(part, default=part.config == first) for part in bundle.parts],
        "dataset_info": [_info(part, store) for part in bundle.parts],
    }
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{text}---\n"


def _size_category(rows: int) -> str:
    place = sum(rows >= 10**digits for digits in range(3, 13))
    if place == 0:
        return f"n<{_SIZES[0]}"
    return f"n>{_SIZES[-1]}" if place == len(_SIZES) else f"{_SIZES[place - 1]}<n<{_SIZES[place]}"


def _config(part: Part, *, default: bool) -> dict[str, Any]:
    return {
        "config_name": part.config,
        # `datasets` caches a config by what the card says of it: other rows must read differently.
        "description": f"{part.manifest.ref}, content {part.manifest.content[:16]}",
        "data_files": [{"split": "train", "path": f"{part.config}/train-*.parquet"}],
        **({"default": True} if default else {}),
    }


def _info(part: Part, store: Store) -> dict[str, Any]:
    manifest = part.manifest
    size = sum(batch.nbytes for batch in store.rows(manifest).batches())
    return {
        "config_name": part.config,
        "features": features(DATASET_TYPES[manifest.type].schema),
        "splits": [{"name": "train", "num_bytes": size, "num_examples": manifest.rows}],
        "download_size": sum(file.bytes for file in manifest.files),
        "dataset_size": size,
    }


def features(columns: pa.Schema | pa.StructType) -> list[dict[str, Any]]:
    """Return the columns of a schema as ``datasets`` writes them into a card."""
    return [{"name": column.name, **_feature(column.type)} for column in columns]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        inner = kind.value_type
        return {"list": features(inner) if pa.types.is_struct(inner) else str(inner)}
    if pa.types.is_struct(kind):
        return {"struct": features(kind)}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind))}
