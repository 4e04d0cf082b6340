"""Build the page of a review: one HTML file that loads nothing and shows data as text only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from srlm_data.core.controls import visible
from srlm_data.core.errors import DataError
from srlm_data.core.ids import row_id
from srlm_data.report._blind import Item, draw_items
from srlm_data.report._label_files import check_name
from srlm_data.report._labels import labelled_by
from srlm_data.report._page import fill_page
from srlm_data.store import Manifest, Store


@dataclass(frozen=True)
class Review:
    """The items that one person is to label, drawn from a version with a seed."""

    reviewed: Manifest
    items: list[Item]
    by: str
    seed: int

    @classmethod
    def draw(cls, store: Store, ref: str, by: str, n: int, seed: int) -> Review:
        """Draw ``n`` items, less those that the person has labelled already.

        Raises:
            ArgumentError: ``by`` is not a valid name.
            DataError: there is nothing to review.
            StoreError: the store does not have the version.
        """
        reviewed = store.resolve(ref)
        labelled = labelled_by(check_name(by), store, reviewed)
        items = draw_items(store, reviewed, n, seed=seed, by=by, labelled=labelled)
        if not items:
            raise DataError(
                f"{reviewed.name}: '{by}' has labelled all that --n {n} and --seed {seed} draw. "
                "Give a larger --n."
            )
        return cls(reviewed, items, by, seed)

    def page(self, live: str | None = None, labels: Mapping[str, Any] | None = None) -> str:
        """Return the page as HTML, which sends labels to the address ``live``, or downloads them.

        The server has these ``labels`` already, by the ids of their answers in the order shown.
        """
        name = self.reviewed.name
        file = f"{name}-{re.sub(r'[^A-Za-z0-9]+', '-', self.by).strip('-') or 'labels'}.jsonl"
        data = {
            "id": row_id(self.reviewed.ref, self.by, self.seed),
            "dataset": name,
            "reviewed": self.reviewed.ref,
            "by": self.by,
            "items": [_shown(item) for item in self.items],
            "live": live,
            "labels": labels or {},
            "file": file,
            "command": f"srlm-data review {name} --import {file} --by {quote(self.by)}",
        }
        files = "review.html", "review.css", ["review.js"]
        return fill_page(*files, "Review", data, connect=live is not None)


def _shown(item: Item) -> dict[str, Any]:
    prompt = [{name: visible(text) for name, text in turn.items()} for turn in item.prompt]
    texts = {"prompt": prompt, "first": visible(item.first), "second": visible(item.second)}
    return {**vars(item), **texts}
