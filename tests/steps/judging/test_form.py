"""A judge is declared: its template, scale, criteria and reader, here or in a file of its own."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from checkout import Cli
from srlm_data.core.templates import Template, load
from srlm_data.steps.judgments import Judge

TEMPLATE = Template("mine", "{prompt}<response>{response}</response>")


def judge(**settings: Any) -> Judge:
    return Judge(template=TEMPLATE, **settings)


def read(text: str, **settings: Any) -> list[tuple[str | None, str, float | None]]:
    readings = judge(**settings).read(text, "stop")
    return [(name, reading.state, reading.score) for name, reading in readings]


def test_a_judgment_of_several_criteria_is_their_weighted_mean_and_a_score_for_each() -> None:
    text = "Helpful: 8\nHonest: 6/10\nBrief: 1"
    criteria = {"helpful": 2, "honest": 1, "brief": 1}
    assert read(text, criteria=criteria, scale=[0, 10]) == [
        (None, "parsed", 5.75), ("helpful", "parsed", 8), ("honest", "parsed", 6),
        ("brief", "parsed", 1),
    ]  # fmt: skip
    assert read(text, criteria=criteria, scale=[0, 10], combine="min")[0][2] == 1


def test_a_judgment_that_lacks_a_criterion_has_no_score() -> None:
    readings = read("Helpful: 4\nHonest: unclear", criteria=["helpful", "honest"])
    assert readings[0] == (None, "unparsed", None)
    assert readings[1] == ("helpful", "parsed", 4)


@pytest.mark.parametrize(
    ("settings", "text", "score"),
    [
        ({"reader": "json", "scale": [0, 10]}, '{"reason": "Score: 3", "score": 8}', 8),
        ({"reader": "json", "scale": [0, 10]}, "Score: 8", None),
        ({"reader": "json", "field": "grade"}, '{"score": 1, "grade": 4}', 4),
        ({"reader": "regex", "regex": r"=> (\d+)"}, "=> 3\n=> 4", 4),
        ({"reader": "regex", "regex": r"=> (\d+)"}, "<think>=> 3</think>", None),
        ({"reader": "regex", "regex": r"(?P<score>\d)/(\d)"}, "3/5", 3),
        ({"reader": "choice", "choices": {"bad": 0, "good": 5}}, "It is.\nGood.", 5),
        ({"reader": "choice", "choices": {"bad": 0, "good": 5}}, "not good", None),
        ({"reader": "choice", "choices": {"bad": 0, "good": 5}}, "The answer says: good", None),
        ({"reader": "choice", "choices": {"bad": 0, "good": 5}}, "So.\n**Grade:** good", 5),
        ({"reader": "choice", "choices": {"bad": 0, "good": 5}}, "Grade:\ngood", 5),
        ({"reader": "choice", "choices": {"bad": 0, "good": 5}}, "评分：good", 5),
        ({"reader": "choice", "choices": {"no": 0, "yes": 5}}, "<score> yes </score>", 5),
        ({"reader": "choice", "choices": {"no": 0, "yes": 5}}, '{"why": "a", "ok":"yes"}', 5),
        ({"reader": "choice", "choices": {"[[C]]": 0, "[[B]]": 5}}, "It is [[C]].\n[[B]]", 5),
        ({"reader": "choice", "choices": {"B": 0, "B+": 5}}, "**Grade:** B+", 5),
        ({"reader": "choice", "choices": {"low": 0, "high": 5}}, "Worth: low\nDoubt: high", None),
        ({"reader": "choice", "choices": {"low": 0, "high": 5}}, "Worth: low, doubt: high", None),
        ({"reader": "choice", "choices": {"low": 0, "high": 5}}, "Doubt: high\nOverall: low", 0),
        ({"scale": [-3, 3]}, "Score: -2", -2),
        ({"scale": [0, 1]}, "Score: 0.25", 0.25),
    ],
)
def test_a_judgment_is_read_as_its_judge_declares(
    settings: dict[str, Any], text: str, score: float | None
) -> None:
    assert read(text, **settings)[0][2] == score


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"scale": [5, 0]}, "lower end"),
        ({"reader": "regex"}, "belong together"),
        ({"reader": "regex", "regex": "("}, "not a regular expression"),
        ({"reader": "choice", "choices": {"good": 9}}, "outside the scale 0 to 5"),
        ({"reader": "choice", "choices": {"a": 1, "A": 2}}, "differ only in case"),
        ({"criteria": ["a", "A"]}, "must have different names"),
        ({"field": "grade"}, "belong together"),
        ({"template": Template("t", "{prompt} {response} {colour}")}, "colour"),
        ({"template": load("judge"), "scale": [0, 10]}, "'judge' asks for one score of 0 to 5"),
        ({"template": load("judge_json"), "criteria": ["a"]}, "need a template of your own"),
    ],
)
def test_a_judge_that_cannot_be_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Judge(**{"template": TEMPLATE, **settings})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "Good.\nScore: 4"),
        ({"scale": [0, 10]}, "Good.\nScore: 10"),
        ({"scale": [-1, 1]}, "Good.\nScore: -1"),
        ({"scale": [0, 1]}, "Good.\nScore: 0.25"),
        ({"scale": [0, 1000]}, "Good.\nScore: 12.5"),
        ({"criteria": ["clear", "right"]}, "Good.\nclear: 3\nright: 2"),
        ({"reader": "regex", "regex": r"=> (?P<score>[0-9])"}, "Good.\n=> 4"),
        ({"reader": "choice", "choices": {"bad": 0, "good": 5}}, "good"),
    ],
)
def test_what_a_guided_judge_may_say_is_what_its_reader_reads(
    settings: dict[str, Any], text: str
) -> None:
    config = judge(guided=True, **settings)
    assert re.fullmatch(config.constraint(64)["pattern"], text)
    assert config.read(text, "stop")[0][1].state == "parsed"


def test_what_a_guided_judge_may_say_changes_only_with_the_revision_of_its_step() -> None:
    # It is code and no setting: an answer has it in its key, a version has the revision alone.
    judges = [
        *(judge(scale=scale) for scale in ([0, 5], [0, 10], [0, 1], [-3, 3], [0, 2.5])),
        judge(criteria=["helpful", "honest"]),
        judge(reader="json", field="grade"),
        judge(reader="json", criteria=["helpful", "honest"], scale=[0, 1]),
        judge(reader="regex", regex=r"(?P<score>\d)/5"),
        judge(reader="choice", choices={"bad": 0, "good": 5}),
    ]
    forms = json.dumps([each.constraint(512) for each in judges], sort_keys=True)
    digest = hashlib.sha256(forms.encode()).hexdigest()[:16]
    assert (Judge.revision, digest) == (2, "cbb9ceadf7d65d05")


@pytest.mark.parametrize("text", ["Score: 4", "Score: 1\nScore: 4", "Good.\nScore: 4\n"])
def test_a_guided_judge_says_why_first_and_ends_with_its_one_score(text: str) -> None:
    pattern = judge(guided=True).constraint(64)["pattern"]
    assert not re.fullmatch(pattern, text)
    assert re.fullmatch(pattern, "So it is.\nScores vary.\n\nSc\nScore: 4") is None
    assert re.fullmatch(pattern, "So it is.\n\nIt scores well.\nScore: 4")


def test_a_guided_judge_of_json_writes_reasons_first_then_numbers_of_its_scale() -> None:
    schema = judge(guided=True, reader="json", scale=[0, 10], criteria=["a", "b"]).constraint(64)
    properties = schema["json_schema"]["properties"]
    assert list(properties) == ["reason", "a", "b"]
    assert properties["reason"]["maxLength"] == 64 - len('{"reason": "", "a": 10, "b": 10}')
    assert properties["a"] == {"type": "integer", "minimum": 0, "maximum": 10}
    fractions = judge(guided=True, reader="json", scale=[0, 1]).constraint(64)["json_schema"]
    assert fractions["properties"]["score"] == {"type": "number", "minimum": 0, "maximum": 1}


# Through the command line ------------------------------------------------------------------------

RECIPE = """\
engine: {kind: 'grading:open_grading'}
datasets:
  model: {step: 'toy:toy_model'}
  prompts: {step: read_prompts, files: [prompts.jsonl]}
  candidates: {step: generate, prompts: prompts, model: model, n: 2}
"""
JUDGE = """\
  {name}: {{step: judge, candidates: candidates, model: model, repeats: 1, judge: {name}.yaml}}
  {name}_pairs: {{step: pair, candidates: candidates, judgments: {name}}}
"""
PANEL = """\
  panel:
    step: combine_judges
    candidates: candidates
    judges: {ten: ten, given: given, korean: korean}
    scale: [0, 5]
  panel_pairs: {step: pair, candidates: candidates, judgments: panel}
"""
SHOWN = "{prompt}\n<response>\n{response}\n</response>\n"
JUDGES = {
    "ten": ("scale: [0, 10]\nreader: json\n", SHOWN + '{"reason": "So.", "score": #}'),
    "three": (
        "scale: [0, 10]\ncriteria: {helpful: 2, honest: 1, brief: 1}\n",
        SHOWN + "helpful: #/nhonest: #/nbrief: 4",
    ),
    "given": ("scale: [0, 10]\n", "Right: {reference}\n" + SHOWN + "Score: #"),
    "korean": ("scale: [1, 10]\n", "질문: " + SHOWN + "설명이 좋습니다./n최종 점수는 #점입니다."),
}


@pytest.fixture
def judged(cli: Cli, project: Path) -> Cli:
    lines = [{"prompt": f"What is {n}?", "reference": f"It is {n}."} for n in range(3)]
    (project / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, (settings, template) in JUDGES.items():
        (project / f"{name}.txt").write_text(template, encoding="utf-8")
        (project / f"{name}.yaml").write_text(f"template: {name}.txt\n{settings}")
    text = RECIPE + "".join(JUDGE.format(name=name) for name in JUDGES) + PANEL
    (project / "mine.yaml").write_text(text)
    return cli


def test_declared_judges_go_from_plan_to_card(judged: Cli, project: Path) -> None:
    def ask(query: str) -> list[dict[str, Any]]:
        answer = judged("sql", "--format", "json", query)
        assert answer.returncode == 0, answer.stderr
        return [json.loads(line) for line in answer.stdout.splitlines()]

    assert judged("plan", "mine.yaml").returncode == 0
    built = judged("build", "mine.yaml")
    assert built.returncode == 0, built.stderr
    assert "warning:" not in built.stderr
    for name in [*JUDGES, "panel"]:
        [row] = ask(f"SELECT count(*) AS n FROM mine.{name}_pairs")
        assert row == {"n": 3}, name
    assert ask("SELECT DISTINCT scale_low, scale_high FROM mine.korean") == [
        {"scale_low": 1.0, "scale_high": 10.0}
    ]
    assert ask(
        "SELECT criterion, max(score) AS best FROM mine.three GROUP BY ALL ORDER BY ALL"
    ) == [
        {"criterion": "brief", "best": 4.0}, {"criterion": "helpful", "best": 8.0},
        {"criterion": "honest", "best": 8.0}, {"criterion": None, "best": 7.0},
    ]  # fmt: skip
    assert ask("SELECT count(*) AS n FROM all_judgments WHERE dataset = 'mine.three'") == [{"n": 6}]
    assert ask(
        "SELECT criterion, count(*) AS n, max(score) AS best FROM mine.panel GROUP BY ALL "
        "ORDER BY ALL"
    ) == [
        {"criterion": "given", "n": 6, "best": 4.0},
        {"criterion": "korean", "n": 6, "best": pytest.approx(35 / 9)},
        {"criterion": "ten", "n": 6, "best": 4.0},
        {"criterion": None, "n": 6, "best": pytest.approx(107 / 27)},
    ]
    report = judged("report", "mine", "-o", "page.html")
    assert report.returncode == 0, report.stderr
    page = (project / "page.html").read_text(encoding="utf-8")
    assert re.search(r'"alpha": ?"-?\d', page)
    for name, states in {"three": "parsed 6", "panel": "parsed 6"}.items():
        card = judged("publish", f"mine.{name}", "--repo", f"me/{name}", "--dry-run")
        assert card.returncode == 0, card.stderr
        assert f"States of the judgments: {states}." in card.stdout
        assert "0.0 % |\n" in card.stdout  # without a score
    assert "`korean` scored 6 answers and abstained from 0" in card.stdout


def test_a_setting_of_a_judges_file_is_not_set_twice(judged: Cli, project: Path) -> None:
    recipe = (project / "mine.yaml").read_text()
    (project / "mine.yaml").write_text(recipe.replace("ten.yaml", "ten.yaml, scale: [0, 3]"))
    plan = judged("plan", "mine.yaml")
    assert plan.returncode == 2
    assert "judge 'ten.yaml': set in the recipe too: scale" in plan.stderr
    with (project / "ten.yaml").open("a") as file:
        file.write("reader: line\n")
    plan = judged("plan", "mine.yaml")
    assert re.search(r"judge ten.yaml:\d: 'reader' is given twice\.", plan.stderr)


def test_a_judges_text_is_identity_and_its_files_name_is_not(judged: Cli, project: Path) -> None:
    assert judged("build", "mine.yaml").returncode == 0
    (project / "ten.yaml").rename(project / "other.yaml")
    recipe = (project / "mine.yaml").read_text()
    (project / "mine.yaml").write_text(recipe.replace("ten.yaml", "other.yaml"))
    assert "0 of 13 datasets" in judged("plan", "mine.yaml").stdout
    (project / "other.yaml").write_text("template: ten.txt\nreader: json\nscale: [0, 12]\n")
    assert "4 of 13 datasets" in judged("plan", "mine.yaml").stdout
