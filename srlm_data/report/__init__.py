"""Floor 7. One page about the data of some recipes: an offline file, or live over the store.

    flows        which versions the page is about
    funnel       how many prompts became pairs, and why the others did not
    summary      the flow, four figures, charts, models, costs: what is shown before a click
    rows         the rows behind a figure, and their texts
    sample       the rows in an offline page
    prompt_map   a map of similar prompts
    page         one HTML file that loads nothing and runs only its own script; page/ is its source
    view         the same page live over a store, on a small server

Rows are aggregated in DuckDB, which spills to disk beyond ``database.LOOKING``: what reaches Python
is as large as the page, not as the data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

from srlm_data.analysis import figures
from srlm_data.analysis.health_checks import HealthWarning, check_health
from srlm_data.core import database
from srlm_data.core.filesystem import open_whole
from srlm_data.core.packages import require
from srlm_data.report._flows import Flow, Subject, subject_of
from srlm_data.report._page import page_of
from srlm_data.report._prompt_map import draw_map, sample_prompts
from srlm_data.report._rows import index_rows
from srlm_data.report._sample import sample_rows
from srlm_data.report._summary import summarize
from srlm_data.store import Manifest, Place, Store, open_store


def write_report(
    *names: str,
    output: str | Path = "report.html",
    map_points: int = 1000,
    store: Place = None,
) -> dict[str, list[HealthWarning]]:
    """Write one offline HTML page about built recipes, as ``srlm-data report`` does.

    Args:
        names: recipes (``iter1``), or single datasets or versions of pairs or judgments.
        output: the page; an existing file is replaced.
        map_points: how many prompts the map shows at most; 0 omits it.
        store: the store to use.

    Returns:
        Dataset -> its warnings, which the page shows too.

    Raises:
        MissingError: a package of the extra ``report`` is not installed.
        StoreError: the store does not have what is named, or it is damaged; or the file cannot be
            written, and an older one is left as it was.
        DataError: what is named holds nothing to report.
    """
    opened, file = open_store(store), Path(output)
    subject = subject_of(opened, names)
    if map_points:
        require(("sklearn",), "report", "report", "leave out the map with --map-points 0")
    warnings = health_of(opened, subject)
    data = offline_data(opened, subject, warnings, map_points=map_points)
    with open_whole(file) as page:
        page.write(page_of(data["summary"]["title"], data).encode())
    return warnings


def health_of(
    store: Store,
    subject: Subject,
    check: Callable[[Store, Manifest], list[HealthWarning]] = check_health,
) -> dict[str, list[HealthWarning]]:
    """Return dataset -> what is worth knowing of the versions of a subject."""
    return {manifest.name: check(store, manifest) for manifest in subject.counted.values()}


def offline_data(
    store: Store,
    subject: Subject,
    warnings: Mapping[str, Sequence[HealthWarning]],
    *,
    map_points: int,
) -> dict[str, Any]:
    """Return everything that the page of an offline file shows."""
    with connected(store, subject.flows) as connection:
        summary = summarize(connection, store, subject, warnings)
        prompts = sample_prompts(connection, store, subject.flows, map_points) if map_points else []
        sample = sample_rows(connection, store, subject, summary)
        return {"summary": summary, "map": draw_map(prompts), "sample": sample}


PARTS: Final = 3
"""The number of parts in which figures are counted, beside the health of each version."""


@contextlib.contextmanager
def connected(
    store: Store, flows: Sequence[Flow], begin: Callable[[str], None] = lambda _: None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection to the figures and the rows of the flows, each under its label.

    ``begin`` is called with what is counted next.
    """
    with database.connect(memory=database.LOOKING) as connection:
        connection.execute("SET preserve_insertion_order = false")
        figures.create_views(
            connection,
            store,
            candidates={flow.label: flow.candidates for flow in flows},
            judgments={flow.label: flow.judgments for flow in flows if flow.judgments},
            pairs={flow.label: flow.pairs for flow in flows if flow.pairs},
        )
        begin("the judgments of each answer")
        figures.count_answers(connection)
        begin("the pairs")
        index_rows(connection)
        yield connection
