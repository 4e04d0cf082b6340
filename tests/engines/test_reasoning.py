"""Reasoning is told apart from the answer, wherever its marks stand."""

from __future__ import annotations

import pytest

from srlm_data.core.thinking import split_reasoning
from srlm_data.engines.protocol import Sampling


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer.", (None, "The answer.")),
        ("<think>Hm.</think>The answer.", ("Hm.", "The answer.")),
        ("\n<think>\nHm.\n</think>\n\nThe answer.\n", ("Hm.", "The answer.\n")),
        ("Hm.\n</think>\n\nThe answer.", ("Hm.", "The answer.")),
        ("<think>\n\n</think>\n\nThe answer.", (None, "The answer.")),
        ("<think>a</think><think>b</think>The answer.", ("a\nb", "The answer.")),
        ("<think>Hm, and then", ("Hm, and then", "")),
        ("<think>Hm.</think>", ("Hm.", "")),
        ("<think>", (None, "")),
        ("[THINK]Hm.[/THINK]The answer.", ("Hm.", "The answer.")),
        ("<think></think>" * 5000 + "The answer.", (None, "The answer.")),
        ("◁think▷Hm.◁/think▷The answer.", ("Hm.", "The answer.")),
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
            "<|channel|>final<|message|>The answer.",
            ("Hm.", "The answer."),
        ),
        ("<|channel|>final<|message|>The answer.", (None, "The answer.")),
        ("Write <think> and </think> so.", (None, "Write <think> and </think> so.")),
        ("", (None, "")),
    ],
)
def test_what_stands_between_marks_at_the_beginning_is_reasoning(
    text: str, expected: tuple[str | None, str]
) -> None:
    assert split_reasoning(text) == expected


def test_a_prompt_that_opened_the_reasoning_decides_what_a_text_without_a_mark_is() -> None:
    assert split_reasoning("Hm, and then", opened=True) == ("Hm, and then", "")
    assert split_reasoning("Hm.</think>Yes.", opened=True) == ("Hm.", "Yes.")
    assert split_reasoning("<think>? Hm.</think>Yes.", opened=True) == ("? Hm.", "Yes.")
    assert split_reasoning("Whose <think>?</think>Ada's.", opened=True) == (
        "Whose <think>?",
        "Ada's.",
    )
    assert split_reasoning("Yes: </think>", opened=False) == (None, "Yes: </think>")
    assert split_reasoning("<think>Hm.</think>Yes.", opened=False) == ("Hm.", "Yes.")


def test_a_recipe_declares_marks_of_its_own() -> None:
    marks = (("<|channel|>analysis", "<|channel|>final"),)
    assert split_reasoning("<|channel|>analysis Hm.<|channel|>final Yes.", marks) == ("Hm.", "Yes.")
    assert split_reasoning("<think>Hm.</think>", marks) == (None, "<think>Hm.</think>")


@pytest.mark.parametrize(
    ("text", "opened"), [("<think>\nIt helps.\nScore: 3", False), ("It helps.\nScore: 3", True)]
)
def test_what_fits_the_form_that_it_was_held_to_is_the_answer_for_no_mark_could_be_closed(
    text: str, opened: bool
) -> None:
    guided = Sampling(0.7, 0.9, 64, pattern=r"([^\n]+\n)+Score: [0-5]")
    assert guided.split(text, opened=opened) == (None, text.removeprefix("<think>"))
    assert guided.split("<think>Hm.", opened=opened)[1] == ""
    assert guided.split("<think>\nHm.\n</think>\nScore: 3") == ("Hm.", "Score: 3")
