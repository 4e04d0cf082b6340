"""One fact, one query: every place that shows a fact shows the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import builders
from builders import answer
from checkout import ROOT
from srlm_data import report
from srlm_data.analysis import figures
from srlm_data.analysis.health_checks import check_health
from srlm_data.analysis.query import connect
from srlm_data.core.rows import Rows
from srlm_data.core.schema import CANDIDATES, JUDGMENTS
from srlm_data.publish import _dataset_card as card
from srlm_data.publish._bundle import select
from srlm_data.report import _flows
from srlm_data.store import Store

HALVES = {2.5: 20, 3.5: 20, 4.5: 20}


def judged(store: Store, scores: list[float]) -> None:
    """Commit one answer and one judgment a score."""
    answers = [answer(f"p{place}", model="m") for place in range(len(scores))]
    candidates = store.commit(
        "one.candidates", Rows.of(CANDIDATES, answers), identity={"step": "generate"}, inputs=[]
    )
    judgments = [
        row
        for candidate, score in zip(answers, scores, strict=True)
        for row in builders.judged(candidate, score, model="m")
    ]
    store.commit(
        "one.judgments",
        Rows.of(JUDGMENTS, judgments),
        identity={"step": "judge"},
        inputs=[("candidates", candidates)],
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_half_points_are_the_same_in_every_place_that_shows_scores(store: Store) -> None:
    judged(store, [2.5, 3.5, 4.5] * 20)
    with connect(store) as connection:
        rows = figures.ask(connection, "scores")
    assert {row["score"]: row["judgments"] for row in rows} == HALVES

    [block, _] = card._scores(select(store, ["one.judgments"]), store)
    bars = [line.split() for line in block.splitlines() if "█" in line]
    assert {float(bar[0]): int(bar[-1]) for bar in bars} == HALVES

    with report.connected(store, _flows.subject_of(store, ["one"]).flows) as connection:
        rows = figures.histogram(connection, figures.SCORES)
    assert {row["at"]: row["count"] for row in rows} == HALVES


def test_a_health_check_names_the_score_that_the_query_counts(store: Store) -> None:
    judged(store, [2.5] * 54 + [3.0] * 6)
    [found] = check_health(store, store.resolve("one.judgments"))
    assert found.figures == {"share": 0.9, "score": 2.5}


@pytest.mark.parametrize(
    ("notebook", "names"),
    [
        ("score_distributions", {"overview", "SCORES", "states", "ties", "wilson"}),
        ("judge_quality", {"APART", "self_agreement", "score_by_length"}),
        ("comparing_iterations", {"overview", "histogram"}),
    ],
)
def test_notebooks_take_what_they_show_from_the_figures(notebook: str, names: set[str]) -> None:
    content = json.loads((ROOT / f"notebooks/{notebook}.ipynb").read_text("utf-8"))
    cells = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    code = "\n".join(cells)
    asked = re.findall(r'figures\.ask\(connection, "(\w+)"', code)
    assert names <= {*re.findall(r"figures\.(\w+)", code), *asked}
