"""What the tests of reviews share: pairs to review, and what their page would download."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import srlm_data
from srlm_data.core.rows import Rows
from srlm_data.core.schema import PAIRS
from srlm_data.store import Manifest, Store


def commit_pairs(store: Store, numbers: range) -> None:
    rows = [
        {
            "pair_id": f"pair {number}",
            "prompt_id": f"prompt {number}",
            "prompt": [{"role": "user", "content": f"Ask {number}"}],
            "chosen": [{"role": "assistant", "content": f"Good {number}"}],
            "rejected": [{"role": "assistant", "content": f"Bad {number}"}],
            "chosen_id": f"chosen {number}",
            "rejected_id": f"rejected {number}",
            "chosen_score": 4.0,
            "rejected_score": 1.0,
            "margin": 3.0,
            "model": "the-model",
        }
        for number in numbers
    ]
    identity = {"step": "pair", "revision": 1, "config": {"numbers": list(numbers)}}
    store.commit("iter1.pairs", Rows.of(PAIRS, rows), identity=identity, inputs=[])


def data_of(page: Path | str) -> dict[str, Any]:
    """The data that a page holds."""
    html = page if isinstance(page, str) else page.read_text(encoding="utf-8")
    match = re.search(r'id="data">(.*?)</script>', html, re.DOTALL)
    assert match
    data: dict[str, Any] = json.loads(match[1])
    return data


def write_labels(file: Path, page: Path, choices: str, **more: Any) -> Path:
    """Write what the page would download, had its person made these choices one after another."""
    data = data_of(page)
    lines = [
        {
            "reviewed": data["reviewed"],
            **{name: item[name] for name in ("pair_id", "first_id", "second_id")},
            "choice": {"1": "first", "2": "second", "=": "tie", "s": "skip"}[key],
            "person": data["by"],
            "labelled_at": f"2030-01-01T00:{place:02}:00.000Z",
            "seconds": 2.5,
            "note": None,
            **more,
        }
        for place, (item, key) in enumerate(zip(data["items"], choices, strict=False))
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def review(
    store: Store, folder: Path, choices: str, by: str = "reader", **options: Any
) -> Manifest:
    """Review the pairs offline and take the labels in."""
    page = folder / "page.html"
    srlm_data.write_review("iter1.pairs", by=by, output=page, store=store, **options)
    file = write_labels(folder / "labels.jsonl", page, choices)
    return srlm_data.import_labels("iter1.pairs", file, by=by, store=store)
