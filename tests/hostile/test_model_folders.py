"""Folders of models that strangers made: `plan` says in a sentence what is wrong, and none runs."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

import srlm_data

HEADER = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b'{"chat_template": "{{ messages }}"}',
    "model.safetensors": struct.pack("<Q", len(HEADER)) + HEADER + bytes(4),
}


def complaint(folder: Path, files: dict[str, bytes | None], link: str | None = None) -> str:
    """Return what `plan` says of a recipe that asks a model of these files."""
    model = folder / "model"
    model.mkdir()
    for name, data in (FILES | files).items():
        if data is not None:
            (model / name).write_bytes(data)
    if link is not None:
        (model / "model.safetensors").symlink_to(link)
    (folder / "p.jsonl").write_text('{"prompt": "Why?"}\n')
    recipe = folder / "mine.yaml"
    recipe.write_text(
        "engine: {kind: transformers}\ndatasets:\n  m: {step: checkpoint, path: model}\n"
        "  p: {step: read_prompts, files: [p.jsonl]}\n  a: {step: generate, prompts: p, model: m}\n"
    )
    try:
        srlm_data.plan(recipe, store=folder / "store").refuse_problems()
    except srlm_data.SrlmError as error:
        return str(error)
    return ""


def template(text: object) -> dict[str, bytes | None]:
    return {"tokenizer_config.json": json.dumps({"chat_template": text}).encode()}


NO_WEIGHTS: dict[str, bytes | None] = {"model.safetensors": None}
DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (NO_WEIGHTS, "no model.safetensors"),
        (NO_WEIGHTS | {"pytorch_model.bin": b"\x80\x04cos\nsystem\n."}, "can run arbitrary code"),
        ({"model.safetensors": b""}, "not a complete safetensors file"),
        ({"model.safetensors": b"\x10\0\0"}, "not a complete safetensors file"),
        ({"config.json": b"\xff\xfe"}, "config.json: not JSON"),
        ({"config.json": DEEP}, "config.json: not JSON"),
        ({"config.json": b"[]"}, "not a JSON object"),
        ({"config.json": b'{"a":' * 900 + b"{}" + b"}" * 900}, "nested endlessly|not JSON"),
        ({"tokenizer.json": DEEP}, "tokenizer.json: not JSON"),
        ({"generation_config.json": DEEP}, "generation_config.json: not JSON"),
        ({"chat_template.jinja": b"\xff"}, "found no UTF-8 text"),
        (template(7), "the chat template is not text, found 7"),
        (template([1, {"name": "default"}]), "has no chat template"),
        (template("{{ messages }}{% include '/etc/passwd' %}"), "that includes another file"),
        (template("{{ messages }}{{ 'a' * 10**11 }}"), "over 1 GiB of memory for three turns"),
        (template("{{ 'a'|center(10**11) }}"), "over 1 GiB of memory for three turns"),
        pytest.param(
            template(
                "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
            ),
            "over 3 seconds for three turns",
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_plan_says_what_is_wrong_with_a_models_folder(
    tmp_path: Path, files: dict[str, bytes | None], sentence: str
) -> None:
    found = complaint(tmp_path, files)
    assert any(part in found for part in sentence.split("|")), found
    assert found.count("\n") == 0


@pytest.mark.parametrize("link", ["/etc/passwd", "/nowhere", "model.safetensors", "/dev/zero", "."])
def test_weights_that_are_a_link_to_no_weights_are_refused(tmp_path: Path, link: str) -> None:
    found = complaint(tmp_path, NO_WEIGHTS, link)
    assert "not a complete safetensors file" in found or "a broken link" in found


def test_a_pipe_in_the_place_of_weights_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "weights")
    assert "a broken link" in complaint(tmp_path, NO_WEIGHTS, "../pipe/weights")


def test_code_that_comes_with_a_model_is_not_run_by_plan(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    config = {"model_type": "own", "auto_map": {"AutoConfig": "evil.Config"}}
    evil = f"open({str(ran)!r}, 'w')\n".encode()
    files = {"config.json": json.dumps(config).encode(), "evil.py": evil, "__init__.py": evil}
    assert complaint(tmp_path, files) == ""
    assert not ran.exists()


def test_templates_of_real_models_are_taken(tmp_path: Path) -> None:
    text = (
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% if loop.last %}{% break %}{% endif %}{% endfor %}{{ strftime_now('%d') }}"
    )
    assert complaint(tmp_path, template(text)) == ""


def test_a_recipes_own_template_that_multiplies_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("{{ messages }}{{ 'a' * 10**11 }}")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("datasets: {m: {step: checkpoint, path: x, chat_template: mine.jinja}}")
    with pytest.raises(srlm_data.RecipeError, match="a chat template that takes over 1 GiB"):
        srlm_data.plan(recipe, store=tmp_path / "store")
