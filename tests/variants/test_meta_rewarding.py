"""Judgments as answers: the most disputed answer's, ready to be compared and paired."""

import pytest

from builders import example, judged_answers
from srlm_data.core import ids, schema
from srlm_data.core.errors import DataError
from srlm_data.core.ids import row_id
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows
from srlm_data.core.templates import Template, load
from srlm_data.variants.meta_rewarding import (
    MetaJudgeExamples,
    SelectUncertain,
    meta_judge_examples,
    select_uncertain,
)

TEMPLATE = load("judge_brief")
CONFIG = SelectUncertain(template=TEMPLATE)


def judged(scores):
    candidates, judgments = judged_answers(scores, template=row_id(TEMPLATE.text), judge="m")
    rows = judgments.table().to_pylist()
    for row in rows:
        row["text"] = f"Text of {row['judgment_id']}.\nScore: {row['score']}"
    return candidates, Rows.of(schema.JUDGMENTS, rows)


def test_the_judgments_of_the_answer_whose_scores_vary_most_become_answers():
    candidates, judgments = judged({"p": [[3, 3, 4], [0, 5, None], [2, 2, 2]]})
    rows = select_uncertain(CONFIG, candidates, judgments).dicts()
    first, second = rows
    assert first["response"] == "Text of p1/0.\nScore: 0.0"
    assert second["response"] == "Text of p1/1.\nScore: 5.0"  # the one without a score stays out
    assert first["prompt"] == user(TEMPLATE.fill(prompt="p", response="answer p1"))
    assert first["prompt_id"] == second["prompt_id"] == ids.prompt_id(first["prompt"])
    assert first["model"] == "m"


def test_every_prompt_is_taken_or_counted():
    scores = {"taken": [[1, 2]], "same": [[3, 3], [4, 4]], "one": [[3], [None, 2]]}
    rows = select_uncertain(CONFIG, *judged(scores))
    assert {row["prompt"][0]["content"].count("taken") for row in rows.dicts()} == {2}
    assert rows.drops == {"undisputed": 1, "fewer_than_two_parsed": 1}


def test_judgments_of_another_template_are_refused():
    with pytest.raises(DataError, match="must be made with the template 'judge'"):
        select_uncertain(SelectUncertain(), *judged({"p": [[1, 2]]})).table()


def test_a_judgment_that_fits_the_humans_is_the_better_one_in_both_orders():
    _, judgments = judged({"p": [[5, 2, 5]], "q": [[3, 3]]})
    eft = Rows.of(schema.EXAMPLES, [
        example(f"judge {identity}", kind="eft", prompt_id=identity, source_id=f"{identity}0/0")
        for identity in ("p", "q")
    ])  # fmt: skip
    template = load("meta_judge_brief")
    rows = meta_judge_examples(MetaJudgeExamples(template=template), eft, judgments)
    good, bad = "Text of p0/0.\nScore: 5.0", "Text of p0/1.\nScore: 2.0"
    told = {row["completion"][0]["content"]: row["prompt"][0]["content"] for row in rows.dicts()}
    assert told == {
        "Verdict: A": template.fill(prompt="judge p", answer_a=good, answer_b=bad),
        "Verdict: B": template.fill(prompt="judge p", answer_a=bad, answer_b=good),
    }
    assert rows.drops == {"no_other_score": 1}


def test_a_judge_that_was_shown_a_reference_and_a_model_is_asked_again_with_them():
    candidates, judgments = (rows.table().to_pylist() for rows in judged({"p": [[1, 5]]}))
    template = Template("mine", "{prompt} {reference} {model} {response}")
    for row in candidates:
        row["reference"], row["model"] = "It is right.", "actor"
    for row in judgments:
        row["template"] = row_id(template.text)
    rows = select_uncertain(
        SelectUncertain(template=template),
        Rows.of(schema.CANDIDATES, candidates),
        Rows.of(schema.JUDGMENTS, judgments),
    )
    first, _ = rows.dicts()
    assert first["prompt"] == user("p It is right. actor answer p0")
    assert first["model"] == "m"
