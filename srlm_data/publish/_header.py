"""Write the YAML header of a dataset's card, which the Hub and ``datasets`` read.

The Hub derives its viewer and the Croissant description from ``configs`` and ``dataset_info``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import yaml

from srlm_data.core.schema import DATASET_TYPES, PAIRS
from srlm_data.publish._bundle import Bundle, Part
from srlm_data.publish._splits import Split, Splits

_LICENSES: Final = frozenset(
    Path(__file__).with_name("hub_licenses.txt").read_text(encoding="utf-8").split()
)
"""The licenses that the Hub knows; it refuses a card with any other."""

_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def default_part(bundle: Bundle, splits: Splits) -> Part:
    """Return the part that the viewer shows first: ``pairs``, else a split part, else the last."""
    pairs = [part for part in bundle.parts if part.manifest.type == PAIRS.name]
    named = [part for part in pairs if part.config == PAIRS.name]
    split = [part for part in bundle.parts if len(splits[part.config]) > 1]
    return (named or pairs or split or bundle.parts)[-1]


def header(
    bundle: Bundle, splits: Splits, licenses: Sequence[str], languages: Sequence[str]
) -> str:
    """Return the header with its ``---`` lines."""
    first = default_part(bundle, splits)
    data = {
        "pretty_name": bundle.title,
        **language_header(languages),
        **license_header(licenses),
        "task_categories": ["text-generation", "reinforcement-learning"],
        "tags": ["srlm-data", "self-rewarding", "preference", "dpo", "trl", "synthetic"],
        "size_categories": [_size_category(sum(part.manifest.rows for part in bundle.parts))],
        "configs": [
            _config(part, splits[part.config], default=part is first) for part in bundle.parts
        ],
        "dataset_info": [_info(part, splits[part.config]) for part in bundle.parts],
    }
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{text}---\n"


def license_header(licenses: Sequence[str]) -> dict[str, str]:
    """Return the header's license: an identifier that the Hub knows, ``other`` or ``unknown``."""
    if len(licenses) != 1:
        return {"license": "other" if licenses else "unknown"}
    name = re.sub(r"[^a-z0-9.+-]+", "-", licenses[0].lower()).strip("-")
    if name in _LICENSES:
        return {"license": name}
    return {"license": "other", "license_name": name or "own"}


def language_header(codes: Sequence[str]) -> dict[str, list[str]]:
    """Return the header's languages as the Hub has them: ``language`` has no regions."""
    regions = [code for code in codes if "-" in code]
    languages = list(dict.fromkeys(code.partition("-")[0] for code in codes))
    return {
        **({"language": languages} if languages else {}),
        **({"language_bcp47": regions} if regions else {}),
    }


def _size_category(rows: int) -> str:
    place = sum(rows >= 10**digits for digits in range(3, 13))
    if place == 0:
        return f"n<{_SIZES[0]}"
    return f"n>{_SIZES[-1]}" if place == len(_SIZES) else f"{_SIZES[place - 1]}<n<{_SIZES[place]}"


def _config(part: Part, splits: Sequence[Split], *, default: bool) -> dict[str, Any]:
    rows = " + ".join(f"{split.rows.count()}" for split in splits)
    return {
        "config_name": part.config,
        # `datasets` caches a config by its entry in the card, so new rows need another entry.
        "description": f"{part.manifest.ref}, content {part.manifest.content[:16]}, {rows} rows",
        "data_files": [{"split": split.name, "path": split.pattern} for split in splits],
        **({"default": True} if default else {}),
    }


def _info(part: Part, splits: Sequence[Split]) -> dict[str, Any]:
    sizes = [sum(batch.nbytes for batch in split.rows.batches()) for split in splits]
    files = [file for split in splits for file in split.paths.values()]
    return {
        "config_name": part.config,
        "features": features(DATASET_TYPES[part.manifest.type].schema),
        "splits": [
            {"name": split.name, "num_bytes": size, "num_examples": split.rows.count()}
            for split, size in zip(splits, sizes, strict=True)
        ],
        "download_size": sum(file.stat().st_size for file in files),
        "dataset_size": sum(sizes),
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
