"""Floor 7. One offline HTML page about the data of some recipes, its fate and its looks.

    flows        which versions the page is about
    funnel       what became of the prompts, and why
    figures      what DuckDB counts in the versions, however many rows there are
    samples      pairs to look at, with their judgments
    prompt_map   where the prompts lie
    panels       a sentence and a chart for each question
    charts       the charts, drawn by Altair
    page         all of it, in order
    markup       one file of HTML that loads nothing and obeys nobody

Every row is aggregated in DuckDB, which spills to disk beyond ``duck.LOOKING``: what reaches
Python is as large as the page, not as the data.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from srlm_data.analysis.health_checks import HealthWarning, check_health
from srlm_data.core.errors import DataError, MissingError
from srlm_data.store import Place, open_store

_NEEDED: Final = {
    "altair": "altair",
    "jinja2": "jinja2",
    "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
}


def write_report(
    *names: str,
    output: str | Path = "report.html",
    map_points: int = 1000,
    store: Place = None,
) -> dict[str, list[HealthWarning]]:
    """Write one offline HTML page about built recipes, as ``srlm-data report`` does.

    Args:
        names: recipes (``iter1``), or single datasets or versions of pairs or judgments.
        output: the page; it is replaced if it is there.
        map_points: how many prompts the map shows at most; 0 leaves it out.
        store: where the versions lie.

    Returns:
        Dataset -> what is worth knowing of it, which the page says too.

    Raises:
        MissingError: a package of the extra ``report`` is not installed.
        StoreError: the store does not have what is named, or it is damaged.
        DataError: what is named holds nothing to report, or the file cannot be written.
    """
    for module, package in _NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise MissingError(
                f"report: the package '{package}' is not installed. "
                "Run: pip install 'srlm-data[report]'."
            )
    from srlm_data.report._flows import subject_of

    opened, file = open_store(store), Path(output)
    subject = subject_of(opened, names)  # a misspelt name is told before Altair is loaded
    from srlm_data.report._page import page_of

    versions = {manifest.ref: manifest for flow in subject.flows for manifest in flow.chain}
    warnings = {manifest.name: check_health(opened, manifest) for manifest in versions.values()}
    page = page_of(opened, subject, warnings, map_points=map_points)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{file}: cannot be written, found '{error.strerror}'. Name another file with -o."
        ) from None
    return warnings
