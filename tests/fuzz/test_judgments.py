"""Texts made of what scores are made of: no number is made up, and time stays linear.

Some thousand texts are tried by default; ``SRLM_FUZZ_TEXTS=100000`` tries so many, and lengths of
two million characters.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
import yaml

from srlm_data.core import schema
from srlm_data.steps.judging._judgment import fold
from srlm_data.steps.judging.texts import read_score, read_verdict

TEXTS: Final = int(os.environ.get("SRLM_FUZZ_TEXTS", "2000"))
CHARACTERS: Final = 2_000_000 if TEXTS > 10_000 else 100_000
SECONDS: Final = 10e-6 * CHARACTERS


FRAGMENTS: Final = yaml.safe_load(
    Path(__file__).with_name("fragments.yaml").read_text(encoding="utf-8")
)
HEAD: Final = re.compile(
    r"score|total|final|overall|rating|points?|得分|점수|評価|note|punktzahl|sum|अंक|الدرجة|result",
    re.IGNORECASE,
)


def whole_numbers(text: str) -> set[float]:
    """The numbers of a text, each as a whole, that stand behind a word of judgment."""
    unseen = re.sub("[\u200b\ufe0f]", "", text)
    plain = "\n".join(fold(line) for line in unseen.split("\n"))
    number = re.compile(r"(?<!\d)(?<!\d[.,])-?\d+(?:\.\d+|,\d)?(?![.,]?\d)")
    return {
        float(match[0].replace(",", "."))
        for match in number.finditer(plain)
        if HEAD.search(plain[: match.start()])
    }


def test_texts_of_score_fragments_give_no_number_that_is_not_in_them() -> None:
    draw = random.Random(1)
    states: Counter[str] = Counter()
    for _ in range(TEXTS):
        parts = [
            draw.choice(choices)
            for _ in range(draw.randint(1, 3))
            for choices in FRAGMENTS.values()
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
    assert states["parsed"] > TEXTS / 50


@pytest.mark.parametrize(
    "piece",
    ["Score:", "score ", "*", "\n", "Score: 4\n", "4", '"', '{"a":', "<score>", "<response>",
     "<think>", "says ", "Score: 1 + ", "점수", "e\u0301", "Score: 3, or ", "1. a\nScore: 1\n",
     "score for ", "score (", "### Response:\n", "user\n", "[[A]] ", "점수는 좋은 응답이고 "],
)  # fmt: skip
def test_hostile_text_is_read_in_linear_time(piece: str) -> None:
    text = "Score: " + piece * (CHARACTERS // len(piece))
    started = time.process_time()
    read_score(text, "stop")
    read_verdict(text, "length")
    assert time.process_time() - started < SECONDS


def test_a_text_of_over_a_million_characters_is_read_like_any_other() -> None:
    text = "The response is relevant and complete. " * 30_000
    assert read_score(f"{text}\nScore: 4", "stop").score == 4
    assert read_verdict(f"{text}\nVerdict: A", "stop") == ("parsed", "a")
