"""Pairing: best against worst by mean score, and every prompt accounted for."""

import random
from collections import Counter
from statistics import fmean

import pyarrow.parquet as pq
import pytest

from builders import judged_answers
from srlm_data.core import schema
from srlm_data.core.messages import assistant, user
from srlm_data.core.rows import Rows
from srlm_data.steps.pairs import Pair, _best_worst, pair


def test_the_highest_mean_meets_the_lowest():
    [row] = pair(
        Pair(), *judged_answers({"p": [[3, 4, 3], [5, 4, 5], [1, 1, 2], [3, 3, 3]]})
    ).dicts()
    assert (row["chosen_id"], row["rejected_id"]) == ("p1", "p2")
    assert row["chosen_score"] == pytest.approx(14 / 3)
    assert row["margin"] == pytest.approx(14 / 3 - 4 / 3)
    assert row["prompt"] == user("p")
    assert row["chosen"] == assistant("answer p1")
    assert row["rejected"] == assistant("answer p2")
    assert row["model"] == "m"


def test_reasoning_is_trained_on_where_the_recipe_asks_for_it_and_nowhere_else():
    candidates, judgments = judged_answers({"p": [[5], [1]], "q": [[1], [4]]})
    thinking = Rows.of(
        schema.CANDIDATES,
        [
            {**row, "reasoning": "It's red." if row["candidate_id"] == "p0" else None}
            for row in candidates.dicts()
        ],
    )
    for rows in (thinking, candidates):
        for row in pair(Pair(), rows, judgments).dicts():
            assert row["chosen"] == assistant(f"answer {row['chosen_id']}")
    asked = Pair(train_on_reasoning=True, reasoning_marks=("<a'>", "</a'>"))
    [first, second] = pair(asked, thinking, judgments).dicts()
    assert first["chosen"] == assistant("<a'>\nIt's red.\n</a'>\n\nanswer p0")
    assert first["rejected"] == assistant("answer p1")
    assert second["chosen"] == assistant("answer q1")
    [row] = list(
        pair(Pair(rule="all_pairs", train_on_reasoning=True), thinking, judgments).dicts()
    )[:1]
    assert row["chosen"] == assistant("<think>\nIt's red.\n</think>\n\nanswer p0")


def test_a_judgment_without_a_score_counts_for_nothing():
    rows = pair(Pair(), *judged_answers({"p": [[4, None, None], [5, 2, None], [None] * 3]}))
    [row] = rows.dicts()
    assert (row["chosen_id"], row["chosen_score"]) == ("p0", 4)
    assert (row["rejected_id"], row["rejected_score"]) == ("p1", 3.5)
    assert rows.notes["unscored_candidates"] == 1


@pytest.mark.parametrize("rule", ["best_worst", "best_random"])
def test_texts_that_differ_in_white_space_alone_are_one_text(rule):
    texts = {"p0": "a tea\n\nnow", "p1": " a\u3000tea now\r\n", "q0": "a tea", "q1": "a cup"}
    rows = pair(Pair(rule=rule), *judged_answers({"p": [[5], [1]], "q": [[5], [1]]}, texts))
    assert [row["prompt_id"] for row in rows.dicts()] == ["q"]
    assert rows.drops == {"identical_texts": 1}


def test_every_prompt_is_a_pair_or_is_counted_under_one_reason():
    given = {
        "pair": [[5], [1]],
        "tie": [[3, 4], [4, 3]],
        "lone": [[3]],
        "half": [[3], [None]],
        "mute": [[None], [None]],
        "bare": [[], []],
        "same": [[5], [1]],
        "near": [[4, 4], [4, 3]],
    }
    texts = {"same0": "tea", "same1": "tea"}
    rows = pair(Pair(min_margin=1), *judged_answers(given, texts))
    assert [row["prompt_id"] for row in rows.dicts()] == ["pair"]
    assert rows.drops == {
        "equal_scores": 1, "fewer_than_two_scored": 4, "identical_texts": 1, "margin_too_small": 1,
    }  # fmt: skip
    assert rows.notes == {
        "prompts": 8, "unscored_candidates": 5, "judgments_of_other_candidates": 0,
    }  # fmt: skip


def test_copies_of_a_text_share_their_judgments():
    given = {"p": [[5, 5], [1, 1], [2, 2], [4]]}
    [row] = pair(Pair(), *judged_answers(given, {"p0": "tea", "p1": "tea"})).dicts()
    assert (row["chosen_id"], row["rejected_id"]) == ("p3", "p2")  # tea scores 3


def test_random_judgments_are_paired_as_plain_python_pairs_them():
    chance = random.Random(5)
    scores = {
        f"p{number}": [
            [chance.choice([None, 0, 1, 2, 3.5, 4, 5]) for _ in range(chance.randint(0, 3))]
            for _ in range(chance.randint(1, 5))
        ]
        for number in range(400)
    }
    rows = pair(Pair(), *judged_answers(scores))
    found = {row["prompt_id"]: row for row in rows.dicts()}
    drops: Counter[str] = Counter()
    for prompt, answers in scores.items():
        parsed = [[score for score in given if score is not None] for given in answers]
        means = [fmean(given) for given in parsed if given]
        if len(means) < 2:
            drops["fewer_than_two_scored"] += 1
        elif max(means) - min(means) < 1e-9:
            drops["equal_scores"] += 1
        else:
            row = found.pop(prompt)
            assert row["chosen_score"] == pytest.approx(max(means))
            assert row["rejected_score"] == pytest.approx(min(means))
    assert not found
    assert rows.drops == drops


def test_equal_means_of_unlike_scores_are_a_tie_however_they_add_up():
    rows = pair(Pair(), *judged_answers({"p": [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.2]]}))
    assert rows.table().num_rows == 0
    assert rows.drops == {"equal_scores": 1}


def test_among_equals_the_seed_decides_and_not_the_first_sample():
    scores = {f"p{number}": [[5], [5], [1], [1]] for number in range(60)}

    def chosen(seed):
        return [row["chosen_id"] for row in pair(Pair(seed=seed), *judged_answers(scores)).dicts()]

    assert chosen(0) == chosen(0) != chosen(1)
    assert 10 < sum(identity.endswith("0") for identity in chosen(0)) < 50


def test_the_order_of_the_rows_decides_nothing():
    scores = {f"p{number}": [[5, 3], [4], [1], [1, None]] for number in range(20)}
    candidates, judgments = judged_answers(scores)
    turned = [
        Rows.of(rows.type, rows.table().take(list(range(rows.count()))[::-1]))
        for rows in (candidates, judgments)
    ]
    assert pair(Pair(), *turned).table() == pair(Pair(), candidates, judgments).table()


@pytest.mark.parametrize("at_a_time", [1, 7, 40])
def test_prompts_that_are_decided_on_in_parts_become_the_same_pairs(monkeypatch, at_a_time):
    scores = {f"{number:x}": [[5, 3], [number % 5], [1], [1, None]] for number in range(16)}
    wanted = pair(Pair(), *judged_answers(scores))
    rows = wanted.table()
    monkeypatch.setattr(_best_worst, "_AT_A_TIME", at_a_time)
    in_parts = pair(Pair(), *judged_answers(scores))
    assert in_parts.table() == rows
    assert (in_parts.drops, in_parts.notes) == (wanted.drops, wanted.notes)


def test_the_margin_at_the_bound_is_enough_though_thirds_are_not_exact():
    given = judged_answers({"p": [[4, 4, 5], [3, 3, 4]]})
    assert pair(Pair(min_margin=1), *given).table().num_rows == 1


def test_judgments_of_other_candidates_are_left_alone_and_counted():
    candidates, _ = judged_answers({"p": [[5], [1]]})
    _, judgments = judged_answers({"p": [[5], [1]], "q": [[2], [3]]})
    rows = pair(Pair(), candidates, judgments)
    assert rows.table().num_rows == 1
    assert rows.notes["judgments_of_other_candidates"] == 2


@pytest.mark.parametrize("rule", ["best_worst", "all_pairs"])
def test_a_judgment_that_names_another_prompt_scores_nothing(rule):
    candidates, judgments = judged_answers({"p": [[5], [1], [2]]})
    rows = judgments.table().to_pylist()
    rows[0]["prompt_id"] = "q"  # that of the best answer
    made_pairs = pair(Pair(rule=rule), candidates, Rows.of(schema.JUDGMENTS, rows))
    assert [row["chosen_score"] for row in made_pairs.dicts()] == [2]
    assert made_pairs.notes["judgments_of_other_candidates"] == 1


def test_answers_of_two_models_name_no_model():
    ours, judgments = judged_answers({"p": [[5], [1]]})
    mixed = ours.table().to_pylist()
    mixed[1]["model"] = "other"
    [row] = pair(Pair(), Rows.of(schema.CANDIDATES, mixed), judgments).dicts()
    assert row["model"] is None


def test_the_checks_of_the_stage_hold_and_files_give_the_same_rows(tmp_path):
    given = judged_answers({f"p{number}": [[5, 3], [4], [1]] for number in range(20)})
    files = []
    for rows in given:
        pq.write_table(rows.table(), tmp_path / f"{rows.type.name}.parquet")
        files.append(Rows.of_files(rows.type, [tmp_path / f"{rows.type.name}.parquet"], "x"))
    table = pair(Pair(), *files).table()
    assert table == pair(Pair(), *given).table()
    assert table.schema == schema.PAIRS.schema
    assert table.num_rows == len(set(table["pair_id"].to_pylist())) == 20
