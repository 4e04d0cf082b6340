"""The page of a review: one file of HTML that loads nothing and shows every text as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from string import Template
from types import MappingProxyType
from typing import Any, Final

from srlm_data.core.ids import row_id
from srlm_data.report._blind import Item
from srlm_data.report._inert import inert_json, policy, visible
from srlm_data.store import Manifest

_HERE: Final = Path(__file__).parent


def page_of(
    reviewed: Manifest,
    items: Sequence[Item],
    by: str,
    seed: int,
    *,
    live: str | None = None,
    labels: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Return the page of a review as HTML.

    Args:
        reviewed: the version that is opened.
        items: what is shown.
        by: who reviews.
        seed: of the draw.
        live: where labels are sent to as they come; None where they are downloaded.
        labels: those that the server has, by the ids of their answers in the order shown.
    """
    style, script, skeleton = (
        (_HERE / f"review.{ending}").read_text(encoding="utf-8") for ending in ("css", "js", "html")
    )
    file = f"{reviewed.name}-{re.sub(r'[^A-Za-z0-9]+', '-', by).strip('-') or 'labels'}.jsonl"
    data = {
        "id": row_id(reviewed.ref, by, seed),
        "dataset": reviewed.name,
        "reviewed": reviewed.ref,
        "by": by,
        "items": [_shown(item) for item in items],
        "live": live,
        "labels": dict(labels),
        "file": file,
        "command": f"srlm-data review {reviewed.name} --import {file} --by {quote(by)}",
    }
    permitted = policy(style, script) + ("; connect-src 'self'" if live else "")
    return Template(skeleton).substitute(
        policy=permitted, style=style, script=script, data=inert_json(data)
    )


def _shown(item: Item) -> dict[str, Any]:
    prompt = [{name: visible(text) for name, text in turn.items()} for turn in item.prompt]
    texts = {"prompt": prompt, "first": visible(item.first), "second": visible(item.second)}
    return {**vars(item), **texts}
