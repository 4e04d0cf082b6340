"""Preference pairs of others, in the forms in which they are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from srlm_data.core.errors import DataError
from srlm_data.core.ids import prompt_id
from srlm_data.core.messages import assistant, user
from srlm_data.core.rows import Rows
from srlm_data.core.schema import Message
from srlm_data.steps.read import ReadPairs, read_pairs
from srlm_data.store import Store

ASKED, GOOD, BAD = user("What is red?"), assistant("The kettle."), assistant("Nothing.")
SYSTEM: list[Message] = [{"role": "system", "content": "Be brief."}]
TALK = [*ASKED, *assistant("Which room?"), *user("Any.")]


def read(folder: Path, *records: dict[str, Any], **config: Any) -> Rows:
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_pairs(ReadPairs(files=str(file), **config)).collect()


def pair(folder: Path, *records: dict[str, Any], **config: Any) -> tuple[Any, Any, Any]:
    rows = read(folder, *records, **config)
    assert rows.count() == 1, rows.drops
    [row] = rows.dicts()
    return row["prompt"], row["chosen"], row["rejected"]


TEXTS = {"prompt": "What is red?", "chosen": "The kettle.", "rejected": "Nothing."}
HH = {
    "chosen": "\n\nHuman: What is red?\n\nAssistant: The kettle.",
    "rejected": "\n\nHuman: What is red?\n\nAssistant: Nothing.",
}


@pytest.mark.parametrize(
    "record",
    [
        TEXTS,
        {"prompt": ASKED, "chosen": GOOD, "rejected": BAD},
        {"prompt": ASKED, "chosen": GOOD[0], "rejected": BAD[0]},
        {"prompt": json.dumps(ASKED), "chosen": json.dumps(GOOD), "rejected": json.dumps(BAD)},
        {"prompt": "What is red?", "chosen": ASKED + GOOD, "rejected": ASKED + BAD},
        {"prompt": " What is  red?\n", "chosen": ASKED + GOOD, "rejected": ASKED + BAD},
        {"prompt": "What is red?", "chosen": ASKED + GOOD, "rejected": BAD},
        {"prompt": None, "chosen": ASKED + GOOD, "rejected": ASKED + BAD},
        {"chosen": ASKED + GOOD, "rejected": ASKED + BAD},
        {"conversations": [{"from": "human", "value": "What is red?"}],
         "chosen": {"from": "gpt", "value": "The kettle."},
         "rejected": {"from": "gpt", "value": "Nothing."}},
        {"instruction": "What is red?", "input": "", "chosen": "The kettle.",
         "rejected": "Nothing."},
        {"instruction": "What is red?", "input": "", "output": ["The kettle.", "Nothing."]},
        {"question": "What is red?", "chosen": "The kettle.", "rejected": "Nothing."},
        {"instruction": "What is red?", "chosen_response": "The kettle.",
         "rejected_response": "Nothing."},
        {"prompt": "What is red?", "chosen": "What is red? The kettle.",
         "rejected": "What is red? Nothing."},
        HH,
        {"prompt": "\n\nHuman: What is red?\n\nAssistant:", "chosen": " The kettle.",
         "rejected": "Nothing."},
        {"prompt": "\n\nHuman: What is red?\n\nAssistant:", **HH},
        {"prompt": "What is red?", "generations": ["Nothing.", "The kettle."], "ranks": [2, 1]},
        {"prompt": "What is red?", "answers": [{"answer": "The kettle.", "rank": 1.0},
                                               {"answer": "Nothing.", "rank": 7.0},
                                               {"answer": "Red.", "rank": 2.0}]},
    ],
    ids=str,
)  # fmt: skip
def test_every_usual_form_is_the_same_pair(tmp_path: Path, record: dict[str, Any]) -> None:
    prompt, chosen, rejected = pair(tmp_path, record)
    assert prompt == ASKED
    assert [turn["content"].strip() for turn in chosen] == ["The kettle."]
    assert [turn["content"].strip() for turn in rejected] == ["Nothing."]


def test_a_pair_of_others_names_no_model(tmp_path: Path) -> None:
    [row] = read(tmp_path, TEXTS).dicts()
    assert row["prompt_id"] == prompt_id(ASKED)
    assert row["model"] is None
    assert row["margin"] is None


@pytest.mark.parametrize(
    ("record", "asked"),
    [
        ({"chosen": TALK + GOOD, "rejected": TALK + BAD}, TALK),
        ({"prompt": "Any.", "chosen": TALK + GOOD, "rejected": TALK + BAD}, TALK),
        ({"prompt": "What is red?", "chosen": TALK + GOOD, "rejected": TALK + BAD}, TALK),
        ({"prompt": TALK, "chosen": TALK + GOOD, "rejected": TALK + BAD}, TALK),
        ({"prompt": TALK, "chosen": TALK[2:] + GOOD, "rejected": TALK[2:] + BAD}, TALK),
        ({"prompt": "What is red?", "chosen": SYSTEM + ASKED + GOOD,
          "rejected": SYSTEM + ASKED + BAD}, SYSTEM + ASKED),
        ({**TEXTS, "system": "Be brief."}, SYSTEM + ASKED),
        ({"system": "Be brief.", "chosen": ASKED + GOOD, "rejected": ASKED + BAD}, SYSTEM + ASKED),
        ({"system": "", **TEXTS}, ASKED),
        ({"prompt": [{"role": "system", "content": ""}, *ASKED], "chosen": GOOD, "rejected": BAD},
         ASKED),
    ],
    ids=str,
)  # fmt: skip
def test_the_prompt_is_all_that_was_said_before_and_stands_there_once(
    tmp_path: Path, record: dict[str, Any], asked: list[Message]
) -> None:
    assert pair(tmp_path, record) == (asked, GOOD, BAD)


def test_conversations_may_part_before_their_last_turns(tmp_path: Path) -> None:
    went_on = [*BAD, *user("Why?"), *assistant("So.")]
    record = {"chosen": ASKED + GOOD, "rejected": ASKED + went_on}
    assert pair(tmp_path, record) == (ASKED, GOOD, went_on)


def test_texts_without_a_prompt_share_their_first_words(tmp_path: Path) -> None:
    texts = {"chosen": "The sky is blue.", "rejected": "The sky is blond."}
    wanted = (user("The sky is"), assistant("blue."), assistant("blond."))
    assert pair(tmp_path, texts) == wanted
    with pytest.raises(DataError, match="no column 'prompt', found"):
        read(tmp_path, {"asked": "What is above?", **texts})


def test_an_answer_may_begin_with_the_words_of_a_short_question(tmp_path: Path) -> None:
    record = {"prompt": "Hello", "chosen": "Hello there!", "rejected": "Hello you."}
    assert pair(tmp_path, record)[1:] == (assistant("Hello there!"), assistant("Hello you."))


def test_labels_are_sides_of_one_prompt(tmp_path: Path) -> None:
    def labelled(prompt: str, completion: str, label: object) -> dict[str, Any]:
        return {"prompt": prompt, "completion": completion, "label": label}

    rows = read(
        tmp_path,
        labelled("What is red?", "Nothing.", False),
        labelled("And blue?", "The sky.", True),
        labelled("What is red?", "The kettle.", "true"),
        labelled("What is red?", "A rose.", True),
        labelled("And green?", "Grass.", None),
    )
    [row] = rows.dicts()
    assert (row["prompt"], row["chosen"], row["rejected"]) == (ASKED, GOOD, BAD)
    assert rows.drops == {"no_counterpart": 2, "no_label": 1}
    talk = [
        {"messages": ASKED + GOOD, "kto_tag": True},
        {"messages": ASKED + BAD, "kto_tag": False},
    ]
    assert pair(tmp_path, *talk) == (ASKED, GOOD, BAD)
    numbers = [labelled("What is red?", "The kettle.", 1), labelled("What is red?", "Nothing.", 0)]
    assert pair(tmp_path, *numbers, columns={"label": "label"}) == (ASKED, GOOD, BAD)
    with pytest.raises(DataError, match="no column 'chosen'"):
        read(tmp_path, {"prompt": "Hi", "completion": "Ho"})


def test_ranked_replies_keep_their_scores(tmp_path: Path) -> None:
    replies = [
        {"response": text, "overall_score": score}
        for text, score in (("Red.", 5.0), ("Nothing.", 2.5), ("The kettle.", 8.5))
    ]
    [row] = read(tmp_path, {"instruction": "What is red?", "completions": replies}).dicts()
    assert (row["chosen"], row["rejected"], row["margin"]) == (GOOD, BAD, 6.0)
    record = {"prompt": "x", "generations": ["a", "b"], "ratings": [3, 3]}
    assert read(tmp_path, record).drops == {"not_better": 1}
    record = {"prompt": "x", "generations": ["a", "b", "c"]}
    assert read(tmp_path, record).drops == {"no_ranks": 1}


def test_scores_decide_whether_a_pair_is_one(tmp_path: Path) -> None:
    def scored(prompt: str, better: object, worse: object, **more: object) -> dict[str, Any]:
        return {**TEXTS, "prompt": prompt, "score_chosen": better, "score_rejected": worse, **more}

    rows = read(
        tmp_path,
        scored("Is it red?", 8.5, "4"),
        scored("And now?", 3, 3),
        scored("And then?", 3, None),
        scored("And if?", float("nan"), float("-inf"), margin=float("nan")),
        scored("And so?", None, None, margin=0.5),
        scored("And but?", "good", 1),
    )
    scores = [(row["chosen_score"], row["rejected_score"], row["margin"]) for row in rows.dicts()]
    assert scores == [(8.5, 4.0, 4.5), (3.0, None, None), (None, None, None), (None, None, 0.5)]
    assert rows.drops == {"not_better": 1, "not_a_number": 1}
    with pytest.raises(DataError, match="there is no column 's1'"):
        read(tmp_path, TEXTS, chosen_score="s1")


def test_what_is_no_pair_is_dropped_by_name(tmp_path: Path) -> None:
    records = {
        "empty": [
            {**TEXTS, "prompt": " "}, {**TEXTS, "prompt": None}, {**TEXTS, "chosen": " "},
            {**TEXTS, "rejected": None}, {**TEXTS, "rejected": []},
        ],
        "identical_texts": [
            {**TEXTS, "rejected": "The  kettle.\n"}, {"chosen": "a b", "rejected": "a  b "},
            {"chosen": ASKED + GOOD, "rejected": ASKED + GOOD},
        ],
        "no_answer": [{**TEXTS, "chosen": ASKED}],
        "prompt_differs": [
            {"prompt": "And blue?", "chosen": ASKED + GOOD, "rejected": ASKED + BAD},
            {"chosen": ASKED + GOOD, "rejected": user("And blue?") + BAD},
            {"chosen": TALK + GOOD, "rejected": [*TALK[:2], *user("The hall."), *BAD]},
            {"chosen": "One.", "rejected": "Two."},
        ],
        "duplicate": [TEXTS],
    }  # fmt: skip
    rows = read(tmp_path, TEXTS, *(record for group in records.values() for record in group))
    assert rows.count() == 1
    assert rows.drops == {reason: len(group) for reason, group in records.items()}


def test_parquet_as_ultrafeedback_has_it_becomes_a_version(tmp_path: Path) -> None:
    file = tmp_path / "train_prefs.parquet"
    records = [
        {"prompt": "What is red?", "prompt_id": "x", "chosen": ASKED + GOOD,
         "rejected": ASKED + BAD, "messages": ASKED + GOOD, "score_chosen": 9.0,
         "score_rejected": 2.0},
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(records), file)
    config = ReadPairs(files=str(file), license="mit")
    store = Store(tmp_path / "store")
    manifest = store.commit(
        "their.pairs", read_pairs(config), identity={"config": config.identity()}, inputs=[]
    )
    [row] = store.rows(manifest).dicts()
    assert (row["prompt"], row["chosen"], row["margin"]) == (ASKED, GOOD, 7.0)
    assert manifest.identity["config"]["license"] == "mit"
    assert store.verify(manifest) == []
