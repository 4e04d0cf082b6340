"""Labels in files: those of the page, of Argilla and of Label Studio, and files that hold none."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import srlm_data
from reviewing import review, write_labels
from srlm_data.core.errors import DataError, StoreError
from srlm_data.store import Store


def test_the_same_file_twice_is_the_same_version_and_a_later_choice_counts(
    pairs: Store, tmp_path: Path
) -> None:
    first = review(pairs, tmp_path, "1" * 20)
    file = tmp_path / "labels.jsonl"
    assert srlm_data.import_labels("iter1.pairs", file, by="reader", store=pairs) == first
    changed = [json.loads(line) for line in file.read_text().splitlines()]
    changed[0] |= {"choice": "tie", "labelled_at": "2031-01-01T00:00:00Z", "note": " hard to say "}
    changed[1] |= {"choice": "tie", "labelled_at": "2029-01-01T00:00:00Z"}
    file.write_text("\n".join(map(json.dumps, changed)))
    later = srlm_data.import_labels("iter1.pairs", file, store=pairs)
    assert Counter(row["choice"] for row in pairs.rows(later).dicts()) == {"first": 19, "tie": 1}
    assert {row["note"] for row in pairs.rows(later).dicts()} == {None, "hard to say"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"choice": "best"}, r"labels.jsonl:1: 'choice': .* found 'best'"),
        ({"seconds": -1}, r"labels.jsonl:1: 'seconds': "),
        ({"seconds": float("nan")}, r"labels.jsonl:1: 'seconds': "),
        ({"labelled_at": "yesterday"}, r"labels.jsonl:1: 'labelled_at': "),
        ({"note": "x" * 10_001}, r"labels.jsonl:1: 'note': "),
        ({"first_id": None}, r"labels.jsonl:1: 'first_id': "),
        ({"person": ["reader"]}, r"not only 'reader' labeled this"),
        (
            {"person": "other"},
            r"not only 'reader' labeled this, found other. Import it without --by",
        ),
        (
            {"first_id": "chosen 77"},
            r"does not contain the answers chosen 77 and .* that 'reader' label",
        ),
        ({"reviewed": "iter2.pairs@0123456789abcdef"}, r"labels belong to another dataset"),
        ({"reviewed": "iter1.pairs@0123456789abcdef"}, r"is not in the store. Pull it"),
        ({"reviewed": "iter1.pairs@../../x"}, r"labels.jsonl:1: 'reviewed': "),
    ],
)
def test_a_file_with_one_wrong_label_is_refused_whole(
    pairs: Store, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    page = tmp_path / "page.html"
    srlm_data.write_review("iter1.pairs", by="reader", output=page, store=pairs)
    file = write_labels(tmp_path / "labels.jsonl", page, "1", **change)
    with pytest.raises((DataError, StoreError), match=sentence):
        srlm_data.import_labels("iter1.pairs", file, by="reader", store=pairs)
    assert pairs.names() == ["iter1.pairs"]


@pytest.mark.parametrize(
    "text", ["", "\n\n", "7", "{", "[1]", "[{}]", '["data"]', "\x00", "[" * 9999]
)
def test_a_file_that_holds_no_labels_is_a_sentence(pairs: Store, tmp_path: Path, text: str) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(text)
    with pytest.raises(DataError, match=r"labels.jsonl.*\. [A-Z]"):
        srlm_data.import_labels("iter1.pairs", file, by="reader", store=pairs)


def argilla_labels(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What ``records.to_json`` writes once two people have responded."""
    for record in records:
        record["responses"] = {
            "choice": [
                {"value": "first", "user_id": "u-reader"},
                {"value": "tie", "user_id": "u-other"},
            ],
            "note": [{"value": "because", "user_id": "u-other"}],
        }
        record |= {"status": "completed", "_server_id": "0"}
    return [*records, {**records[0], "responses": {}}]  # nobody has looked at the last one


def label_studio_labels(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an export as JSON holds once two people have annotated."""

    def annotation(person: object, choice: str, *notes: str) -> dict[str, Any]:
        chosen = {"from_name": "choice", "type": "choices", "value": {"choices": [choice]}}
        note = {"from_name": "note", "type": "textarea", "value": {"text": list(notes)}}
        return {
            "completed_by": person,
            "result": [chosen, *([note] if notes else [])],
            "created_at": "2030-01-01T00:00:00.000000Z",
            "lead_time": 3.25,
            "was_cancelled": False,
        }

    for task in tasks:
        reader, other = (
            annotation("u-reader", "first"),
            annotation({"email": "u-other"}, "tie", "because"),
        )
        task |= {"id": 1, "annotations": [reader, other], "predictions": []}
    unfinished = {**tasks[0], "annotations": []}
    cancelled = annotation("u-cy", "first") | {"was_cancelled": True, "result": []}
    return [*tasks, unfinished, {**tasks[1], "annotations": [cancelled]}]


@pytest.mark.parametrize(
    ("form", "labelled", "skipped"),
    [("argilla", argilla_labels, 0), ("label-studio", label_studio_labels, 1)],
)
def test_other_tools_are_given_blind_items_and_give_labels_back(
    pairs: Store, tmp_path: Path, form: Any, labelled: Any, skipped: int
) -> None:
    file = tmp_path / "items.json"
    assert srlm_data.export_review("iter1.pairs", form, n=7, output=file, store=pairs) == 7
    items = json.loads(file.read_text())
    texts = {"prompt", "first", "second"}
    for item in items:
        shown = item["fields"] if form == "argilla" else item["data"]
        assert {shown["first"].split()[0], shown["second"].split()[0]} == {"Good", "Bad"}
        assert texts <= shown.keys()
    assert "the-model" not in file.read_text()
    assert "chosen_score" not in file.read_text()
    file.write_text(json.dumps(labelled(items)))
    with pytest.raises(
        DataError, match=r"not only 'reader' labeled this, found .*u-other, u-reader"
    ):
        srlm_data.import_labels("iter1.pairs", file, by="reader", store=pairs)
    manifest = srlm_data.import_labels("iter1.pairs", file, store=pairs)
    assert manifest.notes["people"] == {"u-reader": 7, "u-other": 7} | (
        {"u-cy": 1} if skipped else {}
    )
    rows = list(pairs.rows(manifest).dicts())
    choices = Counter((row["person"], row["choice"], row["note"]) for row in rows)
    assert choices["u-reader", "first", None] == choices["u-other", "tie", "because"] == 7
    assert {row["pair_id"] for row in rows} == {
        (item.get("metadata") or item["data"])["pair_id"] for item in items
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"fields": {}},
        {"fields": {}, "metadata": {}, "responses": {"choice": [{"value": "first"}]}},
        {"fields": {}, "metadata": {}, "responses": {"choice": "first"}},
        {"data": {}, "annotations": [{}]},
        {"data": {}, "annotations": [{"result": [{"from_name": "choice", "value": {}}]}]},
        {"data": 7, "annotations": [{"result": [], "was_cancelled": True}]},
    ],
)
def test_records_of_another_form_are_a_sentence(
    pairs: Store, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    file = tmp_path / "items.json"
    file.write_text(json.dumps([wrong]))
    with pytest.raises(DataError, match=r"items.json.*\. [A-Z]"):
        srlm_data.import_labels("iter1.pairs", file, store=pairs)
