"""The shipped analyses: each runs on any store, and says what it shows."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

import toy
from builders import answer, judged, preferred, prompt
from srlm_data.analysis import queries
from srlm_data.analysis.query import connect, run
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows
from srlm_data.core.schema import CANDIDATES, JUDGMENTS, PAIRS, PROMPTS, DatasetType
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.store import Store

NAMES = list(queries.shipped())


def ask(store: Store, name: str) -> list[dict[str, object]]:
    with connect(store) as connection:
        found: list[dict[str, object]] = (
            run(connection, store, queries.load(name)).to_arrow_table().to_pylist()
        )
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("built")
    store = Store(folder / "store")
    build(load(toy.write_recipe(folder, ("judgments}", "judgments, min_margin: 2}"))), store)
    return store


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two prompts, two answers each, three judgments an answer: small enough to count by hand."""
    store = Store(tmp_path_factory.mktemp("small") / "store")
    scores = {"a1": (5, 5, 5), "a2": (1, 2, None), "b1": (3, 3, 3), "b2": (3, 2, 4)}
    texts = {"a1": "x" * 30, "a2": "x" * 10, "b1": "x" * 20, "b2": "x" * 5}

    def commit(name: str, dataset_type: DatasetType, rows: list[dict[str, object]]) -> None:
        store.commit(f"toy.{name}", Rows.of(dataset_type, rows), identity={"of": name}, inputs=[])

    commit("prompts", PROMPTS, [prompt("Why?", prompt_id=name) for name in "ab"])
    answers = {
        name: answer(
            name[0], text, "m1", candidate_id=name, prompt=user("Why?"), sample=int(name[1])
        )
        for name, text in texts.items()
    }
    commit("candidates", CANDIDATES, list(answers.values()))
    rows = [judged(answers[name], *given, model="m1") for name, given in scores.items()]
    commit("judgments", JUDGMENTS, [row for part in rows for row in part])
    figures = {"chosen_score": 5, "rejected_score": 1.5, "margin": 3.5}
    commit("pairs", PAIRS, [preferred(answers["a1"], answers["a2"], model="m1", **figures)])
    return store


@pytest.mark.parametrize("name", NAMES)
def test_an_analysis_runs_on_a_built_store_and_on_an_empty_one(
    built: Store, tmp_path: Path, name: str
) -> None:
    assert ask(built, name)
    assert ask(Store(tmp_path / "empty"), name) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_analysis_begins_with_what_it_shows(name: str) -> None:
    about = queries.shipped()[name]
    assert about.endswith(".")
    assert "--" not in about
    assert queries.load(name).startswith(f"-- {about[:40]}")


def test_scores_are_shares_of_each_judges_parsed_judgments(small: Store) -> None:
    assert {row["score"]: row["judgments"] for row in ask(small, "scores")} == {
        5: 3, 1: 1, 2: 2, 3: 4, 4: 1,
    }  # fmt: skip
    assert sum(row["share"] for row in ask(small, "scores")) == pytest.approx(1, abs=1e-3)  # type: ignore[misc]


def test_states_count_what_could_not_be_read(small: Store) -> None:
    states = {row["state"]: row["judgments"] for row in ask(small, "states")}
    assert states == {"parsed": 11, "unparsed": 1}


def test_ties_are_prompts_whose_answers_score_alike(small: Store) -> None:
    [row] = ask(small, "ties")
    assert (row["prompts"], row["all_equal"], row["best_is_shared"]) == (2, 0.5, 0.5)


def test_a_judges_agreement_with_itself_leaves_out_what_it_did_not_score(small: Store) -> None:
    [row] = ask(small, "self_agreement")
    assert (row["answers"], row["repeats"]) == (4, 3)
    assert (row["all_equal"], row["mean_spread"], row["some_unread"]) == (0.5, 0.75, 0.25)


def test_length_bias_is_in_quarters_and_one_correlation(small: Store) -> None:
    rows = ask(small, "length_bias")
    assert [(row["shortest"], row["mean_score"]) for row in rows] == [
        (5, 3.0), (10, 1.5), (20, 3.0), (30, 5.0),
    ]  # fmt: skip
    by_hand = round(statistics.correlation([5, 10, 20, 30], [3, 1.5, 3, 5]), 3)
    assert {row["correlation"] for row in rows} == {by_hand}


def test_margins_and_lengths_are_of_the_pairs(small: Store) -> None:
    [margin] = ask(small, "margins")
    assert (margin["margin_from"], margin["pairs"], margin["share"]) == (3.5, 1, 1.0)
    [length] = ask(small, "lengths")
    assert (length["mean_chosen"], length["mean_rejected"]) == (30, 10)
    assert length["chosen_is_longer"] == 1


def test_the_funnel_goes_from_the_first_dataset_to_the_last_with_every_reason(built: Store) -> None:
    rows = ask(built, "funnel")
    kept = [row["dataset"] for row in rows if row["what"] == "= kept"]
    assert kept == list(toy.DATASETS)
    manifest = built.resolve("toy.pairs")
    dropped = {row["what"]: row["rows"] for row in rows if row["dataset"] == "toy.pairs"}
    assert dropped == {"= kept": manifest.rows, **manifest.drops}


def test_cost_is_what_the_models_were_asked(built: Store) -> None:
    asked = {row["dataset"]: row["calls"] for row in ask(built, "cost")}
    assert asked == {"toy.candidates": 24, "toy.judgments": 48}
