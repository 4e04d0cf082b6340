"""An engine without a model whose tokens are words, and prompts of any length for it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from builders import prompt
from srlm_data.core import schema
from srlm_data.core.config import Config, Expected
from srlm_data.core.rows import Prompts, Rows
from srlm_data.engines.protocol import Completion, Request

RECIPE = """\
seed: 3
engine: {kind: 'wordy:open_wordy'}
datasets:
  model: {step: 'toy:toy_model', weights: m1}
  prompts: {step: 'wordy:wordy_prompts', n: 40, words: 20}
  chosen: {step: sql, inputs: {prompts: prompts}, query: "FROM prompts WHERE prompt_id < 'c'"}
  candidates: {step: generate, prompts: chosen, model: model, n: 4}
  judgments: {step: judge, candidates: candidates, model: model}
  pairs: {step: pair, candidates: candidates, judgments: judgments}
"""


class WordyPrompts(Config):
    n: int = 12
    words: int = 20

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        return Expected(self.n)


def wordy_prompts(config: WordyPrompts) -> Prompts:
    """Prompts of half to one and a half times as many words."""

    def rows() -> Iterator[dict[str, Any]]:
        for i in range(config.n):
            yield prompt(_text(i, config.words), source="wordy")

    return Rows.stream(schema.PROMPTS, rows())


def open_wordy(options: dict[str, Any], model: str, digest: str, revision: str | None) -> Wordy:
    return Wordy(digest)


class Wordy:
    """Answers with thirty words or so, and scores what is long enough to be a rubric."""

    def __init__(self, model: str) -> None:
        self.model = model

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        for request in requests:
            asked = len(request.messages[-1]["content"].split())
            text = _text(request.seed, 30)
            if asked > 100:
                text += f"\nScore: {request.seed % 6}"
            yield Completion(request, text, "stop", asked, len(text.split()))

    def close(self) -> None:
        pass


def _text(seed: int, words: int) -> str:
    chance = random.Random(seed)
    known = "the red kettle of Ada is kept in a kitchen on some shelf near no window at all".split()
    return " ".join(chance.choices(known, k=chance.randrange(words // 2, words * 3 // 2)))
