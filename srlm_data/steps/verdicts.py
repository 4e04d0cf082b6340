"""Comparisons of two answers by a model: what it is asked, and the verdict of its completion."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field

from srlm_data.core.config import Template, fills
from srlm_data.engines.sampling import SamplingConfig
from srlm_data.steps.judge_injection import folded

# A line that begins with "Verdict:", perhaps behind a list mark, a heading or emphasis. A quoted
# line ("> Verdict: A") is somebody else's. Possessive quantifiers keep the time linear.
_VERDICT_LINE: Final = re.compile(
    r"^[ \t#*_`\-]*+verdict[ \t*_`]*+:(?P<value>[^\r\n]*+)(?P<end>[\r\n]?)",
    re.IGNORECASE | re.MULTILINE,
)
_VERDICT: Final = re.compile(r"[\W_]*+(a|b|tie)[\W_]*+", re.IGNORECASE)


ComparisonTemplate = Annotated[Template, fills("a comparison", "prompt", "answer_a", "answer_b")]
"""A template that shows a prompt and two answers to it."""


class Comparing(SamplingConfig):
    """How a model is asked to compare two answers."""

    template: ComparisonTemplate = Field(
        default="pairwise",
        validate_default=True,
        description="Prompt of the judge, with {prompt}, {answer_a} and {answer_b}.",
    )
    temperature: float = Field(0.0, ge=0, description="Of the judge; 0 is greedy.")
    top_p: float = Field(1.0, gt=0, le=1, description="Of the judge.")
    max_tokens: int = Field(400, ge=1, description="Longest comparison, in tokens.")
    seed: int = Field(0, ge=0, description="Seed of the judge's requests.")


def read_verdict(text: str, finish_reason: str) -> tuple[str, str | None]:
    """Read the state of a comparison, and ``a``, ``b`` or ``tie`` if it is ``parsed``.

    The last line that begins with ``Verdict:`` decides, whatever it says; case, Markdown around it
    and full-width letters do not matter. ``Verdict: A``, ``**Verdict:** A`` and ``Verdict: [[A]]``
    are ``a``; what is no one of the three (``Verdict: A or B``) is ``unparsed``, and so is a text
    without such a line. A completion that was cut off before that line ended is ``truncated``, a
    failed request is ``error``. Takes time linear in the text.
    """
    if finish_reason == "error":
        return "error", None
    last = None
    # Not NFKC: it takes a time that is quadratic in a run of combining marks.
    for last in _VERDICT_LINE.finditer(folded(text)):  # noqa: B007 - the last one is wanted
        pass
    if finish_reason == "length" and (last is None or not last["end"]):
        return "truncated", None
    verdict = _VERDICT.fullmatch(last["value"]) if last else None
    return ("parsed", verdict[1].lower()) if verdict else ("unparsed", None)
