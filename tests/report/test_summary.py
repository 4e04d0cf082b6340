"""What the page shows before a click: training curves, failed requests, prompts without a pair."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srlm_data import report
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows
from srlm_data.core.schema import CANDIDATES, JUDGMENTS, MODELS
from srlm_data.engines.failures import Failure
from srlm_data.report._flows import subject_of
from srlm_data.report._rows import Selection, count_rows
from srlm_data.steps.pairs import Pair, pair
from srlm_data.store import Store
from synthetic import Filled


@pytest.fixture(scope="module")
def store(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filled(tmp_path_factory.mktemp("summary") / "store", prompts=5)


def summary_of(store: Store, name: str) -> dict[str, Any]:
    data: dict[str, Any] = report.offline_data(store, subject_of(store, [name]), {}, map_points=0)
    return data["summary"]


def commit_model(store: Store, name: str, lines: list[str] | None) -> None:
    """Commit a model that was trained in the store, and logged these lines."""
    folder = store.root / "models" / name.replace(".", "_")
    folder.mkdir(parents=True)
    if lines is not None:
        (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    row = {"model": name, "method": "dpo", "location": f"store:models/{folder.name}"}
    store.commit(name, Rows.of(MODELS, [row]), identity={"model": name}, inputs=[])


def test_training_curves_are_what_the_trainer_logged(store: Store) -> None:
    logged = [
        {"step": step, "loss": 1 / (step + 1), "rewards/accuracies": 0.5, "epoch": 1}
        for step in range(450)
    ]
    commit_model(store, "one.m5", [json.dumps(line) for line in logged])
    curves = {
        (curve["label"], curve["measure"]): curve for curve in summary_of(store, "one")["curves"]
    }
    assert curves.keys() == {("one.m5", "loss"), ("one.m5", "rewards/accuracies")}
    points = curves["one.m5", "loss"]["points"]
    assert 100 < len(points) <= 200
    assert all(point["value"] == logged[point["at"]]["loss"] for point in points)


@pytest.mark.parametrize(
    "lines",
    [
        None,
        [],
        ["{"],
        ["7", "[]"],
        [json.dumps({"step": 1, "loss": 0.5})],  # one point is no curve
        ['{"step": 1, "loss": NaN}', '{"step": 2, "loss": "high"}', '{"loss": 1}'],
    ],
)
def test_a_log_that_cannot_be_read_draws_no_curve(
    filled: Filled, tmp_path: Path, lines: list[str] | None
) -> None:
    store = filled(tmp_path / "store", prompts=5)
    commit_model(store, "one.m5", lines)
    assert summary_of(store, "one")["curves"] == []


def test_requests_that_failed_are_told_with_their_kind_and_their_first_sentence(
    store: Store,
) -> None:
    before = store.resolve("two.judgments")
    failures = {"timeout": Failure(3, "no answer in 60 seconds"), "refused": Failure(1, "no")}
    store.commit(
        "two.judgments",
        store.rows(before),
        identity={"failed": 4},
        inputs=[],
        complete=lambda manifest: replace(manifest, failures=failures),
    )
    told = {row["kind"]: row for row in summary_of(store, "two")["failures"]}
    assert told["timeout"] == {
        "dataset": "two.judgments",
        "kind": "timeout",
        "count": 3,
        "sentence": "no answer in 60 seconds",
        "accepted": False,
    }
    assert told["refused"]["count"] == 1
    assert summary_of(store, "one")["failures"] == []


def test_answers_that_differ_in_white_space_alone_are_one_as_where_pairs_are_made(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "store")
    texts = {"alike": ["a b", " a\nb "], "clear": ["good", "bad"], "tied": ["yes", "no"]}
    scores = {"alike": [1.0, 4.0], "clear": [4.0, 1.0], "tied": [2.0, 2.0]}
    answers = [
        {
            "candidate_id": f"{prompt} {n}",
            "prompt_id": prompt,
            "prompt": user(prompt),
            "response": text,
            "sample": n,
            "source": "human",
        }
        for prompt, responses in texts.items()
        for n, text in enumerate(responses)
    ]
    judged = [
        {
            "judgment_id": f"{answer['candidate_id']} judged",
            "candidate_id": answer["candidate_id"],
            "prompt_id": answer["prompt_id"],
            "repeat": 0,
            "state": "parsed",
            "score": scores[answer["prompt_id"]][answer["sample"]],
            "text": "",
            "template": "judge",
            "model": "judge",
        }
        for answer in answers
    ]
    candidates = store.commit("a.candidates", Rows.of(CANDIDATES, answers), identity={}, inputs=[])
    read = [("candidates", candidates)]
    judgments = store.commit("a.judgments", Rows.of(JUDGMENTS, judged), identity={}, inputs=read)
    paired = pair(Pair(), store.rows(candidates), store.rows(judgments))
    read.append(("judgments", judgments))
    pairs = store.commit("a.pairs", paired, identity={}, inputs=read)
    assert Counter(pairs.drops) == {"identical_texts": 1, "equal_scores": 1}
    with report.connected(store, subject_of(store, ["a"]).flows) as connection:
        for reason, count in pairs.drops.items():
            chosen = Selection(table="prompts", word="reason", value=reason)
            assert count_rows(connection, chosen) == count, reason
