"""prompts -> prompts: each instruction made into another one.

A good answer to a modified instruction is a worse answer to the instruction itself. So preferences
can be made without anybody's ranks, and a judge taught by them (Self-Taught Evaluators, arXiv
2408.02666): answer the modified prompts, and set these answers against those to the originals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from srlm_data.core.config import Expected, Template, fills
from srlm_data.core.ids import prompt_id
from srlm_data.core.messages import render, user
from srlm_data.core.rows import Drops, Models, Prompts, Rows
from srlm_data.core.schema import PROMPTS
from srlm_data.engines.asking import answered, ask
from srlm_data.engines.protocol import Engine, Request, request_seed
from srlm_data.engines.sampling import SamplingConfig

_MARK = re.compile(r"\s*(?:[-*]|\d{1,6}[.):])\s+")


class RewritePrompts(SamplingConfig):
    """How instructions are modified."""

    template: Annotated[Template, fills("a modification", "prompt")] = Field(
        default="modify",
        validate_default=True,
        description="Prompt template, with {prompt}; the first line of the completion is used.",
    )
    max_tokens: int = Field(256, ge=1, description="Longest completion, in tokens.")
    seed: int = Field(0, ge=0, description="Seed of the requests.")

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """A call and at most a row for each prompt."""
        return Expected(rows.get("prompts"), rows.get("prompts"))


def rewrite_prompts(
    config: RewritePrompts, prompts: Prompts, model: Models, engine: Engine
) -> Prompts:
    """Let a model write a similar instruction that asks for something else, for each prompt.

    ``source_ids`` has the id of the original prompt.

    Drops: ``error``, ``empty``, ``cut_off``, ``unchanged``, ``duplicate`` (of an earlier one).
    """
    sampling = config.sampling()
    drops = Drops()

    def requests() -> Iterator[tuple[Request, Mapping[str, Any]]]:
        for prompt in prompts.dicts():
            text = config.template.fill(prompt=render(prompt["prompt"]))
            seed = request_seed(config.seed, prompt["prompt_id"], 0)
            yield Request(prompt["prompt_id"], tuple(user(text)), sampling, seed), prompt

    def rows() -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        answers = list(ask(engine, model, requests(), total=prompts.count()))
        # Sorted, so that which of two equal prompts is kept does not depend on timing.
        for prompt, completion in sorted(answers, key=lambda answer: str(answer[0]["prompt_id"])):
            line, _, rest = completion.text.strip().partition("\n")
            text = _MARK.sub("", line, count=1).strip()
            new = user(text)
            identity = prompt_id(new)
            reasons = {
                "error": completion.finish_reason == "error",
                "cut_off": completion.finish_reason == "length" and not rest,
                "empty": not text,
                "unchanged": identity == prompt["prompt_id"],
                "duplicate": identity in seen,
            }
            reason = next((reason for reason, holds in reasons.items() if holds), None)
            if reason:
                drops.add(reason, prompt["prompt_id"], completion.error or completion.text)
            else:
                seen.add(identity)
                yield {
                    "prompt_id": identity,
                    "prompt": new,
                    "source": "modified",
                    "source_ids": [prompt["prompt_id"]],
                    **answered(engine, completion),
                }

    return Rows.stream(PROMPTS, rows(), drops=drops)
