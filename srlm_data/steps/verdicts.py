"""Comparisons of two answers by a model: what it is asked."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from srlm_data.core.config import Template, fills
from srlm_data.engines.sampling import SamplingConfig

ComparisonTemplate = Annotated[Template, fills("a comparison", "prompt", "answer_a", "answer_b")]
"""A template that shows a prompt and two answers to it."""


class Comparing(SamplingConfig):
    """How a model is asked to compare two answers."""

    revision: ClassVar[int] = 2  # scores are read by other rules

    template: ComparisonTemplate = Field(
        default="pairwise",
        validate_default=True,
        description="Prompt of the judge, with {prompt}, {answer_a} and {answer_b}.",
    )
    temperature: float = Field(0.0, ge=0, description="Of the judge; 0 is greedy.")
    top_p: float = Field(1.0, gt=0, le=1, description="Of the judge.")
    max_tokens: int = Field(400, ge=1, description="Longest comparison, in tokens.")
    seed: int = Field(0, ge=0, description="Seed of the judge's requests.")
