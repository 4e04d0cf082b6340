"""What real tokenizers do with our chat templates; the models lie where SRLM_REAL_MODELS says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from needed import needs
from srlm_data.models import chat_template, identity

_FOLDER = os.environ.get("SRLM_REAL_MODELS")
pytestmark = [
    pytest.mark.slow,
    needs("transformers"),
    pytest.mark.skipif(_FOLDER is None, reason="needs real models, named by SRLM_REAL_MODELS"),
]
MODELS = Path(_FOLDER or ".")
TEMPLATES = Path(chat_template.__file__).parent / "templates"


@pytest.mark.parametrize("name", chat_template.shipped())
def test_a_base_model_takes_every_shipped_template(name: str, tmp_path: Path) -> None:
    base = MODELS / "base"
    assert identity.chat_template(base) is None
    template = (TEMPLATES / f"{name}.jinja").read_text()
    dressed = chat_template.dress(base, template, tmp_path / name)
    assert chat_template.fault_of(dressed, named=True) is None
    bare = template.replace("{{- bos_token }}", "").replace("bos_token ~ ", "")
    without = chat_template.dress(base, bare, tmp_path / f"{name}-without")
    assert "begins every text with <bos>" in str(chat_template.fault_of(without, named=True))


def test_an_instruct_model_ends_an_answer_as_its_own_template_does() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODELS / "instruct")
    assert chat_template.fault(tokenizer, named=False) is None
    assert chat_template.end_of_turn(tokenizer) == "<|im_end|>"
    known = len(tokenizer)
    chat_template.add_tokens(tokenizer)
    assert len(tokenizer) == known
