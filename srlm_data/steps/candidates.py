"""prompts -> candidates: N answers to each prompt, by the model that is trained (section 2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from srlm_data.core.config import Expected, Lengths
from srlm_data.core.ids import row_ids
from srlm_data.core.rows import Candidates, Columns, Drops, Models, Prompts, Rows
from srlm_data.core.schema import CANDIDATES, Message
from srlm_data.engines.asking import ask_in_blocks
from srlm_data.engines.protocol import Completion, Engine, Request, request_seed
from srlm_data.engines.sampling import SamplingConfig


class Generate(SamplingConfig):
    """How many answers are drawn, and how."""

    n: int = Field(4, ge=1, le=10**6, description="Answers per prompt (paper: 4).")
    stop: tuple[str, ...] = Field((), description="Texts that end an answer.")
    cut_off: Literal["drop", "keep"] = Field(
        "drop",
        description="What to do with an answer that reached max_tokens. If kept, it can be chosen, "
        "and its model learns to stop in the middle of a sentence.",
    )
    seed: int = Field(0, ge=0, description="Seed of the requests.")

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """``n`` calls a prompt, and at most as many rows."""
        prompts = rows.get("prompts")
        answers = None if prompts is None else prompts * self.n
        return Expected(answers, answers)

    def prompt_characters(self, lengths: Mapping[str, Lengths]) -> float | None:
        """A call reads a prompt."""
        return lengths["prompts"].prompt if "prompts" in lengths else None


def generate(config: Generate, prompts: Prompts, model: Models, engine: Engine) -> Candidates:
    """Draw N answers to every prompt from a model.

    Each answer has its own seed, from the prompt and the sample's index: raising N adds samples
    and changes none. Rows come as answers finish.

    Drops: ``error`` (the request failed), ``cut_off`` (it reached ``max_tokens``, with or without
    text), ``empty`` (nothing but white space).
    """
    sampling = config.sampling(stop=config.stop)
    drops = Drops()

    def requests() -> Iterator[tuple[Request, tuple[str, list[Message], int, Any, Any]]]:
        names = ("prompt_id", "prompt", "reference", "rubric")
        for identity, prompt, reference, rubric in prompts.tuples(*names):
            messages = tuple(prompt)
            for sample in range(config.n):
                seed = request_seed(config.seed, identity, sample)
                request = Request(f"{identity}/{sample}", messages, sampling, seed)
                yield request, (identity, prompt, sample, reference, rubric)

    def columns() -> Iterator[Columns]:
        total = prompts.count() * config.n
        for block in ask_in_blocks(engine, model, requests(), total=total):
            reasons = [_unusable(config, completion) for completion in block.completions]
            for reason, completion in zip(reasons, block.completions, strict=True):
                if reason:
                    drops.add(reason, completion.request.id, completion.error or completion.text)
            usable = block.where([not reason for reason in reasons])
            if not usable.completions:
                continue
            identities, conversations, samples, references, rubrics = zip(
                *usable.about, strict=True
            )
            texts = usable.texts()
            yield {
                "candidate_id": row_ids("candidate", identities, engine.model, samples, texts),
                "prompt_id": identities,
                "prompt": conversations,
                "response": texts,
                "sample": samples,
                "source": pa.repeat("model", len(texts)),
                **usable.answered(engine),
                "reference": references,
                "rubric": rubrics,
            }

    return Rows.columns(CANDIDATES, columns(), drops=drops)


def _unusable(config: Generate, completion: Completion) -> str | None:
    """Return the reason to drop an answer, or None."""
    if completion.finish_reason == "error":
        return "error"
    empty = not completion.text.strip()
    if completion.finish_reason == "length" and (empty or config.cut_off == "drop"):
        return "cut_off"
    return "empty" if empty else None
