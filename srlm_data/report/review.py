"""Human review: two answers side by side, blind, and what people said of them as data.

A review is one offline page that downloads labels; Argilla and Label Studio do as well. What comes
back is taken into the store as a version of the dataset type ``labels``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from srlm_data.core.filesystem import open_whole
from srlm_data.core.packages import require
from srlm_data.report._blind import draw_items
from srlm_data.report._label_files import Format, check_name, read_labels, records_of
from srlm_data.report._labels import store_labels, take_in_drafts
from srlm_data.report._review_page import Review
from srlm_data.store import Manifest, Place, open_store


def write_review(
    ref: str,
    *,
    by: str,
    n: int = 100,
    seed: int = 0,
    output: str | Path = "review.html",
    store: Place = None,
) -> int:
    """Write an offline page for one person's review, and return how many items it shows.

    Args:
        ref: a dataset, or a version, of pairs or of candidates.
        by: who reviews; what this person has labeled is not shown again.
        n: how many pairs (or prompts with two answers) to review in total.
        seed: decides which; use the same one for everybody who should label the same ones.
        output: the page; an existing file is replaced.
        store: the store to use.

    Raises:
        ArgumentError: nobody can be called ``by``.
        DataError: there is nothing to review.
        StoreError: the store does not have the version, or the page cannot be written.
    """
    review = Review.draw(open_store(store), ref, by, n, seed)
    with open_whole(Path(output)) as page:
        page.write(review.page().encode())
    return len(review.items)


def serve_review(
    ref: str,
    *,
    by: str,
    n: int = 100,
    seed: int = 0,
    port: int = 0,
    announce: Callable[[str], None] = print,
    store: Place = None,
) -> Manifest | None:
    """Serve one person's review on 127.0.0.1 until Ctrl-C; labels are saved at once.

    What is shown is as of :func:`write_review`. ``announce`` is called with the address, which
    holds a token, once it answers; the port 0 takes one that is free.

    Returns:
        The version with all labels; None if nobody has labeled anything.

    Raises:
        MissingError: a package of the extra ``view`` is not installed.
        ArgumentError: nobody can be called ``by``, or the port is taken.
        DataError: there is nothing to review.
        StoreError: the store does not have the version.
    """
    require(("starlette", "uvicorn"), "view", "review", "write a page that needs none with -o FILE")
    from srlm_data.report._review_server import Session, routes_of
    from srlm_data.report._server import serve

    opened = open_store(store)
    review = Review.draw(opened, ref, by, n, seed)
    try:
        serve(routes_of(Session(opened, review)), announce, port)
    finally:
        manifest = take_in_drafts(opened, review.reviewed)
    return manifest


def import_labels(
    ref: str, file: str | Path, *, by: str | None = None, store: Place = None
) -> Manifest:
    """Import the labels of a file into the store and return the version with all labels.

    Args:
        ref: what was reviewed.
        file: JSON lines as the page downloads them, or what Argilla or Label Studio exports.
        by: who labeled; needed if the file does not say.
        store: the store to use.

    Raises:
        ArgumentError: nobody can be called ``by``.
        DataError: the file holds no labels of this dataset, or they are not this person's.
        StoreError: the store does not have what was reviewed.
    """
    opened = open_store(store)
    reviewed = opened.resolve(ref)
    return store_labels(opened, reviewed, read_labels(Path(file), by and check_name(by)))


def export_review(
    ref: str,
    form: Format,
    *,
    n: int = 100,
    seed: int = 0,
    output: str | Path,
    store: Place = None,
) -> int:
    """Write items to review as Argilla's records or Label Studio's tasks; return how many.

    They are drawn as by :func:`write_review`. The ``form`` is ``argilla`` (for
    ``records.from_json``) or ``label-studio`` (JSON tasks).

    Raises:
        DataError: there is nothing to review.
        StoreError: the store does not have the version, or the file cannot be written.
    """
    opened = open_store(store)
    reviewed = opened.resolve(ref)
    records = records_of(form, reviewed.ref, draw_items(opened, reviewed, n, seed=seed))
    with open_whole(Path(output)) as file:
        file.write(json.dumps(records, indent=1).encode())
    return len(records)
