"""Thinking models: what stands before the answer is told apart from it, token by token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiny import CHAT_TEMPLATE, tiny_model

transformers = pytest.importorskip("transformers")

OPENING = CHAT_TEMPLATE.replace("'<|assistant|>' }}{%", "'<|assistant|><think>\\n' }}{%")
"""As many a thinking model's: the template itself opens the reasoning."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "m0")


def split(model: Path, text: str, *, template: str = CHAT_TEMPLATE, special: Any = ()) -> Any:
    from srlm_data.engines._chat import Prompts

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.chat_template = template
    tokens = tokenizer.encode(text, add_special_tokens=False)
    written = tokenizer.decode(tokens, skip_special_tokens=True)
    reasoning, answer, count = Prompts(tokenizer, "m0", 512).split(written, tokens)
    answered = len(tokenizer.encode(answer, add_special_tokens=False))
    return reasoning, answer, count is not None and count == len(tokens) - answered


def test_an_answer_without_reasoning_is_left_as_it_is(model: Path) -> None:
    assert split(model, " The lamp is green.\n") == (None, " The lamp is green.\n", False)
    assert split(model, "Write <think> first.") == (None, "Write <think> first.", False)


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("<think>\nWhose lamp?\n</think>\n\nAda's.", CHAT_TEMPLATE),
        ("Whose lamp?\n</think>\n\nAda's.", OPENING),
    ],
)
def test_reasoning_between_marks_is_split_off_and_counted(
    model: Path, text: str, template: str
) -> None:
    assert split(model, text, template=template) == ("Whose lamp?", "Ada's.", True)


def test_reasoning_that_was_cut_off_is_no_answer(model: Path) -> None:
    assert split(model, "<think> Whose", template=CHAT_TEMPLATE) == ("Whose", "", True)
    assert split(model, "Whose lamp", template=OPENING) == ("Whose lamp", "", True)


def test_marks_that_are_special_tokens_and_so_no_text_are_seen(model: Path) -> None:
    marks = ("[THINK]", "[/THINK]")
    whole = "[THINK]Whose lamp?[/THINK]Ada's."
    assert split(model, whole, special=marks) == ("Whose lamp?", "Ada's.", True)
    assert split(model, "[THINK]Whose", special=marks) == ("Whose", "", True)
    assert split(model, "Ada's.", special=marks) == (None, "Ada's.", False)
