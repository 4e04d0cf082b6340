"""Thinking models: what stands before the answer is told apart from it, token by token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from needed import needs
from srlm_data.engines.protocol import Request, Sampling
from tiny import CHAT_TEMPLATE, tiny_model

pytestmark = needs("transformers")

OPENING = CHAT_TEMPLATE.replace("'<|assistant|>' }}{%", "'<|assistant|><think>\\n' }}{%")
"""As many a thinking model's: the template itself opens the reasoning."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "m0")


def split(
    model: Path, text: str, *, template: str = CHAT_TEMPLATE, special: Any = (), **further: Any
) -> Any:
    from transformers import AutoTokenizer

    from srlm_data.engines._chat import Prompts

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.chat_template = template
    tokens = tokenizer.encode(text, add_special_tokens=False)
    written = tokenizer.decode(tokens, skip_special_tokens=True)
    reasoning, answer, count = Prompts(tokenizer, "m0", 512).split(
        Sampling(0.7, 0.9, 64, **further), written, tokens
    )
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


def test_marks_that_are_made_of_special_tokens_are_seen(model: Path) -> None:
    special = ("<|channel|>", "<|message|>", "<|end|>", "<|start|>")
    final = "<|channel|>final<|message|>Ada's."
    whole = f"<|channel|>analysis<|message|>Whose lamp?<|end|><|start|>assistant{final}"
    assert split(model, whole, special=special) == ("Whose lamp?", "Ada's.", True)
    assert split(model, final, special=special) == (None, "Ada's.", False)
    assert split(model, "Ada's.<|end|>", special=special) == (None, "Ada's.", False)


def test_bytes_that_are_no_characters_are_not_counted_as_reasoning(model: Path) -> None:
    from transformers import AutoTokenizer

    from srlm_data.engines._chat import Prompts

    tokenizer = AutoTokenizer.from_pretrained(model)
    broken = tokenizer.convert_tokens_to_ids("ÿ")
    tokens = [*tokenizer.encode("<think>Hm.</think>"), *[broken] * 40]
    prompts = Prompts(tokenizer, "m0", 512)
    _, _, count = prompts.split(Sampling(0.7, 0.9, 64), tokenizer.decode(tokens), tokens)
    assert count == 0
    assert prompts.split(Sampling(0.7, 0.9, 64), "", []) == (None, "", None)


def test_marks_that_are_declared_are_the_ones_that_count(model: Path) -> None:
    marks = ("<musing>", "</musing>")
    whole = "<musing>Whose lamp?</musing>Ada's."
    assert split(model, whole) == (None, whole, False)
    assert split(model, whole, reasoning_marks=marks) == ("Whose lamp?", "Ada's.", True)
    other = "<think>Whose?</think>Ada's."
    assert split(model, other, reasoning_marks=marks) == (None, other, False)


SWITCH = CHAT_TEMPLATE.replace(
    "'<|assistant|>' }}{%",
    "'<|assistant|>' ~ ('<think>' if enable_thinking is not defined or enable_thinking else '') "
    "~ (reasoning_effort | default('')) }}{%",
)


def test_a_template_is_told_how_to_think_and_that_decides_what_is_reasoning(model: Path) -> None:
    from transformers import AutoTokenizer

    from srlm_data.engines._chat import Prompts

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = SWITCH
    prompts = Prompts(tokenizer, "m0", 512)
    plain = Sampling(0.7, 0.9, 64)
    quick = plain._replace(chat_template_kwargs={"enable_thinking": False})
    deep = plain._replace(reasoning_effort="high")
    turns = ({"role": "user", "content": "Whose lamp?"},)
    endings = []
    for sampling in (plain, quick, deep, plain):
        tokens = prompts.tokens(Request("1", turns, sampling, 1))  # type: ignore[arg-type]
        assert isinstance(tokens, list)
        endings.append(tokenizer.decode(tokens).rpartition("<|assistant|>")[2])
        reasoning, _, _ = prompts.split(sampling, "Ada's", tokenizer.encode("Ada's"))
        assert (reasoning is None) == (sampling != plain)
    assert endings == ["<think>", "", "<think>high", "<think>"]


def test_reasoning_has_a_budget_before_that_of_the_answer() -> None:
    assert Sampling(0.7, 0.9, 64).limit == 64
    assert Sampling(0.7, 0.9, 64, reasoning_budget=1000).limit == 1064
