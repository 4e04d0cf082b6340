"""Chat templates that a recipe names, on tokenizers that lack what one would expect of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from needed import needs
from srlm_data.core.templates import Template
from srlm_data.models import chat_template, identity
from srlm_data.models.chat_template import ChatTemplate
from tiny import tiny_model

pytestmark = needs("transformers")

STRICT = """\
{{- bos_token }}
{%- for message in messages %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant') }}
{%- endif %}
{{- '<|' ~ message.role ~ '|>' ~ message.content ~ eos_token }}
{%- endfor %}"""

TURNS: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "Three."},
    {"role": "user", "content": "Four?"},
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model: it has no chat template."""
    folder = tiny_model(tmp_path_factory.mktemp("base") / "m0")
    (folder / identity.CHAT_TEMPLATE).unlink()
    return folder


@pytest.fixture
def tokenizer(base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)


def named(name: str, base: Path = Path()) -> Template:
    return TypeAdapter(ChatTemplate).validate_python(name, context={"base": base})


def text(tokenizer: Any, turns: list[dict[str, str]], **options: Any) -> str:
    return str(tokenizer.apply_chat_template(turns, tokenize=False, **options))


@pytest.mark.parametrize("name", chat_template.shipped())
def test_a_shipped_template_takes_every_conversation_and_ends_every_answer(
    tokenizer: Any, name: str
) -> None:
    tokenizer.chat_template = named(name).text
    assert chat_template.fault(tokenizer, named=True) is None
    whole = text(tokenizer, TURNS)
    places = [whole.index(turn["content"]) for turn in TURNS]
    assert places == sorted(places)
    assert whole.startswith("<s>")
    # What is asked is the beginning of what is learned from.
    asked = text(tokenizer, TURNS[:3], add_generation_prompt=True)
    assert text(tokenizer, TURNS[:4]).startswith(asked)


@pytest.mark.parametrize(
    ("name", "end"), [("chatml", "<|im_end|>"), ("gemma", "<end_of_turn>"), ("llama2", "</s>")]
)
def test_what_ends_an_answer_is_read_off_the_template(tokenizer: Any, name: str, end: str) -> None:
    tokenizer.chat_template = named(name).text
    known = len(tokenizer)
    assert chat_template.end_of_turn(tokenizer) == end
    assert (chat_template.end_token(tokenizer) is None) == (end != "</s>")
    chat_template.add_tokens(tokenizer)
    assert chat_template.end_token(tokenizer) == tokenizer.convert_tokens_to_ids(end)
    assert tokenizer.eos_token == end
    chat_template.add_tokens(tokenizer)
    assert len(tokenizer) - known == {"chatml": 2, "gemma": 2, "llama2": 0}[name]


def test_an_end_of_several_tokens_is_known_by_its_first(tokenizer: Any, tmp_path: Path) -> None:
    """As Phi-3 has it: a turn's end, a line break, and the end of the text."""
    from transformers import AutoTokenizer

    phi = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}{{ eos_token }}"
    )
    tokenizer.chat_template = phi
    assert chat_template.end_of_turn(tokenizer) == "<|end|>\n</s>"
    known = len(tokenizer)
    chat_template.add_tokens(tokenizer)
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert (chat_template.end_token(tokenizer), len(tokenizer)) == (end, known + 1)
    assert tokenizer.eos_token != "<|end|>"  # noqa: S105 - no password
    # Saved as a special token and no more: neither the tokenizer's end nor one of its extra ones.
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert chat_template.end_token(again) == end


def test_folding_lets_a_strict_template_take_any_turns_and_changes_no_plain_conversation(
    base: Path, tokenizer: Any, tmp_path: Path
) -> None:
    (tmp_path / "strict.jinja").write_text(STRICT)
    strict = named("strict.jinja", tmp_path)
    tokenizer.chat_template = strict.text
    plain = text(tokenizer, TURNS[2:])
    with pytest.raises(Exception, match="must alternate"):
        text(tokenizer, TURNS)
    folded = chat_template.compose(None, strict, "fold")
    assert folded == chat_template.compose(folded, None, "fold")
    tokenizer.chat_template = folded
    assert text(tokenizer, TURNS[2:]) == plain
    assert text(tokenizer, TURNS) == (
        "<s><|user|>Be brief.\n\nOne?\n\nTwo?</s><|assistant|>Three.</s><|user|>Four?</s>"
    )
    dressed = chat_template.dress(base, strict.text, tmp_path / "strict")
    model = str(dressed)
    assert chat_template.refused(model, [TURNS[2:3], TURNS[2:]]) is None
    assert chat_template.refused(model, [TURNS[2:], TURNS]) == (
        1,
        "Conversation roles must alternate user/assistant",
    )


def test_a_template_is_shown_the_turns_themselves_with_their_calls(
    base: Path, tmp_path: Path
) -> None:
    asks = "{% for m in messages %}{% if m.role == 'tool' and m.tool_call_id | length != 9 %}"
    asks += "{{ raise_exception('ids have nine characters') }}{% endif %}{% endfor %}{{ messages }}"
    dressed = chat_template.dress(base, asks, tmp_path / "asks")
    turns = [TURNS[1], {"role": "tool", "content": "4", "tool_call_id": "abcdefghi"}]
    assert chat_template.refused(str(dressed), [turns]) is None
    turns = [TURNS[1], {"role": "tool", "content": "4", "tool_call_id": "a"}]
    assert chat_template.refused(str(dressed), [turns]) == (0, "ids have nine characters")


def test_a_tokenizer_that_cannot_be_loaded_here_is_left_to_who_answers_with_it(
    base: Path, tmp_path: Path
) -> None:
    folder = chat_template.dress(base, STRICT, tmp_path / "newer")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").write_text('{"version": "9.0", "model": {"type": "Newer"}}')
    assert chat_template.fault_of(folder, named=True) is None
    assert chat_template.refused(str(folder), [TURNS]) is None


def test_a_template_that_cannot_be_used_is_refused_in_a_sentence(
    tokenizer: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match="no chat template 'chatlm'"):
        named("chatlm")
    (tmp_path / "empty.jinja").write_text("Hello")
    with pytest.raises(ValidationError, match="it never uses 'messages'"):
        named("empty.jinja", tmp_path)
    tokenizer.chat_template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    assert "would not stop" in str(chat_template.fault(tokenizer, named=True))
    parts = "{% for part in m.content %}{{ part.text }}{% endfor %}</s>"
    tokenizer.chat_template = "{% for m in messages %}" + parts + "{% endfor %}"
    assert "omits what a user says" in str(chat_template.fault(tokenizer, named=True))
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}{{ 1 / 0 }}"
    assert "found 'division by zero'" in str(chat_template.fault(tokenizer, named=True))


def test_a_template_without_the_beginning_that_the_tokenizer_writes_is_refused(
    tokenizer: Any,
) -> None:
    processors = pytest.importorskip("tokenizers.processors")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    tokenizer.chat_template = named("chatml").text.removeprefix("{{- bos_token }}")
    assert "Begin it with {{ bos_token }}" in str(chat_template.fault(tokenizer, named=True))
    assert chat_template.fault(tokenizer, named=False) is None


@pytest.mark.parametrize("lacking", [("eos_token",), ("pad_token",), ("bos_token",)])
def test_a_tokenizer_may_lack_any_special_token_where_the_template_ends_turns(
    base: Path, tmp_path: Path, lacking: tuple[str, ...]
) -> None:
    from transformers import AutoTokenizer

    folder = chat_template.dress(base, named("chatml").text, tmp_path / "lacking")
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer_config.json").write_text(
        json.dumps({name: value for name, value in settings.items() if name not in lacking})
    )
    assert chat_template.fault_of(folder, named=True) is None
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = named("zephyr").text  # which ends a turn with the end-of-text token
    assert (chat_template.fault(tokenizer, named=True) is None) == ("eos_token" not in lacking)


def test_a_dressed_model_is_another_one_with_the_same_files(base: Path, tmp_path: Path) -> None:
    dressed = chat_template.dress(base, named("chatml").text, tmp_path / "dressed")
    assert identity.digest(dressed) != identity.digest(base)
    assert identity.chat_template(dressed) == named("chatml").text
    assert identity.chat_template(base) is None
    weights = [folder / "model.safetensors" for folder in (base, dressed)]
    assert weights[0].samefile(weights[1])
