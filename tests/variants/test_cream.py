"""Scores from probabilities: read from a real model; and what becomes of labels in doubt."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from builders import judged_answers, models
from srlm_data.core import schema
from srlm_data.core.errors import DataError
from srlm_data.core.ids import row_id
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows
from srlm_data.core.templates import load
from srlm_data.models.logprobs import Reader
from srlm_data.steps.pairs import Pair, pair
from srlm_data.variants.cream import (
    ExpectedScores,
    IntrinsicRewards,
    SmoothLabels,
    expected_scores,
    intrinsic_rewards,
    smooth_labels,
)
from tiny import tiny_model

TEMPLATE = load("judge_brief")


@dataclass
class Shop:
    """A workshop whose models lie in one folder."""

    folder: Path

    @property
    def scratch(self):
        return self.folder

    def resolve(self, location):
        return self.folder / location

    def keep(self, directory):
        raise AssertionError("nothing is made here")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("m0", "m1")):
        tiny_model(folder / name, seed=seed)
    return Shop(folder)


def model(name):
    return models(name, location=name)


def judged(texts):
    """One candidate, and its judgments of these texts."""
    scores = [score for _, score in texts]
    candidates, judgments = judged_answers(
        {"p": [scores]}, template=row_id(TEMPLATE.text), judge="m1"
    )
    rows = [{**row, "text": text} for row, (text, _) in zip(judgments.dicts(), texts, strict=True)]
    return candidates, Rows.of(schema.JUDGMENTS, rows)


def test_a_log_probability_is_the_sum_over_the_answers_own_tokens(shop):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    prompt, answer = user("Where is the lamp?"), "On the shelf."
    [found] = Reader(shop.folder / "m1").log_probabilities([(prompt, answer)])
    tokenizer = AutoTokenizer.from_pretrained(shop.folder / "m1")
    network = AutoModelForCausalLM.from_pretrained(shop.folder / "m1")
    before = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    own = [*tokenizer.encode(answer, add_special_tokens=False), tokenizer.eos_token_id]
    with torch.inference_mode():
        chances = network(torch.tensor([before + own])).logits[0].log_softmax(-1)
    by_hand = sum(float(chances[len(before) - 1 + n, token]) for n, token in enumerate(own))
    assert found == pytest.approx(by_hand, abs=1e-4)


def test_what_is_read_beside_a_text_changes_nothing_and_order_is_kept(shop):
    reader = Reader(shop.folder / "m0")
    texts = [(user("Say " + "one two " * n), f"three {n}") for n in (9, 0, 30, 4)]
    alone = [next(reader.log_probabilities([one])) for one in texts]
    assert list(reader.log_probabilities(texts)) == pytest.approx(alone, abs=1e-3)


def test_the_expected_score_weighs_each_score_by_its_probability(shop):
    text = "It is on topic.\nScore: 4"
    given = judged([(text, 4)])
    config = ExpectedScores(template=TEMPLATE)
    [row] = expected_scores(config, *given, model("m1"), shop).dicts()
    [shares] = Reader(shop.folder / "m1").choices(
        [
            (
                user(TEMPLATE.fill(prompt="p", response="answer p0")),
                "It is on topic.\nScore:",
                [f" {score}" for score in range(6)],
            )
        ]
    )
    assert sum(shares) == pytest.approx(1)
    expected = sum(score * share for score, share in enumerate(shares))
    assert row["score"] == pytest.approx(expected, abs=1e-5)
    assert (row["method"], row["model"]) == ("expected", "m1")
    assert row["score"] != 4


def test_a_judgment_without_a_score_gets_none_by_probability(shop):
    given = judged([("I cannot say.", None), ("Fine. **Score:** 3/5", 3)])
    rows = expected_scores(ExpectedScores(template=TEMPLATE), *given, model("m1"), shop)
    [row] = rows.dicts()  # a row an answer: the mean of the judgments that have a score
    assert 0 <= row["score"] <= 5
    assert rows.notes["shift"] == pytest.approx(row["score"] - 3, abs=1e-5)
    [row] = expected_scores(
        ExpectedScores(template=TEMPLATE), *judged([("No.", None)]), model("m1"), shop
    ).dicts()
    assert row["score"] is None


def test_the_points_of_another_scale_are_weighed(shop):
    candidates, judgments = judged([("Fine.\nScore: 3", 3)])
    rows = [{**row, "scale_low": 1, "scale_high": 4} for row in judgments.dicts()]
    given = candidates, Rows.of(schema.JUDGMENTS, rows)
    [row] = expected_scores(ExpectedScores(template=TEMPLATE), *given, model("m1"), shop).dicts()
    assert 1 <= row["score"] <= 4
    assert (row["scale_low"], row["scale_high"]) == (1, 4)


@pytest.mark.parametrize(
    ("text", "score", "sentence"),
    [("Score: 0.5", 0.5, "whole points"), ("<score>3</score>", 3, "other scores cannot be tried")],
)
def test_scores_that_cannot_be_weighed_are_refused(shop, text, score, sentence):
    given = judged([(text, score)])
    with pytest.raises(DataError, match=sentence):
        expected_scores(ExpectedScores(template=TEMPLATE), *given, model("m1"), shop).table()


def test_another_models_judgments_are_not_read_as_its_own(shop):
    with pytest.raises(DataError, match="the judgments must be by m0"):
        expected_scores(
            ExpectedScores(template=TEMPLATE), *judged([("Score: 1", 1)]), model("m0"), shop
        ).table()


def test_scores_that_begin_alike_are_refused(shop):
    with pytest.raises(DataError, match="does not distinguish"):
        list(Reader(shop.folder / "m0").choices([(user("p"), "Score:", [" 1", " 1 0"])]))


def test_an_answer_that_training_made_likelier_is_rewarded(shop):
    candidates, _ = judged_answers({"p": [[], [], []], "q": [[]]})
    rows = list(
        intrinsic_rewards(IntrinsicRewards(), candidates, model("m1"), model("m0"), shop).dicts()
    )
    now, before = (Reader(shop.folder / name) for name in ("m1", "m0"))
    asked = [(row["prompt"], row["response"]) for row in candidates.dicts()]
    read = zip(now.log_probabilities(asked), before.log_probabilities(asked), strict=True)
    ids = [row["candidate_id"] for row in candidates.dicts()]
    rewards = dict(zip(ids, (a - b for a, b in read), strict=True))
    scored = {row["candidate_id"]: row["score"] for row in rows}
    ordered = sorted(("p0", "p1", "p2"), key=rewards.__getitem__)
    assert [scored[identity] for identity in ordered] == [0, 2.5, 5]


def scores(given):
    return judged_answers(
        {prompt: [[score] for score in answers] for prompt, answers in given.items()}
    )


def smoothed(now, before, **config):
    candidates, judgments = scores(now)
    pairs = Rows.of(schema.PAIRS, pair(Pair(), candidates, judgments).table())
    rows = smooth_labels(SmoothLabels(**config), pairs, judgments, scores(before)[1])
    return list(rows.dicts()), rows, pairs


def test_models_that_agree_turn_no_pair_round():
    now = {f"p{n}": [1, 3, 5] for n in range(10)}
    rows, said, pairs = smoothed(now, now)
    assert said.notes == {"consistency": 1, "prompts": 10, "turned": 0}
    assert [row["chosen_id"] for row in rows] == pairs.table()["chosen_id"].to_pylist()


def test_the_share_that_is_turned_is_how_much_two_models_disagree():
    now = {f"p{n}": [1, 3, 5] for n in range(40)}
    before = {prompt: [3, 1, 5] for prompt in now}  # one of three orders differs: tau 1/3
    rows, said, pairs = smoothed(now, before)
    assert said.notes["consistency"] == pytest.approx(2 / 3, abs=1e-6)
    turned = [row for row in rows if row["margin"] is None]
    assert len(turned) == said.notes["turned"] == round(40 / 3)
    chosen = dict(
        zip(*(pairs.table()[name].to_pylist() for name in ("prompt_id", "chosen_id")), strict=True)
    )
    assert all(row["rejected_id"] == chosen[row["prompt_id"]] for row in turned)
    assert all(row["rejected_score"] == 5 for row in turned)
    other, _, _ = smoothed(now, before, seed=1)
    assert [row["pair_id"] for row in other] != [row["pair_id"] for row in rows]


def test_two_models_that_scored_nothing_in_common_cannot_be_compared():
    with pytest.raises(DataError, match="no two answers of a prompt in common"):
        smoothed({"p": [1, 5]}, {"q": [1, 5]})
