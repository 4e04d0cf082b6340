"""Where rows, models and versions come from, and what came of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import toy
from builders import answer, example, judged, preferred, prompt
from checkout import Cli
from srlm_data.analysis.lineage import Edge, Lineage, Node, lineage
from srlm_data.analysis.lineage.gist import gist
from srlm_data.core.errors import DataError, StoreError
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows
from srlm_data.core.schema import (
    CANDIDATES,
    EXAMPLES,
    JUDGMENTS,
    MESSAGES,
    MODELS,
    PAIRS,
    PROMPTS,
    DatasetType,
)
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.store import Manifest, Store

TEXT = "<script>alert(1)</script> [bold]x[/bold] \x1b[2J"


def write(
    store: Store,
    name: str,
    dataset_type: DatasetType,
    rows: list[dict[str, Any]],
    **inputs: Manifest,
) -> Manifest:
    return store.commit(
        f"toy.{name}",
        Rows.of(dataset_type, rows),
        identity={"of": name},
        inputs=list(inputs.items()),
    )


def say(identity: str, response: str = "So.") -> dict[str, Any]:
    return answer("prompt1", response, "m1", candidate_id=identity, prompt=user("Why?"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A whole iteration by hand, so that every id and every edge is known.

    question -> reply -> example -> prompt1 -> best, worst -> pair -> m2; m0 wrote the prompts, m1
    the answers and their judgments.
    """
    store = Store(tmp_path_factory.mktemp("built") / "store")
    turn = {"tree_id": "t", "deleted": False, "synthetic": True}
    messages = write(store, "messages", MESSAGES, [
        turn | {"message_id": "question", "role": "prompter", "text": "Who?"},
        turn | {"message_id": "reply", "role": "assistant", "text": "I.", "parent_id": "question"},
    ])  # fmt: skip
    shown = example("Who?", "I.", example_id="example", prompt_id="shown", source_id="reply")
    examples = write(store, "ift", EXAMPLES, [shown], messages=messages)
    m0 = write(store, "m0", MODELS, [{"model": "m0", "method": "checkpoint", "location": "p:/"}])
    m1 = write(store, "m1", MODELS, [
        {"model": "m1", "base": "m0", "method": "sft", "location": "p:/", "examples": 1},
    ], model=m0, **{"data[0]": examples})  # fmt: skip
    prompts = write(store, "prompts", PROMPTS, [
        prompt(text, prompt_id=name, source="self", model="m0", source_ids=shown)
        for name, text, shown in (
            ("prompt0", "How?", ["shown"]), ("prompt1", "Why?", ["shown", "prompt0"])
        )
    ], examples=examples, model=m0)  # fmt: skip
    best, worst, spare = say("best", TEXT), say("worst"), say("spare")
    candidates = write(
        store, "candidates", CANDIDATES, [best, worst, spare],
        prompts=prompts, model=m1,
    )  # fmt: skip
    judgments = write(store, "judgments", JUDGMENTS, [
        row | {"judgment_id": f"{row['candidate_id']}{row['repeat']}"}
        for said, score in ((best, 5), (worst, 1), (spare, 3))
        for row in judged(said, score, score, model="m1")
    ], candidates=candidates, model=m1)  # fmt: skip
    pairs = write(store, "pairs", PAIRS, [
        preferred(best, worst, pair_id="pair", margin=4, model="m1")
    ], candidates=candidates, judgments=judgments)  # fmt: skip
    write(store, "m2", MODELS, [
        {"model": "m2", "base": "m1", "reference": "m1", "method": "dpo", "location": "p:/"},
    ], model=m1, reference=m1, pairs=pairs)  # fmt: skip
    return store


def edges(graph: Lineage) -> set[tuple[str, str, str]]:
    """(source, role, target), versions without their hash."""
    names = [one.id.split("@")[0] for one in graph.nodes]
    return {(names[one.source], one.role, names[one.target]) for one in graph.edges}


def test_a_pair_leads_through_its_answers_to_the_seed_and_the_models(store: Store) -> None:
    assert edges(lineage("pair", store=store)) == {
        ("pair", "chosen", "best"),
        ("pair", "rejected", "worst"),
        *((one, "answer to", "prompt1") for one in ("best", "worst")),
        *((one, "written by", "m1") for one in ("best", "worst")),
        *((one, "scored by", f"{one}{i}") for one in ("best", "worst") for i in range(2)),
        *((f"{one}{i}", "written by", "m1") for one in ("best", "worst") for i in range(2)),
        ("prompt1", "made from", "example"),
        ("prompt1", "made from", "prompt0"),
        ("prompt1", "written by", "m0"),
        ("example", "made from", "reply"),
        ("reply", "reply to", "question"),
        ("m1", "began as", "m0"),
        ("m1", "read data[0]", "toy.ift"),
    }


def test_a_judgment_leads_to_its_answer_and_not_to_its_siblings(store: Store) -> None:
    found = edges(lineage("spare1", store=store))
    assert ("spare1", "judgment of", "spare") in found
    assert ("spare", "answer to", "prompt1") in found
    assert not [one for one in found if "scored by" in one]


def test_a_made_prompt_that_was_shown_is_named_and_not_followed(store: Store) -> None:
    assert not [one for one in edges(lineage("pair", store=store)) if one[0] == "prompt0"]
    assert ("prompt0", "made from", "example") in edges(lineage("prompt0", store=store))


def test_a_model_leads_to_what_it_began_as_and_was_trained_on(store: Store) -> None:
    assert edges(lineage("m2", store=store)) == {
        ("m2", "began as", "m1"),
        ("m2", "measured from", "m1"),
        ("m2", "read pairs", "toy.pairs"),
        ("m1", "began as", "m0"),
        ("m1", "read data[0]", "toy.ift"),
    }


def test_down_leads_from_a_message_to_the_model_that_learned_from_it(store: Store) -> None:
    found = edges(lineage("question", down=True, store=store))
    assert {
        ("question", "replied to by", "reply"),
        ("reply", "made into", "example"),
        ("example", "made into", "prompt1"),
        ("example", "trained", "m1"),
        ("prompt1", "answered by", "best"),
        ("best", "judged in", "best0"),
        ("best", "chosen in", "pair"),
        ("worst", "rejected in", "pair"),
        ("pair", "trained", "m2"),
        ("m1", "became", "m2"),
        ("m1", "model of", "toy.candidates"),
    } < found


def test_down_follows_so_many_rows_and_counts_the_rest(store: Store) -> None:
    graph = lineage("prompt1", down=True, limit=1, store=store)
    answers = [one for one in graph.nodes if one.type == "candidates"]
    assert len(answers) == 1
    assert graph.hidden[0] == {"answered by": 2}


def test_a_version_leads_to_the_versions_that_it_read_and_back(store: Store) -> None:
    up = edges(lineage("toy.pairs", store=store))
    assert ("toy.pairs", "judgments", "toy.judgments") in up
    assert ("toy.ift", "messages", "toy.messages") in up
    ref = store.resolve("toy.ift").ref
    down = edges(lineage(ref, down=True, store=store))
    assert ("toy.ift", "data[0]", "toy.m1") in down
    assert ("toy.pairs", "pairs", "toy.m2") in down


def test_the_beginning_of_an_id_is_enough_where_it_is_only_ones(store: Store) -> None:
    assert lineage("exam", store=store).nodes[0].id == "example"
    assert lineage("pair", store=store).nodes[0].id == "pair"
    with pytest.raises(DataError, match=r"found best \(candidates\), best0 \(judgments\), "):
        lineage("bes", store=store)


def test_an_id_with_a_dot_is_no_dataset(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    write(store, "ranked", CANDIDATES, [say("my.answer")])
    assert lineage("my.answer", store=store).nodes[0].id == "my.answer"


def test_an_id_that_is_nowhere_is_one_sentence(store: Store) -> None:
    with pytest.raises(StoreError, match="nope: no row and no model in the store"):
        lineage("nope", store=store)
    with pytest.raises(StoreError, match=r"no dataset 'toy\.pears'"):
        lineage("toy.pears", store=store)


def test_a_row_of_several_versions_is_one_row_of_the_one_that_is_nearest(tmp_path: Path) -> None:
    store = toy.build_once(tmp_path)
    first = store.resolve("toy.pairs").ref
    build(load(toy.write_recipe(tmp_path, ("repeats: 2", "repeats: 3"))), store)
    pair = next(store.rows(store.resolve("toy.pairs")).dicts())
    graph = lineage(pair["pair_id"], store=store)
    assert graph.nodes[0].where != first
    judged = [one for one in graph.nodes if one.type == "judgments"]
    assert {one.where for one in judged} == {store.resolve("toy.judgments").ref}
    assert len(judged) == 6


def test_a_parent_that_the_store_has_not_is_said_to_be_missing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    write(store, "ranked", CANDIDATES, [say("alone")])
    graph = lineage("alone", store=store)
    absent = {one.id: (one.where, one.text) for one in graph.nodes[1:]}
    assert absent == {"prompt1": (None, "Why?"), "m1": (None, "not in this store")}


def test_a_damaged_version_hides_no_other(store: Store, tmp_path: Path) -> None:
    own = toy.build_once(tmp_path)
    own.files(own.resolve("toy.judgments"))[0].unlink()
    pair = next(own.rows(own.resolve("toy.pairs")).dicts())
    kinds = {one.type for one in lineage(pair["pair_id"], store=own).nodes}
    assert kinds == {"pairs", "candidates", "prompts", "models"}


ROWS: Mapping[str, tuple[dict[str, Any], str]] = {
    "judgments": ({"state": "truncated", "score": None, "text": "So"}, "truncated: So"),
    "scores": ({"method": "elo", "score": 2.5}, "elo: 2.5"),
    "comparisons": ({"winner": None, "state": "unparsed", "text": "Hm"}, "unparsed: Hm"),
    "metrics": ({"metric": "spearman", "value": 0.51234}, "spearman = 0.5123"),
    "messages": ({"role": "prompter", "text": "a\n b"}, "prompter: a b"),
    "candidates": ({"response": "x" * 99}, "x" * 77 + "..."),
}


@pytest.mark.parametrize("dataset_type", ROWS)
def test_a_row_is_told_in_one_line(dataset_type: str) -> None:
    row, line = ROWS[dataset_type]
    assert gist(dataset_type, row) == line


# The drawing --------------------------------------------------------------------------------


def test_a_drawing_has_every_node_and_edge_and_a_model_can_only_write_text() -> None:
    evil = '"]; end %% </b><script>alert(1)</script> `x` #35; \x1b[2J | -->\n click n0 call'
    nodes = [
        Node("pairs", "p" * 32, "toy.pairs@0123456789abcdef", "by 4: a > b"),
        Node("prompts", "c" * 32, None, evil),
        Node("version", "toy.ift@0123456789abcdef", "toy.ift@0123456789abcdef", "2 examples"),
    ]
    graph = Lineage(False, nodes, [Edge(0, 1, "chosen"), Edge(1, 2, evil)], {0: {"judged in": 9}})
    head, *lines = graph.mermaid().splitlines()
    assert head == "flowchart LR"
    assert lines[0] == (
        '    n0["pair pppppppp<br>+9 judged in<br>by 4: a #62; b<br>toy.pairs@01234567"]'
    )
    text = r"(?:[\w .,:@/+-]|#\d+;|<br>)*"
    for line in lines:
        assert re.fullmatch(rf'    n\d+(\["{text}"\]| -->\|"{text}"\| n\d+)', line), line
    assert lines[2] == '    n2["toy.ift@01234567<br>2 examples"]'
    assert "<script" not in graph._repr_html_()


# The command --------------------------------------------------------------------------------


def test_the_command_draws_a_tree_in_which_a_model_can_only_be_quoted(
    cli: Cli, store: Store
) -> None:
    told = cli("--store", store.root, "lineage", "pair").stdout
    assert told.startswith("pair pair  toy.pairs@")
    assert "├── chosen: candidate best  toy.candidates@" in told
    assert "written by: model m1  toy.m1@" in told
    assert "(see above)" in told
    assert "[bold]x[/bold] \N{SYMBOL FOR ESCAPE}[2J" in told
    assert "\x1b" not in told
    down = cli("--store", store.root, "lineage", "prompt1", "--down", "--limit", "1").stdout
    assert "answered by: 2 more" in down


def test_the_command_prints_json(cli: Cli, store: Store) -> None:
    graph = json.loads(cli("--store", store.root, "lineage", "pair", "--json").stdout)
    assert graph["nodes"][0] == {
        "type": "pairs", "id": "pair", "where": store.resolve("toy.pairs").ref,
        "text": "by 4: <script>alert(1)</script> [bold]x[/bold] \x1b[2J > So.",
    }  # fmt: skip
    assert {"source": 0, "target": 1, "role": "chosen"} in graph["edges"]


def test_the_command_draws_for_mermaid(cli: Cli, store: Store, project: Path) -> None:
    for name in ("graph.mmd", "graph.md"):
        answer = cli("--store", store.root, "lineage", "pair", "-o", name)
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    chart = (project / "graph.mmd").read_text()
    assert chart == lineage("pair", store=store).mermaid()
    assert (project / "graph.md").read_text() == f"```mermaid\n{chart}```\n"
    refused = cli("--store", store.root, "lineage", "pair", "-o", "graph.png")
    assert refused.returncode == 2
    assert "must end in .mmd or .md, found 'graph.png'" in refused.stderr
