"""How responses are drawn, as the steps that ask a model have it in a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from srlm_data.core.config import Config
from srlm_data.engines.protocol import DRAWING, Sampling
from srlm_data.models.chat_template import TemplateOptions

_REASONING: Final = ("reasoning_effort", "reasoning_budget", "reasoning_marks")
_FURTHER: Final = (*DRAWING, "chat_template_kwargs", *_REASONING)
_Mark = Annotated[str, Field(min_length=1)]


class SamplingConfig(Config):
    """How a step's responses are drawn; each step has its own defaults.

    What a recipe does not set of the further settings is no part of a version's identity or of a
    response's key.
    """

    identity_if_set: ClassVar[tuple[str, ...]] = _FURTHER

    temperature: float = Field(0.7, ge=0, description="Sampling temperature (paper: 0.7).")
    top_p: float = Field(0.9, gt=0, le=1, description="Nucleus sampling (paper: 0.9).")
    max_tokens: int = Field(1024, ge=1, description="Longest response, in tokens.")
    top_k: int | None = Field(None, ge=1, description="Draw from the top_k likeliest tokens.")
    min_p: float | None = Field(
        None, ge=0, le=1, description="Lowest probability, as a share of the highest one."
    )
    repetition_penalty: float | None = Field(
        None, gt=0, description="Above 1, tokens of the prompt and the response become less likely."
    )
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, description="Subtracted from a token's logit if it has occurred."
    )
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="Subtracted for each time that it has occurred."
    )
    chat_template_kwargs: TemplateOptions | None = Field(
        None, description="Passed to the chat template: {enable_thinking: false}."
    )
    reasoning_effort: str | None = Field(
        None, min_length=1, description="How much to think, in the model's terms: low, high."
    )
    reasoning_budget: int | None = Field(
        None, ge=1, description="Tokens for reasoning, in addition to the answer's max_tokens."
    )
    reasoning_marks: tuple[_Mark, _Mark] | None = Field(
        None, description="Marks that open and close reasoning; unset: those of known models."
    )

    def sampling(
        self,
        *,
        stop: tuple[str, ...] = (),
        pattern: str | None = None,
        json_schema: Mapping[str, Any] | None = None,
    ) -> Sampling:
        """Return the sampling of the step's requests."""
        further = {name: getattr(self, name) for name in _FURTHER}
        further["json_schema"] = json_schema
        return Sampling(self.temperature, self.top_p, self.max_tokens, stop, pattern, **further)
