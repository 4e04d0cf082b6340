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
from srlm_data.steps.read import ReadPairs, read_pairs
from srlm_data.store import Store

ASKED, GOOD, BAD = user("What is red?"), assistant("The kettle."), assistant("Nothing.")


def read(tmp_path: Path, *records: dict[str, Any], **config: Any) -> Rows:
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in records))
    return read_pairs(ReadPairs(files=(file,), **config))


TEXTS = {"prompt": "What is red?", "chosen": "The kettle.", "rejected": "Nothing."}
ANSWERS = {"prompt": ASKED, "chosen": GOOD, "rejected": BAD}
WHOLE = {"prompt": "What is red?", "chosen": ASKED + GOOD, "rejected": ASKED + BAD}


@pytest.mark.parametrize(
    ("record", "config"),
    [
        (TEXTS, {}),
        (ANSWERS, {}),
        (WHOLE, {}),
        ({"chosen": ASKED + GOOD, "rejected": ASKED + BAD}, {"prompt": None}),
    ],
    ids=["texts", "answers", "whole conversations", "a prompt that is implied"],
)
def test_every_usual_form_is_the_same_pair(
    tmp_path: Path, record: dict[str, Any], config: dict[str, Any]
) -> None:
    [row] = read(tmp_path, record, **config).dicts()
    assert (row["prompt"], row["chosen"], row["rejected"]) == (ASKED, GOOD, BAD)
    assert row["prompt_id"] == prompt_id(ASKED)
    [same] = read(tmp_path, TEXTS).dicts()
    assert row == same
    assert row["model"] is None
    assert row["margin"] is None


def test_an_implied_prompt_is_all_that_both_share(tmp_path: Path) -> None:
    talk = [*ASKED, *assistant("Which room?"), *user("Any.")]
    [row] = read(tmp_path, {"chosen": talk + GOOD, "rejected": talk + BAD}, prompt=None).dicts()
    assert row["prompt"] == talk


def test_scores_decide_whether_a_pair_is_one(tmp_path: Path) -> None:
    columns = {"chosen_score": "s1", "rejected_score": "s2"}
    rows = read(
        tmp_path,
        {**TEXTS, "s1": 8.5, "s2": 4},
        {**TEXTS, "prompt": "And now?", "s1": 3, "s2": 3},
        {**TEXTS, "prompt": "And then?", "s1": 3, "s2": None},
        **columns,
    )
    kept = list(rows.dicts())
    assert [(one["chosen_score"], one["rejected_score"], one["margin"]) for one in kept] == [
        (8.5, 4.0, 4.5), (3.0, None, None),
    ]  # fmt: skip
    assert rows.drops == {"not_better": 1}
    with pytest.raises(DataError, match="'s1' must be a number, found 'good'"):
        list(read(tmp_path, {**TEXTS, "s1": "good", "s2": 1}, **columns).dicts())
    with pytest.raises(DataError, match="there is no column 's1'"):
        list(read(tmp_path, TEXTS, **columns).dicts())


def test_what_is_no_pair_is_dropped_by_name(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        TEXTS,
        TEXTS,
        {**TEXTS, "prompt": " "},
        {**TEXTS, "chosen": " "},
        {**TEXTS, "rejected": TEXTS["chosen"]},
        {**TEXTS, "chosen": ASKED},
    )
    assert len(list(rows.dicts())) == 1
    assert rows.drops == {
        "duplicate": 1, "empty_prompt": 1, "empty_answer": 1, "identical_texts": 1, "no_answer": 1,
    }  # fmt: skip


def test_parquet_as_ultrafeedback_has_it_becomes_a_version(tmp_path: Path) -> None:
    file = tmp_path / "train_prefs.parquet"
    records = [
        {**WHOLE, "prompt_id": "x", "messages": ASKED + GOOD, "score_chosen": 9.0,
         "score_rejected": 2.0},
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(records), file)
    config = ReadPairs(
        files=(file,), chosen_score="score_chosen", rejected_score="score_rejected", license="mit"
    )
    store = Store(tmp_path / "store")
    manifest = store.commit(
        "their.pairs", read_pairs(config), identity={"config": config.identity()}, inputs=[]
    )
    assert manifest.rows == 1
    assert manifest.identity["config"]["license"] == "mit"
    assert store.verify(manifest) == []
