"""Comparisons of two answers by a model: what it is asked, in which orders, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from srlm_data.core.config import Template, fills
from srlm_data.core.ids import row_id
from srlm_data.core.messages import render, user
from srlm_data.core.rows import Models
from srlm_data.engines.asking import answered, ask
from srlm_data.engines.protocol import Engine, Request, request_seed
from srlm_data.engines.sampling import SamplingConfig
from srlm_data.steps.judging.texts import read_verdict

ComparisonTemplate = Annotated[Template, fills("a comparison", "prompt", "answer_a", "answer_b")]
"""A template that shows a prompt and two answers to it."""


class Comparing(SamplingConfig):
    """How a model is asked to compare two answers."""

    revision: ClassVar[int] = 2  # the rules that parse verdicts have changed

    template: ComparisonTemplate = Field(
        default="pairwise",
        validate_default=True,
        description="Prompt of the judge, with {prompt}, {answer_a} and {answer_b}.",
    )
    temperature: float = Field(0.0, ge=0, description="Of the judge; 0 is greedy.")
    top_p: float = Field(1.0, gt=0, le=1, description="Of the judge.")
    max_tokens: int = Field(400, ge=1, description="Longest comparison, in tokens.")
    seed: int = Field(0, ge=0, description="Seed of the judge's requests.")


def compare_in_both_orders(
    config: Comparing,
    engine: Engine,
    model: Models,
    pairs: Iterable[Mapping[str, Any]],
    *,
    total: int | None = None,
) -> Iterator[tuple[Mapping[str, Any], str | None, dict[str, Any]]]:
    """Yield every two answers twice: with the letter that the judge chose, and what a row has.

    ``swapped`` tells whether the second answer was shown as A; ``winner`` is first, second, tie or
    null. A pair has a ``prompt``, and the ``_id`` and ``_response`` of ``first`` and ``second``.
    """
    sampling = config.sampling()

    def requests() -> Iterator[tuple[Request, tuple[Mapping[str, Any], bool]]]:
        for pair in pairs:
            for swapped in (False, True):
                shown = [pair["first_response"], pair["second_response"]]
                a, b = reversed(shown) if swapped else shown
                text = config.template.fill(prompt=render(pair["prompt"]), answer_a=a, answer_b=b)
                identity = row_id(pair["first_id"], pair["second_id"], swapped)
                seed = request_seed(config.seed, identity, 0)
                yield Request(identity, tuple(user(text)), sampling, seed), (pair, swapped)

    for (pair, swapped), completion in ask(engine, model, requests(), total=total):
        state, letter = read_verdict(completion.text, completion.finish_reason)
        sides = ("second", "first") if swapped else ("first", "second")
        columns = {
            "swapped": swapped,
            "state": state,
            "winner": {"a": sides[0], "b": sides[1]}.get(letter or "", letter),
            "text": completion.text,
            "error": completion.error,
        }
        yield pair, letter, columns | answered(engine, completion)
