"""A judge's judgments of a few candidates as text, for a terminal or a notebook."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from srlm_data.core.errors import counted

if TYPE_CHECKING:
    from srlm_data.pipeline.judge_check import CheckedJudgment, JudgeCheck

_WIDTH: Final = 96
_SHOWN: Final = 300
"""Characters shown of a prompt and of an answer; judgments are shown up to a screen."""

_SHOWN_JUDGMENT: Final = 2000


def lines_of(check: JudgeCheck) -> Iterator[str]:
    """Yield the text line by line; control characters in model text are not escaped."""
    yield (
        f"{check.dataset}: {check.model} judges with '{check.template}', "
        f"{check.scale}, parsed as {check.reader}"
    )
    yield from _judgments(check.judgments)
    human = check.human
    if human:
        yield f"\nthe best and the worst replies, as ranked by humans, of {human.dataset}"
        yield from _judgments(human.judgments)
    states = [f"{count} {state.replace('_', ' ')}" for state, count in check.states.items()]
    judgments = counted(sum(check.states.values()), "judgment")
    yield f"\nread {100 * check.read:.0f} % of {judgments}: {', '.join(states) or 'none'}"
    if human is None:
        yield "the recipe has no replies ranked by humans"
    else:
        share = "none" if human.share is None else f"{100 * human.share:.0f} %"
        yield (
            f"in the human order: {share} of {counted(human.pairs, 'pair')} of {human.dataset}; "
            f"{human.tied} tied, {human.unscored} without a score"
        )
    for reason, count in check.drops.items():
        yield f"{counted(count, 'candidate')} not shown: {reason.replace('_', ' ')}"
    yield (
        f"{counted(check.asked, 'request')} sent, {check.reused} answered before; "
        "a build reuses all answers"
    )


def _judgments(judgments: Iterable[CheckedJudgment]) -> Iterator[str]:
    for number, judgment in enumerate(judgments, start=1):
        rank = "" if judgment.rank is None else f", rank {judgment.rank}"
        yield f"\n{number}  candidate {judgment.candidate_id[:8]}{rank}"
        criteria = [f", {name} {_score(score)}" for name, score in judgment.criteria.items()]
        scores = _score(judgment.score) + "".join(criteria)
        yield from _field("prompt", judgment.prompt, _SHOWN)
        yield from _field("response", judgment.response, _SHOWN)
        yield from _field("judgment", judgment.text, _SHOWN_JUDGMENT)
        yield from _field("read", f"{scores} ({judgment.state}: {judgment.why})", _SHOWN)


def _field(name: str, text: str, most: int) -> Iterator[str]:
    """Yield the lines of a text beside its name, wrapped and cut after ``most`` characters."""
    whole = text if len(text) <= most else f"{text[:most]} ... ({len(text):,} characters)"
    lines = [part for line in whole.splitlines() for part in textwrap.wrap(line, _WIDTH) or [""]]
    for place, line in enumerate(lines or [""]):
        yield f"{'' if place else name:<10}{line}".rstrip()


def _score(score: float | None) -> str:
    return "no score" if score is None else f"{score:g}"
