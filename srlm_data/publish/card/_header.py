"""The YAML header of a dataset's card: what the Hub, its viewer and ``datasets`` read.

From ``configs`` and ``dataset_info`` the Hub makes its viewer and the Croissant description.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import yaml

from srlm_data.core.schema import DATASET_TYPES
from srlm_data.publish.bundle import Part, Release
from srlm_data.store import Store

_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"),
)  # fmt: skip


def header(release: Release, store: Store, licenses: Sequence[str]) -> str:
    """The header, with its ``---`` lines.

    Args:
        release: what is published.
        store: where its rows lie.
        licenses: those of the inputs, each once.
    """
    names = [one.config for one in release.parts]
    first = "pairs" if "pairs" in names else names[-1]
    data = {
        "pretty_name": release.title,
        "license": licenses[0] if len(licenses) == 1 else "other" if licenses else "unknown",
        "task_categories": ["text-generation", "reinforcement-learning"],
        "tags": ["srlm-data", "self-rewarding", "preference", "dpo", "synthetic"],
        "size_categories": [_size(sum(one.manifest.rows for one in release.parts))],
        "configs": [_config(one, default=one.config == first) for one in release.parts],
        "dataset_info": [_info(one, store) for one in release.parts],
    }
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{text}---\n"


def _size(rows: int) -> str:
    return next((name for bound, name in _SIZES if rows < bound), "n>1T")


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


def features(schema: pa.Schema) -> list[dict[str, Any]]:
    """The columns of a schema, as ``datasets`` writes them into a card."""
    return [{"name": field.name, **_kind(field.type)} for field in schema]


def _kind(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        inner = kind.value_type
        return {"list": features(inner) if pa.types.is_struct(inner) else str(inner)}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind))}
