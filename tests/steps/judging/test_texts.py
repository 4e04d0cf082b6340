"""A judge's text is read as a careful person reads it: never a wrong number, few refusals."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from checkout import ROOT
from srlm_data.core.scale import Scale
from srlm_data.steps.judging import texts
from srlm_data.steps.judging.texts import read_score, read_verdict

HERE: Final = Path(__file__).parent
FIELD: Final = ROOT.parent / "shared" / "cases" / "judgments.jsonl"
STATES: Final = {None: "unparsed", "-": "truncated", "!": "out_of_range"}


class Case(NamedTuple):
    """A judge's text, and what a careful reader reads in it."""

    text: str
    finish_reason: str
    reading: Any
    may_refuse: bool
    scale: Scale


def case(text: str, read: Any, scale: tuple[float, float] = (0, 5)) -> Case:
    may_refuse = isinstance(read, str) and read.startswith("~")
    reading = yaml.safe_load(read[1:]) if may_refuse else read
    finish_reason = "length" if text.endswith("⌁") else "stop"
    return Case(text.removesuffix("⌁"), finish_reason, reading, may_refuse, Scale(*scale))


def cases(kinds: dict[str, list[list[Any]]]) -> dict[str, list[Case]]:
    return {kind: [case(*row) for row in rows] for kind, rows in kinds.items()}


def table(name: str) -> Any:
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))


MODELS: Final = table("models.yaml")
SCORES: Final = cases(table("scores.yaml")) | cases(MODELS["scores"])
VERDICTS: Final = cases(table("verdicts.yaml")) | cases(MODELS["verdicts"])


@pytest.mark.parametrize("kind", SCORES)
def test_a_score_is_read_as_a_careful_person_reads_it(kind: str) -> None:
    misread = {}
    for text, finish_reason, expected, may_refuse, scale in SCORES[kind]:
        reading = read_score(text, finish_reason, scale)
        state = STATES.get(expected, "parsed")
        score = float(expected) if state == "parsed" else None
        if reading[:2] != (state, score) and not (may_refuse and reading.score is None):
            misread[text] = reading
    assert misread == {}


@pytest.mark.parametrize("kind", VERDICTS)
def test_a_verdict_is_read_as_a_careful_person_reads_it(kind: str) -> None:
    misread = {}
    for text, finish_reason, expected, may_refuse, _ in VERDICTS[kind]:
        verdict = read_verdict(text, finish_reason)
        state = STATES.get(expected, "parsed")
        right = (state, expected if state == "parsed" else None)
        if verdict != right and not (may_refuse and verdict[0] == "unparsed"):
            misread[text] = verdict
    assert misread == {}


@pytest.mark.skipif(not FIELD.exists(), reason="needs ../shared/cases")
def test_judgments_of_the_field_give_no_wrong_number_and_nearly_all_of_them_are_read() -> None:
    read: Counter[str] = Counter()
    wrong = []
    for line in FIELD.read_text(encoding="utf-8").rstrip().split("\n"):
        case = json.loads(line)
        reading = read_score(case["text"], case["finish_reason"])
        if reading.score is not None and reading.score != case["score"]:
            wrong.append((case["text"], reading))
        if case["state"] != "parsed":
            assert reading.state == case["state"], case["text"]
        elif not case.get("may_refuse"):
            read["plain"] += 1
            read["read"] += reading.score == case["score"]
    assert wrong == []
    assert read["read"] >= 0.95 * read["plain"]


def test_a_failed_request_is_an_error_whatever_its_text() -> None:
    assert read_score("Score: 4", "error").state == "error"
    assert read_verdict("Verdict: A", "error") == ("error", None)


@pytest.mark.parametrize(
    ("text", "scale", "expected"),
    [
        ("Score: 8", Scale(0, 10), 8),
        ("Score: 8/10", Scale(0, 10), 8),
        ("Score: 8/5", Scale(0, 10), "!"),
        ("Score: 10", Scale(1, 10), 10),
        ("Score: 0", Scale(1, 10), "!"),
        ("Score: -2", Scale(-3, 3), -2),
        ("Score: −2", Scale(-3, 3), -2),
        ("Score: - 2", Scale(-3, 3), None),
        ("Score - 2", Scale(-3, 3), None),
        ("Score: -4", Scale(-3, 3), "!"),
        ("Score: 0.75", Scale(0, 1), 0.75),
        ("Score: 1.5", Scale(0, 1), "!"),
        ("Score: 80%", Scale(0, 100), 80),
        ("Score: 80/100", Scale(0, 100), 80),
        ("Score: 1,000", Scale(0, 1000), None),
        ("Score: 2.5/2.5", Scale(0, 2.5), 2.5),
    ],
)
def test_a_score_is_read_on_the_judges_own_scale(text: str, scale: Scale, expected: Any) -> None:
    state = STATES.get(expected, "parsed")
    score = expected if state == "parsed" else None
    assert read_score(f"Fine.\n{text}", "stop", scale)[:2] == (state, score)


def test_the_score_of_a_criterion_is_read_under_its_name() -> None:
    text = "Good.\nHelpfulness: 4\n**Factual accuracy**: 3/5\nSafety: high\nOverall: 5"
    scores = {
        name: read_score(text, "stop", name=name).score
        for name in ("helpfulness", "Factual accuracy", "safety", "style")
    }
    assert scores == {"helpfulness": 4, "Factual accuracy": 3, "safety": None, "style": None}


@pytest.mark.parametrize(
    ("text", "name", "score"),
    [
        ("Factual accuracy: 2\nAccuracy: 4", "factual accuracy", 2),
        ("Factual accuracy: 2\nVisual accuracy: 4", "factual accuracy", 2),
        ("Accuracy: 4\nFactual accuracy: 2", "accuracy", 4),
        ("Helpfulness: 4, Accuracy: 3, Style: 5", "accuracy", 3),
        ('{"grade": 2, "final_grade": 4}', "final_grade", 4),
        ('{"score": 4, "total_score": 9}', "score", 4),
        ('{"finalGrade": 4}', "finalGrade", 4),
        ('{"result": {"score": 4}}', "result.score", 4),
        ("Clarity: 4\nClarity (revised): 3", "clarity", 3),
        ("Accuracy: 4", "factual accuracy", None),
        ("Criterion 1: met\nCriterion 2: 4", "Criterion 1", None),
        ("Criterion 1: 3\nCriterion 2: 4", "Criterion 1", 3),
        ('{"q1": 3, "q2": 4}', "q1", 3),
        ('{"q2": 4}', "q1", None),
        ('{"style": {"reason": "2 slips", "score": 4}, "facts": {"score": 3}}', "style", 4),
        ('{"style": {"score": 4, "max": 10}}', "style", None),
        ('{"style": {"a": {"score": 4}, "b": {"score": 3}}}', "style", None),
        ('[{"criterion": "style", "score": 4}, {"criterion": "facts", "score": 3}]', "facts", 3),
        ("**Style**\nScore: 4/5\n\n**Facts**\nScore: 3/5", "style", 4),
    ],
)
def test_a_name_that_is_a_part_of_another_is_not_read_for_it(
    text: str, name: str, score: float | None
) -> None:
    assert read_score(text, "stop", name=name).score == score


def test_a_reading_says_why() -> None:
    assert "total" in read_score("Score: 1\nTotal: 2", "stop").why
    assert "criterion" in read_score("Score: 1\nScore: 1\nScore: 0", "stop").why
    assert "0 to 5" in read_score("Score: 8", "stop").why


def test_sentences_and_a_score_are_read_the_short_way_as_the_long_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vocabulary = (Path(texts.__file__).parent / "words.yaml").read_text(encoding="utf-8")
    pieces = [*re.findall(r"[^\W\d]+", vocabulary), *"one four half ( ) , * # 3 not user".split()]
    draw = random.Random(0)
    judgments = [
        "".join(
            draw.choice(pieces) + draw.choice([" ", " ", ".\n", ". ", ".\n\n"])
            for _ in range(draw.randint(1, 6))
        )
        + draw.choice([".\nScore: 4", "the end!\n\nScore: 2", "\nScore: 1"])
        for _ in range(3_000)
    ]
    judgments += ["总得分：3。\nScore: 4", "Punktzahl insgesamt 3.\nScore: 4"]
    short = [read_score(judgment, "stop")[:2] for judgment in judgments]
    assert sum(texts._PLAIN.fullmatch(judgment) is not None for judgment in judgments) > 150
    monkeypatch.setattr(texts, "_PLAIN", re.compile(r"(?!)"))
    assert short == [read_score(judgment, "stop")[:2] for judgment in judgments]
    assert short[-2:] == [("parsed", 3), ("parsed", 3)]
