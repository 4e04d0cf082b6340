"""One offline HTML page about the data of some recipes: what became of it, and what it looks like.

    flows        which versions the page is about
    figures      what DuckDB counts in them, however many rows there are
    samples      pairs to look at, with their judgements
    prompt_map   where the prompts lie
    panels       a chart and a sentence for each question
    page         all of it as one file

Every row is aggregated in DuckDB, which spills to disk beyond ``MEMORY``: what reaches Python is
as large as the page, not as the data.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from srlm_data.errors import DataError, Missing
from srlm_data.store import Store

_NEEDED: Final = {
    "altair": "altair",
    "jinja2": "jinja2",
    "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
}


def write(store: Store, names: Sequence[str], file: Path, *, map_points: int = 1000) -> None:
    """Write the page.

    Args:
        store: where the versions lie.
        names: recipes (``iter1``), or single datasets or versions of pairs or judgements.
        file: the page; it is replaced if it is there.
        map_points: how many prompts the map shows at most; 0 leaves it out.

    Raises:
        Missing: a package of the extra ``report`` is not installed.
        StoreError: the store does not have what is named, or it is damaged.
        DataError: what is named holds nothing to report, or the file cannot be written.
    """
    for module, package in _NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise Missing(
                f"report: the package '{package}' is not installed. "
                "Run: pip install 'srlm-data[report]'."
            )
    from srlm_data.report.flows import subject_of

    subject = subject_of(store, names)  # a misspelt name is told before Altair is loaded
    from srlm_data.report.page import page_of

    page = page_of(store, subject, map_points=map_points)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{file}: cannot be written, found '{error.strerror}'. Name another file with -o."
        ) from None
