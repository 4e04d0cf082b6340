"""Side against side: SPIN without a judge, an anchored past model with one."""

import pytest

from builders import judged_answers
from srlm_data.core import schema
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Rows
from srlm_data.variants.pair_across import PairAcross, pair_across


def side(name, scores, texts=None):
    """Candidates and judgments of one side; ids begin with its name."""
    candidates, judgments = (
        rows.table().to_pylist() for rows in judged_answers(scores, model=name)
    )
    for row in candidates:
        row["response"] = (texts or {}).get(row["candidate_id"], f"{name} {row['response']}")
    for row in (*candidates, *judgments):
        row["candidate_id"] = name + row["candidate_id"]
    for row in judgments:
        row["judgment_id"] = name + row["judgment_id"]
    return Rows.of(schema.CANDIDATES, candidates), Rows.of(schema.JUDGMENTS, judgments)


def test_without_a_judge_one_answer_of_each_side_meets_and_has_no_score():
    (human, _), (own, _) = side("human", {"p": [[]], "q": [[]]}), side("own", {"p": [[]]})
    rows = pair_across(PairAcross(), human, own)
    [row] = rows.dicts()
    assert (row["chosen_id"], row["rejected_id"]) == ("humanp0", "ownp0")
    assert row["chosen_score"] is row["rejected_score"] is row["margin"] is None
    assert row["model"] is None  # two authors: DPO on it is not on-policy
    assert rows.drops == {"only_chosen": 1}
    assert rows.notes == {"prompts": 2}


def test_a_reply_that_the_model_gives_itself_teaches_nothing():
    (human, _), (own, _) = (side(name, {"p": [[]]}, {"p0": "tea"}) for name in ("human", "own"))
    rows = pair_across(PairAcross(), human, own)
    assert rows.table().num_rows == 0
    assert rows.drops == {"identical_texts": 1}


def test_the_best_of_now_meets_the_worst_of_the_past_where_it_is_worse():
    now = side("now", {"p": [[3], [5]], "q": [[2]], "near": [[3]], "mute": [[None]]})
    past = side("past", {"p": [[4], [1]], "q": [[4]], "near": [[2.5]], "mute": [[None]]})
    rows = pair_across(PairAcross(min_margin=1), now[0], past[0], now[1], past[1])
    [row] = rows.dicts()
    assert (row["chosen_id"], row["rejected_id"], row["margin"]) == ("nowp1", "pastp1", 4)
    assert rows.drops == {"not_better": 1, "margin_too_small": 1, "neither_scored": 1}


def test_a_side_without_scores_is_told_from_one_without_answers():
    now, past = side("now", {"p": [[5]]}), side("past", {"p": [[None]]})
    rows = pair_across(PairAcross(), now[0], past[0], now[1], past[1])
    assert rows.table().num_rows == 0
    assert rows.drops == {"only_chosen": 1}


def test_scores_of_one_side_alone_are_refused():
    now, past = side("now", {"p": [[5]]}), side("past", {"p": [[1]]})
    with pytest.raises(DataError, match="either both sides have judgments or neither"):
        pair_across(PairAcross(), now[0], past[0], chosen_judgments=now[1])
