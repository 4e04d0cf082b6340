"""What a thinking model writes before its answer, told apart from the answer.

A server may return the two apart. Everywhere else the reasoning stands at the beginning of the
text, between marks that the model was trained to write: ``<think>`` and ``</think>``.
"""

from __future__ import annotations

from collections.abc import Sequence

from srlm_data.core.thinking import MARKS, Marks
from srlm_data.engines.protocol import Completion


def split_reasoning(
    text: str, marks: Sequence[Marks] = MARKS, *, opened: bool | None = None
) -> tuple[str | None, str]:
    """Return the reasoning at the beginning of a text, None where there is none, and the answer.

    Many chat templates write the opening mark themselves: then a text has the closing mark alone.
    Reasoning that nothing closes was cut off, so all of the text is reasoning.

    Args:
        text: what the model wrote.
        marks: that open and close reasoning.
        opened: whether the prompt ends with an opening mark; None where nobody can tell, and a
            closing mark alone is believed.
    """
    rest = text.lstrip()
    for opening, closing in marks:
        begins = rest.startswith(opening)
        inside, closed, answer = rest.removeprefix(opening).partition(closing)
        if closed and (begins or (opened is not False and opening not in inside)):
            if answer.lstrip().startswith(opening):  # thought again, before any answer
                more, answer = split_reasoning(answer, marks)
                inside = f"{inside.strip()}\n{more or ''}"
            return inside.strip() or None, answer.lstrip()
        if begins:
            return inside.strip() or None, ""
    return (rest.strip() or None, "") if opened else (None, text)


def separate_reasoning(completion: Completion) -> Completion:
    """Return a completion with its reasoning apart: an engine of a user's own may leave it in."""
    if completion.reasoning is not None:
        return completion
    reasoning, answer = split_reasoning(completion.text)
    if reasoning is None and answer == completion.text:
        return completion
    return completion._replace(text=answer, reasoning=reasoning)
