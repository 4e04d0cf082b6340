"""Human review: what is drawn, what is hidden, and what becomes of labels."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import srlm_data
import synthetic
from checkout import Cli
from reviewing import commit_pairs, data_of, review, write_labels
from srlm_data.core import packages
from srlm_data.core.errors import ArgumentError, DataError, MissingError, StoreError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import CANDIDATES
from srlm_data.report._blind import draw_items
from srlm_data.report._label_files import Label
from srlm_data.report._labels import keep_draft, take_in_drafts
from srlm_data.report._review_page import Review
from srlm_data.report._review_server import Reviews, Session, routes_of
from srlm_data.report._server import create_app
from srlm_data.store import Store

HOSTILE = (
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "{{ 7 * 7 }} $script ${window.pwned = 1}",
    "a\u2028b\u202etxt.exe\u202c \u0007",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two iterations with hostile texts in every field; nothing in it is labelled."""
    return synthetic.fill(tmp_path_factory.mktemp("review") / "store", hostile=HOSTILE)


# what is shown ------------------------------------------------------------------------------


def test_a_page_hides_scores_models_and_which_answer_was_chosen(
    store: Store, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert srlm_data.write_review("one.pairs", by="reader", n=60, output=page, store=store) == 60
    data = data_of(page)
    for item in data["items"]:
        assert item.keys() == {"pair_id", "first_id", "second_id", "prompt", "first", "second"}
    rows = {row["pair_id"]: row for row in store.version("one.pairs").dicts()}
    first = Counter(
        rows[item["pair_id"]]["chosen_id"] == item["first_id"] for item in data["items"]
    )
    assert 15 <= first[True] <= 45
    model = next(iter(rows.values()))["model"]
    assert model not in page.read_text(encoding="utf-8").replace(data["dataset"], "")


def test_people_see_the_same_pairs_in_the_same_order_and_not_the_same_sides(store: Store) -> None:
    reviewed = store.resolve("one.pairs")
    reader, other, again = (
        draw_items(store, reviewed, 20, by=by) for by in ("reader", "other", "reader")
    )
    assert reader == again
    assert [item.pair_id for item in reader] == [item.pair_id for item in other]
    assert [item.first_id for item in reader] != [item.first_id for item in other]
    assert {item.pair_id for item in draw_items(store, reviewed, 20, seed=1)} != {
        item.pair_id for item in reader
    }
    more = draw_items(store, reviewed, 30, by="reader")
    assert more[:20] == reader


def test_of_candidates_two_answers_of_a_prompt_that_differ_are_drawn(store: Store) -> None:
    items = draw_items(store, store.resolve("one.candidates"), 60)
    candidates = {row["candidate_id"]: row for row in store.version("one.candidates").dicts()}
    prompts = {candidates[item.first_id]["prompt_id"] for item in items}
    assert len(prompts) == len(items) == 60
    for item in items:
        first, second = candidates[item.first_id], candidates[item.second_id]
        assert first["prompt_id"] == second["prompt_id"]
        assert (item.first, item.second) == (first["response"], second["response"])
        assert item.first != item.second
        assert item.pair_id is None


def test_what_cannot_be_reviewed_is_a_sentence(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^one.prompts@\w+: pairs and candidates can be reviewed"):
        srlm_data.write_review("one.prompts", by="reader", output=tmp_path / "p.html", store=store)
    with pytest.raises(ArgumentError, match="cannot be a reviewer's name"):
        srlm_data.write_review("one.pairs", by=" reader\n", output=tmp_path / "p.html", store=store)
    with pytest.raises(StoreError, match=r"cannot be written.*Name another file"):
        srlm_data.write_review("one.pairs", by="reader", output=tmp_path / "no" / "p", store=store)
    alike = Store(tmp_path / "alike")
    row = {"prompt_id": "p", "prompt": [{"role": "user", "content": "?"}], "response": "same"}
    rows = [{"candidate_id": f"c{n}", "sample": n, "source": "human", **row} for n in range(2)]
    rows[1]["response"] = " same\n"  # where pairs are made, the two are one answer as well
    alike.commit("a.candidates", Rows.of(CANDIDATES, rows), identity={}, inputs=[])
    with pytest.raises(DataError, match="no two answers to one prompt that differ"):
        srlm_data.write_review("a.candidates", by="reader", output=tmp_path / "p.html", store=alike)


# what becomes of labels ---------------------------------------------------------------------


def test_labels_become_a_version_that_knows_what_was_reviewed(pairs: Store, tmp_path: Path) -> None:
    manifest = review(pairs, tmp_path, "12=s" * 5)
    assert (manifest.name, manifest.type, manifest.rows) == ("iter1.pairs_labels", "labels", 20)
    assert manifest.notes["people"] == {"reader": 20}
    assert manifest.provenance["argv"]
    [read] = manifest.inputs
    assert read.name == "iter1.pairs"
    rows = {row["pair_id"]: row for row in pairs.rows(manifest).dicts()}
    assert Counter(row["choice"] for row in rows.values()) == dict.fromkeys(
        ("first", "second", "tie", "skip"), 5
    )
    row = rows["pair 3"]
    assert {row["first_id"], row["second_id"]} == {"chosen 3", "rejected 3"}
    assert (row["prompt_id"], row["person"], row["seconds"]) == ("prompt 3", "reader", 2.5)
    assert row["labelled_at"].startswith("2030-01-01T00:")
    assert pairs.verify(manifest) == []
    assert not srlm_data.gc(store=pairs).garbage
    assert "iter1.pairs@" in srlm_data.lineage("iter1.pairs_labels", store=pairs).mermaid()
    assert srlm_data.lineage(row["label_id"], store=pairs)
    publish = partial(srlm_data.push, dry_run=True, store=pairs)
    assert "iter1.pairs_labels" in publish("iter1.pairs_labels", repo="user/labels").upload.card
    whole = publish("iter1", repo="user/iter1").upload
    assert not any("labels" in file for file in whole.files)  # they name people


def test_nobody_is_shown_again_what_he_labelled_and_others_are(
    pairs: Store, tmp_path: Path
) -> None:
    review(pairs, tmp_path, "11111", n=10)
    page = tmp_path / "page.html"
    many = {"by": "third", "n": 10**30, "seed": 10**30, "output": page}
    assert srlm_data.write_review("iter1.pairs", store=pairs, **many) == 20
    assert srlm_data.write_review("iter1.pairs", by="reader", n=10, output=page, store=pairs) == 5
    assert srlm_data.write_review("iter1.pairs", by="other", n=10, output=page, store=pairs) == 10
    manifest = review(pairs, tmp_path, "22222", n=10)
    assert manifest.notes["people"] == {"reader": 10}
    with pytest.raises(DataError, match=r"'reader' has labelled all .* Give a larger --n"):
        srlm_data.write_review("iter1.pairs", by="reader", n=10, output=page, store=pairs)
    both = review(pairs, tmp_path, "1" * 20, by="other", n=20)
    assert both.notes["people"] == {"reader": 10, "other": 20}


def test_labels_stay_when_the_pairs_are_made_anew(pairs: Store, tmp_path: Path) -> None:
    before = review(pairs, tmp_path, "1" * 20)
    commit_pairs(pairs, range(30))
    page = tmp_path / "page.html"
    assert srlm_data.write_review("iter1.pairs", by="reader", n=30, output=page, store=pairs) == 10
    after = review(pairs, tmp_path, "1" * 10, n=30)
    assert after.rows == 30
    assert {read.version for read in after.inputs} == {
        before.inputs[0].version,
        pairs.resolve("iter1.pairs").version,
    }


def test_the_command_writes_a_page_and_takes_its_labels_in(
    pairs: Store, cli: Cli, project: Path
) -> None:
    where = ("--store", pairs.root)
    written = cli(*where, "review", "iter1.pairs", "--by", "reader", "--n", "7", "-o", "r.html")
    assert written.stdout == "wrote r.html: 7 to review\n", written.stderr
    write_labels(project / "labels.jsonl", project / "r.html", "1" * 7)
    taken = cli(*where, "review", "iter1.pairs", "--import", "labels.jsonl", "--by", "reader")
    version = pairs.resolve("iter1.pairs_labels")
    assert taken.stdout.splitlines()[:2] == [f"+ {version.ref}  7 labels", "  7 by reader"]
    assert f"step: read_version, version: {version.ref}, type: labels" in taken.stdout
    nobody = cli(*where, "review", "iter1.pairs")
    assert nobody.returncode == 2
    assert "a review needs --by NAME" in nobody.stderr
    absent = cli(*where, "review", "iter1.pears", "--by", "reader")
    assert absent.returncode == 4
    assert "Did you mean 'iter1.pairs'?" in absent.stderr


def test_a_recipe_trains_on_what_people_agree_with(pairs: Store, tmp_path: Path) -> None:
    labels = review(pairs, tmp_path, "1" * 20)
    disputed = sum(row["first_id"].startswith("rejected") for row in pairs.rows(labels).dicts())
    reviewed = pairs.resolve("iter1.pairs")
    read = [
        f"  {name}: {{step: read_version, version: {version.ref}, type: {version.type}, "
        f"content: {version.content}}}"
        for name, version in (("pairs", reviewed), ("labels", labels))
    ]
    recipe = tmp_path / "next.yaml"
    kept = "  agreed: {step: drop_disputed, pairs: pairs, labels: labels}"
    recipe.write_text("\n".join(["datasets:", *read, kept]))
    agreed = srlm_data.build(recipe, store=pairs)["next.agreed"]
    assert 0 < disputed < 20
    assert agreed.rows == 20 - disputed
    assert agreed.drops == {"people_disagree": disputed}
    lineage = srlm_data.lineage("next.agreed", store=pairs).mermaid()
    assert "iter1.pairs_labels@" in lineage


# live ---------------------------------------------------------------------------------------


def test_a_live_label_is_on_the_disk_at_once_and_becomes_a_version(pairs: Store) -> None:
    reviewed = pairs.resolve("iter1.pairs")
    session = Session(pairs, Review.draw(pairs, "iter1.pairs", "reader", 2, 0))
    app = create_app(routes_of(session), token="right")
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        data = data_of(client.get("/?token=right").text)
        assert data["live"] == "label"
        item = data["items"][0]
        label = {name: item[name] for name in ("pair_id", "first_id", "second_id")}
        label |= {
            "choice": "first",
            "person": "mallory",
            "reviewed": "other.pairs@0000000000000000",
        }
        assert client.post("/label", json=label).status_code == 200
        assert client.post("/label", json=label | {"choice": "="}).status_code == 400
        assert client.post("/label", json=label | {"first_id": "chosen 19x"}).status_code == 400
        assert data_of(client.get("/").text)["labels"].keys() == {
            f"{item['first_id']} {item['second_id']}"
        }
        assert pairs.names() == ["iter1.pairs"]

        last = data["items"][1]
        label |= {name: last[name] for name in ("pair_id", "first_id", "second_id")}
        assert client.post("/label", json=label).status_code == 200
    rows = list(pairs.version("iter1.pairs_labels").dicts())
    assert {(row["person"], row["reviewed"]) for row in rows} == {("reader", reviewed.ref)}
    assert len(rows) == 2


def test_a_killed_server_loses_no_label_and_the_next_review_goes_on(
    pairs: Store, tmp_path: Path
) -> None:
    reviewed = pairs.resolve("iter1.pairs")
    for item in draw_items(pairs, reviewed, 3, by="reader"):
        label = {"first_id": item.first_id, "second_id": item.second_id, "choice": "tie"}
        keep_draft(pairs, reviewed, Label(**label, person="reader"))
    [drafts] = (pairs.root / "labels").iterdir()
    with drafts.open("a") as handle:
        handle.write('\n{"first_id": "half a')  # killed while it wrote
    page = tmp_path / "page.html"
    assert srlm_data.write_review("iter1.pairs", by="reader", n=10, output=page, store=pairs) == 7
    assert pairs.resolve("iter1.pairs_labels").notes["people"] == {"reader": 3}
    assert not drafts.exists()
    latest = take_in_drafts(pairs, reviewed)
    assert latest
    assert latest.rows == 3


def test_a_note_of_several_paragraphs_costs_no_label(pairs: Store, tmp_path: Path) -> None:
    note = "as pasted:\u2028two paragraphs\u2029\x85\x0bthree"
    reviewed = pairs.resolve("iter1.pairs")
    [item] = draw_items(pairs, reviewed, 1, by="reader")
    ids = {"first_id": item.first_id, "second_id": item.second_id}
    keep_draft(pairs, reviewed, Label(**ids, choice="first", person="reader", note=note))
    assert take_in_drafts(pairs, reviewed)
    file = tmp_path / "labels.jsonl"
    label = ids | {"choice": "tie", "person": "other", "note": note}
    file.write_text(json.dumps(label, ensure_ascii=False) + "\n", encoding="utf-8")
    srlm_data.import_labels("iter1.pairs", file, store=pairs)
    notes = {row["person"]: row["note"] for row in pairs.version("iter1.pairs_labels").dicts()}
    assert notes == {"reader": note, "other": note}


def test_one_server_has_the_reviews_of_several_people(pairs: Store) -> None:
    reviews = Reviews(pairs)
    app = create_app(reviews.routes, token="right")
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        client.get("/?token=right")
        for by in ("reader", "other & co"):
            opened = client.get("/review/iter1.pairs", params={"by": by, "n": 3})
            data = data_of(opened.text)
            item = data["items"][0]
            label = {name: item[name] for name in ("first_id", "second_id")}
            label |= {"choice": "first", "person": by}
            assert client.post(data["live"], json=label).text == "kept\n"
        for wrong in ("by=reader&n=x", "by=%00", "n=1", "by=reader&seed=-1"):
            refused = client.get(f"/review/iter1.pairs?{wrong}")
            assert refused.status_code == 400
            assert refused.json()["error"].startswith("review: ")
        assert "no dataset 'no.pairs'" in client.get("/review/no.pairs?by=reader").json()["error"]
    reviews.close()
    assert pairs.resolve("iter1.pairs_labels").notes["people"] == {"reader": 1, "other & co": 1}


def test_without_its_packages_a_live_review_says_what_to_do(
    pairs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "is_installed", lambda package: False)
    with pytest.raises(
        MissingError, match=r"'starlette' is not installed. Install it with: .*\[view\].* -o FILE"
    ):
        srlm_data.serve_review("iter1.pairs", by="reader", store=pairs)
