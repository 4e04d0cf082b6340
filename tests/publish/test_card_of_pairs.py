"""What a card shows of its data: sample pairs, a picture, languages, a citation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import huggingface_hub
import pytest
from markdown_it import MarkdownIt

import toy
from checkout import Cli
from commands import ran
from hub_repos import Hub
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.publish import _funnel_picture as funnel_picture
from srlm_data.publish._bundle import select
from srlm_data.publish._header import license_header
from srlm_data.publish._push import Upload, prepare_dataset
from srlm_data.report.funnel import Step
from srlm_data.store import Store

HOSTILE = (
    "```\n````\n</details><script>alert(1)</script>\n# Not a heading\n![x](https://evil.example/x)\n"
    "---\n| a | b |\n\u202eright to left\x1b[2J <img src=x onerror=alert(1)> &lt; {brace} %s\n"
)
SVG = "{http://www.w3.org/2000/svg}"


def pair(number: int, margin: float, text: str = "") -> dict[str, Any]:
    return {
        "prompt": f"Question {number}? {text}",
        "chosen": f"Good {number}. {text}",
        "rejected": f"Bad {number}. {text}",
        "score_chosen": 10.0,
        "score_rejected": 10.0 - margin,
    }


PAIRS = [
    pair(1, 9, HOSTILE),
    pair(2, 5),
    pair(3, 4, "word " * 2000),
    pair(4, 2),
    pair(5, 1, "see /" + "home/bob/notes"),  # the narrowest, and nobody's to see
]


def publication(folder: Path, *, settings: str = "", rows: Any = PAIRS, **words: Any) -> Upload:
    """What would be published of pairs that were read."""
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mine.yaml").write_text(
        "datasets:\n  pairs: {step: read_pairs, files: [mine.jsonl], chosen_score: score_chosen, "
        f"rejected_score: score_rejected{settings}}}\n"
    )
    store = Store(folder / "store")
    build(load(folder / "mine.yaml"), store)
    return prepare_dataset(select(store, ["mine"]), store, repo="ada/mine", tag="v1", **words)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> str:
    return publication(tmp_path_factory.mktemp("mine")).card


def header(card: str) -> dict[str, Any]:
    fields: dict[str, Any] = huggingface_hub.DatasetCard(card).data.to_dict()
    return fields


def test_the_widest_the_median_and_the_narrowest_margin_are_shown(card: str) -> None:
    headings = re.findall(r"^### (.* margin: .*)$", card, re.MULTILINE)
    assert headings == ["Widest margin: 9", "Median margin: 4", "Narrowest margin: 2"]
    section = card.split("## Sample pairs")[1].split("\n## ", maxsplit=1)[0]
    assert "Chosen, score 10\n\n```text\nGood 3. word word" in section
    assert "Rejected, score 8\n\n```text\nBad 4. \n```" in section
    assert "… (10,008 characters in all)" in section
    assert "bob" not in card
    assert len(section) < 12_000


def test_no_text_of_a_model_is_obeyed_by_the_card(card: str) -> None:
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(card)
    fences = [token.content for token in tokens if token.type == "fence"]
    assert sum("<script>alert(1)</script>" in content for content in fences) == 3
    rest = "".join(
        child.content
        for token in tokens
        for child in [token, *(token.children or ())]
        if token.type != "fence"
    )
    for word in ("<script", "evil", "Not a heading", "onerror"):
        assert word not in rest
    assert not {"html_block", "html_inline"} & {
        child.type for token in tokens for child in [token, *(token.children or ())]
    }
    assert not set("\u202e\x1b") & set(card)


def test_fewer_than_three_pairs_are_shown_once_each(tmp_path: Path) -> None:
    card = publication(tmp_path, rows=PAIRS[3:4]).card
    assert re.findall(r"^### (.*)$", card.split("## Load it")[0], re.MULTILINE) == [
        "Widest margin: 2"
    ]


def test_pairs_without_scores_are_samples_too(tmp_path: Path) -> None:
    rows = [row | {"score_chosen": None, "score_rejected": None} for row in PAIRS[1:4]]
    card = publication(tmp_path, rows=rows).card
    assert card.split("## Load it")[0].count("### A pair\n\nPrompt\n\n```text\n") == 3


# The header -----------------------------------------------------------------------------------


def test_the_header_is_what_the_hub_and_datasets_read(card: str) -> None:
    fields = header(card)
    assert fields["size_categories"] == ["n<1K"]
    assert "language" not in fields
    from datasets.utils.metadata import MetadataConfigs

    configs = MetadataConfigs.from_dataset_card_data(huggingface_hub.DatasetCard(card).data)
    assert configs.get_default_config_name() == "pairs"
    assert configs["pairs"]["data_files"] == [
        {"split": "train", "path": "pairs/splits/train-*.parquet"},
        {"split": "test", "path": "pairs/splits/test-*.parquet"},
    ]
    assert re.search(r"^Languages: unknown; not said of `mine.pairs@\w{16}`\.$", card, re.MULTILINE)


@pytest.mark.parametrize(
    ("settings", "words", "languages", "sentence"),
    [
        (", language: en", {}, ["en"], "Languages: `en`, as the inputs say."),
        (", language: no", {}, ["no"], "Languages: `no`, as the inputs say."),
        (", language: [de, pt-BR]", {}, ["de", "pt"], "Languages: `de`, `pt-BR`, as the inputs"),
        ("", {"languages": ["fr"]}, ["fr"], "Languages: `fr`, as declared by the publisher."),
    ],
)
def test_languages_are_those_that_somebody_has_said(
    tmp_path: Path, settings: str, words: dict[str, Any], languages: list[str], sentence: str
) -> None:
    card = publication(tmp_path, settings=settings, **words).card
    assert header(card)["language"] == languages
    assert header(card).get("language_bcp47") == (["pt-BR"] if "BR" in settings else None)
    assert sentence in card


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["Apache-2.0"], {"license": "apache-2.0"}),
        (["CC BY 4.0"], {"license": "cc-by-4.0"}),
        (["Proprietary"], {"license": "other", "license_name": "proprietary"}),
        (["gpl-3.0-or-later"], {"license": "other", "license_name": "gpl-3.0-or-later"}),
        (["©"], {"license": "other", "license_name": "own"}),
        (["mit", "apache-2.0"], {"license": "other"}),
        ([], {"license": "unknown"}),
    ],
)
def test_a_license_is_written_as_the_hub_takes_it(names: list[str], wanted: dict[str, str]) -> None:
    assert license_header(names) == wanted


def test_a_language_that_is_no_code_is_refused(cli: Cli, project: Path) -> None:
    (project / "mine.jsonl").write_text(json.dumps(PAIRS[0]))
    (project / "mine.yaml").write_text(
        "datasets:\n  pairs: {step: read_pairs, files: [mine.jsonl], language: English}\n"
    )
    answer = cli("plan", "mine.yaml")
    assert answer.returncode == 2
    assert "a language is an ISO 639 code such as en or pt-BR, found 'English'" in answer.stderr


def message(number: int, role: str, lang: str, parent: str | None) -> dict[str, Any]:
    return {
        "message_id": f"m{number}",
        "parent_id": parent,
        "message_tree_id": parent or f"m{number}",
        "role": role,
        "text": f"text {number}",
        "lang": lang,
        "rank": 0 if parent else None,
        "review_result": True,
        "deleted": False,
        "synthetic": False,
    }


def test_messages_say_their_languages_and_pulled_data_brings_them_along(
    cli: Cli, hub: Hub, project: Path
) -> None:
    rows = [
        message(number + reply, ("prompter", "assistant")[reply], lang, reply and f"m{number}")
        for number, lang in ((0, "en"), (10, "pt-BR"))
        for reply in (0, 1)
    ]
    rows = [row | {"parent_id": row["parent_id"] or None} for row in rows]
    (project / "oasst.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (project / "seed.yaml").write_text(
        "datasets:\n"
        "  messages: {step: read_messages, files: [oasst.jsonl]}\n"
        "  ift: {step: select_ift, messages: messages, n: null}\n"
        "  every: {step: select_ift, messages: messages, n: null, lang: null}\n"
        "  benchmark: {step: read_prompts, files: [oasst.jsonl], column: message_id}\n"
        "  clean: {step: decontaminate, rows: ift, against: {benchmark: benchmark}}\n"
    )
    store = Store(project / "theirs")
    build(load(project / "seed.yaml"), store)
    for name, languages in (
        ("ift", ["en"]), ("clean", ["en"]), ("every", ["en", "pt"]), ("messages", ["en", "pt"]),
    ):  # fmt: skip
        upload = prepare_dataset(select(store, [f"seed.{name}"]), store, repo="ada/seed")
        assert header(upload.card)["language"] == languages, name
    silent = prepare_dataset(select(store, ["seed"]), store, repo="ada/seed").card
    assert "language" not in header(silent)
    benchmark = store.resolve("seed.benchmark").ref
    assert f"Languages: `en`, `pt-BR` and others; not said of `{benchmark}`." in silent
    first = [each["config_name"] for each in header(silent)["configs"] if each.get("default")]
    assert first == ["every"]  # it is split: what trainers read comes first

    ran(cli("--store", "theirs", "publish", "seed.ift", "--repo", "ada/seed", "--tag", "v1"))
    lines = ran(cli("pull", "ada/seed@v1")).split("In a recipe:\n")[1]
    (project / "mine.yaml").write_text(
        f"datasets:\n{lines}  all: {{step: sql, inputs: {{ift: ift}}, query: FROM ift}}\n"
    )
    store = Store(project / "store")
    build(load(project / "mine.yaml"), store)
    mine = prepare_dataset(select(store, ["mine.all"]), store, repo="ada/mine")
    assert header(mine.card)["language"] == ["en"]


# The picture and the citation -----------------------------------------------------------------


def test_the_picture_shows_what_came_and_what_went_on_at_each_step(tmp_path: Path) -> None:
    store = toy.build_once(tmp_path)
    upload = prepare_dataset(select(store, ["toy"]), store, repo="ada/toy")
    pairs = store.resolve("toy.pairs")
    words = f"6 prompts, 24 answers, 48 judgments, {pairs.rows} pairs"
    assert f"![From seed to pairs: {words}](pairs/funnel.svg)" in upload.card
    content = upload.files["pairs/funnel.svg"]
    assert isinstance(content, bytes)
    picture = ElementTree.fromstring(content)  # noqa: S314 - our own
    assert picture.findtext(f"{SVG}title") == words
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    for kept, came in (
        (6, 6),
        (24, 24),
        (48, 48),
        (pairs.rows, pairs.rows + sum(pairs.drops.values())),
    ):
        assert f"{kept} of {came}" in texts
    bars = [bar for bar in picture.iter(f"{SVG}rect") if bar.get("class") == "kept"]
    assert [float(bar.get("width", "")) for bar in bars] == [
        400, 400, 400, round(400 * pairs.rows / 6, 1),
    ]  # fmt: skip
    assert len(content) < 6_000


def test_the_picture_is_small_and_well_formed_whatever_a_step_calls_its_drops() -> None:
    drops = {f"<script>{number}&\x00\ufffe\u202e{'x' * 9000}": number for number in range(1, 500)}
    steps = [
        Step(f"{'a' * 90}.{'b' * 90}@{number:016x}", "answers", 10**9, 10**8, drops, 4.0)
        for number in range(40)
    ]
    text = funnel_picture.draw(steps)
    picture = ElementTree.fromstring(text)  # noqa: S314 - our own
    assert len(text) < 20_000
    assert not list(picture.iter(f"{SVG}script"))
    assert "the last 12 of 40 steps" in text


def test_method_and_data_can_be_cited(tmp_path: Path) -> None:
    upload = publication(tmp_path)
    [block] = re.findall(r"```bibtex\n(.*?)```", upload.card, re.DOTALL)
    paper, data = re.split(r"\n\n", block.strip())
    assert paper.startswith("@inproceedings{yuan2024selfrewarding,\n")
    assert "2401.10020" in paper
    assert data.startswith("@misc{ada_mine,\n")
    made = str(upload.card.split("| mine.pairs | ")[1].split("|")[3]).strip()
    assert f"  year      = {{{{{made[:4]}}}}},\n" in data
    assert "url       = {https://huggingface.co/datasets/ada/mine}\n" in data
    for entry in (paper, data):
        assert entry.count("{") == entry.count("}")
