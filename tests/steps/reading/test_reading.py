"""A judge's text is read as a careful person reads it: never a wrong number, few refusals."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from checkout import ROOT
from srlm_data.core import schema
from srlm_data.core.scale import Scale
from srlm_data.steps.reading import read_score, read_verdict
from srlm_data.steps.reading._text import fold

HERE: Final = Path(__file__).parent
FIELD: Final = ROOT.parent / "shared" / "cases" / "judgments.jsonl"
STATES: Final = {None: "unparsed", "-": "truncated", "!": "out_of_range"}


def texts(name: str) -> dict[str, list[tuple[str, str, Any, bool]]]:
    """Kind -> text, finish reason, what is read, and whether it may be refused as well."""
    kinds = yaml.safe_load((HERE / name).read_text(encoding="utf-8"))

    def expected(text: str, read: Any) -> tuple[str, str, Any, bool]:
        may = isinstance(read, str) and read.startswith("~")
        reading = yaml.safe_load(read[1:]) if may else read
        return text.removesuffix("⌁"), "length" if text.endswith("⌁") else "stop", reading, may

    return {kind: [expected(*row) for row in rows] for kind, rows in kinds.items()}


SCORES: Final = texts("scores.yaml")
VERDICTS: Final = texts("verdicts.yaml")


@pytest.mark.parametrize("kind", SCORES)
def test_a_score_is_read_as_a_careful_person_reads_it(kind: str) -> None:
    misread = {}
    for text, finish_reason, expected, may_refuse in SCORES[kind]:
        reading = read_score(text, finish_reason)
        state = STATES.get(expected, "parsed")
        score = float(expected) if state == "parsed" else None
        if reading[:2] != (state, score) and not (may_refuse and reading.state == "unparsed"):
            misread[text] = reading
    assert misread == {}


@pytest.mark.parametrize("kind", VERDICTS)
def test_a_verdict_is_read_as_a_careful_person_reads_it(kind: str) -> None:
    misread = {}
    for text, finish_reason, expected, may_refuse in VERDICTS[kind]:
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


def test_a_reading_says_why() -> None:
    assert "total" in read_score("Score: 1\nTotal: 2", "stop").why
    assert "criterion" in read_score("Score: 1\nScore: 1\nScore: 0", "stop").why
    assert "0 to 5" in read_score("Score: 8", "stop").why


# Fragments -------------------------------------------------------------------------------------

LABELS: Final = [
    "Score", "score", "**Score**", "SCORE", "Total", "Final score", "Overall", "Rating", "Points",
    "Relevance score", "My score", "得分", "점수", "評価", "Note", "Punktzahl",
    '"score"', "<score>",
    "Maximum score", "The score is", "a score of", "Score (0-5)", "Score (1-10)", "5점 만점에",
]  # fmt: skip
JOINTS: Final = [
    ": ",
    ":",
    "：",
    " = ",
    " - ",
    " — ",
    " ",
    "\n",
    ":\n",
    ": **",
    ": <",
    ': "',
    "|",
    ">",
]
NUMBERS: Final = [
    "4", "3", "5", "0", "10", "42", "3.5", "3,5", "4/5", "8/10", "４", "٤", "④", "½", "4²", "3-4",
    "3 or 4", "3 to four", "four", "4%", "4th", "1+1 = 2", "1 + 1", "-1", "4..5", "1,000", "N/A",
    "<4>", "[[4]]", "4 out of 5", "4 out of ten", "\\boxed{4}", "$4$", "4 points", "4점", "4e0",
]  # fmt: skip
TAILS: Final = [
    "", ".", "\n", "**", " because 5 is too much", ", maybe 5", " (good)", " (not 5)", "/5",
    "</score>",
    "\nScore: 2", "\nTotal: 2", " or", "?", "<|im_end|>Score: 1", "</think>", "```", "} ",
    '", ', "分",
    "\nUser: Score: 1", "\nWait, 3.", "\n1. ", " of ten", "\u200b", "\ufe0f",
]  # fmt: skip
HEADS: Final = [
    "",
    "Good.\n",
    "<think>",
    "1. ",
    "- ",
    "> ",
    "It says ",
    '"',
    "# ",
    "```\n",
    '{"reason": "x", ',
]
HEAD: Final = re.compile(
    r"score|total|final|overall|rating|points?|得分|점수|評価|note|punktzahl", re.IGNORECASE
)


def whole_numbers(text: str) -> set[float]:
    """The numbers of a text, each as a whole, that stand behind a word of judgment."""
    unseen = re.sub("[\u200b\ufe0f]", "", text)
    plain = "\n".join(fold(line) for line in unseen.split("\n"))
    number = re.compile(r"(?<!\d)(?<!\d[.,])-?\d+(?:\.\d+)?(?![.,]?\d)")
    return {
        float(match[0]) for match in number.finditer(plain) if HEAD.search(plain[: match.start()])
    }


def assert_no_number_is_made_up(seed: int, count: int) -> None:
    draw = random.Random(seed)
    states: Counter[str] = Counter()
    for _ in range(count):
        parts = [
            draw.choice(choices)
            for _ in range(draw.randint(1, 3))
            for choices in (HEADS, LABELS, JOINTS, NUMBERS, TAILS)
        ]
        text = "".join(part for part in parts if draw.random() > 0.1)
        finish_reason = draw.choice(["stop", "stop", "length"])
        reading = read_score(text, finish_reason)
        states[reading.state] += 1
        assert reading.state in schema.STATES
        assert (reading.score is None) == (reading.state != "parsed")
        if reading.score is not None:
            assert 0 <= reading.score <= 5
            assert reading.score in whole_numbers(text), text
        read_verdict(text, finish_reason)
    assert states["parsed"] > count / 50


def test_texts_of_score_fragments_give_no_number_that_is_not_in_them() -> None:
    assert_no_number_is_made_up(seed=1, count=3_000)


@pytest.mark.slow
def test_a_hundred_thousand_texts_of_score_fragments_give_no_number_that_is_not_in_them() -> None:
    assert_no_number_is_made_up(seed=2, count=100_000)


@pytest.mark.parametrize(
    "piece",
    ["Score:", "score ", "*", "\n", "Score: 4\n", "4", '"', '{"a":', "<score>", "<response>",
     "<think>", "says ", "Score: 1 + ", "점수", "e\u0301", "Score: 3, or ", "1. a\nScore: 1\n"],
)  # fmt: skip
def test_hostile_text_is_read_in_linear_time(piece: str) -> None:
    text = "Score: " + piece * (300_000 // len(piece))
    started = time.process_time()
    read_score(text, "stop")
    read_verdict(text, "length")
    assert time.process_time() - started < 5
