"""Models whose templates lack or refuse something, through the real command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from checkout import Cli
from needed import needs
from srlm_data.models import identity
from srlm_data.store import Store
from tiny import tiny_model

pytestmark = [pytest.mark.slow, needs("transformers")]

# Gemma's own refuses both a system turn and two turns of one role in a row.
STRICT = """\
{{- bos_token }}
{%- for message in messages %}
{%- if message.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate') }}
{%- endif %}
{{- '<|' ~ message.role ~ '|>' ~ message.content ~ eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""

RECIPE = """\
seed: 1
engine: {kind: transformers}
datasets:
  prompts: {step: read_prompts, files: [prompts.jsonl]}
  model: {step: checkpoint, path: m0}
  candidates: {step: generate, prompts: prompts, model: model, n: 2, max_tokens: 8, cut_off: keep}
"""


@pytest.fixture
def base(project: Path) -> Path:
    """A project with a base model, which has no chat template."""
    (tiny_model(project / "m0") / "chat_template.jinja").unlink()
    (project / "strict.jinja").write_text(STRICT)
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where is the lamp?"},
    ]
    with (project / "prompts.jsonl").open("w") as file:
        file.write(json.dumps({"prompt": turns}) + "\n")
        file.write(json.dumps({"prompt": [turns[1], turns[1]]}) + "\n")
    return project


def refusal(answer: subprocess.CompletedProcess[str], code: int) -> str:
    assert answer.returncode == code, answer.stderr
    return answer.stderr.splitlines()[-1].removeprefix("error: ")


def said(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.returncode == 0, answer.stderr
    return answer.stdout + answer.stderr


def test_a_base_model_is_asked_by_the_template_that_its_checkpoint_names(
    base: Path, model_cli: Cli
) -> None:
    recipe = base / "asked.yaml"
    recipe.write_text(RECIPE)
    assert "Set 'chat_template' on its checkpoint." in refusal(model_cli("build", recipe), 6)
    recipe.write_text(RECIPE.replace("path: m0", "path: m0, chat_template: strict.jinja"))
    told = refusal(model_cli("build", recipe), 3)
    assert "refuses the turns 'system, user' of 1 prompts" in told
    assert "found 'System role not supported'. Set 'system: fold'" in told
    named = "path: m0, chat_template: strict.jinja, system: fold"
    recipe.write_text(RECIPE.replace("path: m0", named))
    assert "4 candidates" in said(model_cli("build", recipe))
    store = Store(base / "store")
    (model,) = store.rows(store.resolve("asked.model")).dicts()
    assert model["location"] == f"store:models/{model['model']}"
    assert identity.digest(base / "store" / "models" / model["model"]) == model["model"]
    # It is built as before, and the plan says so.
    assert "never built" not in said(model_cli("plan", recipe))
    recipe.write_text(RECIPE.replace("path: m0", "path: m0, chat_template: zephyr"))
    assert "config.chat_template" in said(model_cli("plan", recipe))
