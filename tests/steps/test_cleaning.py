"""Rows without what a model is measured with, and without near duplicates."""

import pytest

from builders import answer, example, prompts
from srlm_data.core import schema
from srlm_data.core.errors import DataError
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows
from srlm_data.steps.cleaning import (
    Decontaminate,
    DropNearDuplicates,
    decontaminate,
    drop_near_duplicates,
)

MATHS = "Natalia sold clips to 48 of her friends in April, and then she sold half as many in May."
CHINESE = "一个农民有十七只羊，除了九只以外都死了，还剩几只？"
EVALUATION = {"maths": [MATHS, "Why?"], "riddles": [CHINESE, "What has keys and no locks?"]}


AGAINST = {name: prompts(*texts) for name, texts in EVALUATION.items()}


def clean(*texts, **config):
    rows = decontaminate(Decontaminate(**config), prompts(*texts), AGAINST)
    return [row["prompt"][0]["content"] for row in rows.dicts()], rows


def test_a_row_that_holds_an_evaluation_text_is_left_out_whatever_its_case_and_punctuation():
    kept, rows = clean(
        "Please solve: " + MATHS.upper().replace(",", ";") + " How many in all?",
        "Natalia sold clips to 3 friends and went home.",
        "请回答这个谜语：" + CHINESE.replace("，", " "),
        "Tell me: what has keys, and no locks??",
        "Why? I ask for a friend of mine.",
        "why",
    )
    assert kept == [
        "Natalia sold clips to 3 friends and went home.",
        "Why? I ask for a friend of mine.",
    ]
    assert rows.drops == {"overlaps_maths": 2, "overlaps_riddles": 2}
    assert rows.notes["against"] == {
        "maths": {"texts": 2, "found": 2},
        "riddles": {"texts": 2, "found": 2},
    }
    [example, _] = rows.drops.examples["overlaps_maths"]
    assert "Please solve" in example["record"]


def test_how_much_is_shared_decides():
    half = " ".join(MATHS.split()[:10]) + " in another story that goes on in a way of its own."
    assert clean(half)[0] == [half]
    assert clean(half, min_overlap=0.01)[0] == []
    assert clean(half, min_overlap=0.01, n=13)[0] == [half]


def test_answers_are_looked_at_as_well():
    row = example("Tell me a sum", MATHS)
    rows = decontaminate(Decontaminate(), Rows.of(schema.EXAMPLES, [row]), AGAINST)
    assert rows.table().num_rows == 0
    assert rows.type is schema.EXAMPLES


def test_the_first_of_prompts_that_are_alike_stays_with_all_its_answers():
    asked = ["How do I bake a loaf of bread at home?", "How do I bake a loaf of bread at home now?"]
    rows = [
        answer(
            str(number),
            f"So {sample}",
            candidate_id=f"{number}{sample}",
            prompt=user(text),
            sample=sample,
        )
        for number, text in enumerate([*asked, "Why is the sky blue in the day?"])
        for sample in range(3)
    ]
    fewer = drop_near_duplicates(DropNearDuplicates(), Rows.of(schema.CANDIDATES, rows))
    assert [row["candidate_id"] for row in fewer.dicts()] == ["00", "01", "02", "20", "21", "22"]
    assert fewer.drops == {"near_duplicate": 3}
    whole = drop_near_duplicates(
        DropNearDuplicates(max_similarity=1), Rows.of(schema.CANDIDATES, rows)
    )
    assert whole.table().num_rows == 9


def test_rows_without_prompts_are_refused():
    models = Rows.of(schema.MODELS, [{"model": "m", "method": "sft", "location": "path:/"}])
    with pytest.raises(DataError, match="expected rows with prompts, found models"):
        drop_near_duplicates(DropNearDuplicates(), models)
    with pytest.raises(DataError, match="riddles: expected rows with prompts"):
        decontaminate(Decontaminate(), prompts("a"), {"riddles": models})
