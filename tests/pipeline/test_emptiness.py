"""A step that makes nothing of something ends the build, with the reason and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

import toy
from api_server import answer, completion, serve
from checkout import Cli
from srlm_data.store import Store

FAR = """\
engine: {kind: openai, base_url: ADDRESS}
datasets:
  model: {step: checkpoint, remote: big@2026-04-14}
  prompts: {step: 'toy:toy_prompts', n: 6}
  candidates: {step: generate, prompts: prompts, model: model, n: 4}
  judgments: {step: judge, candidates: candidates, model: model}
"""


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param(
            completion(" "),
            "24 of 24 were dropped as 'empty'. Ask the model by hand",
            id="answers without text",
        ),
        pytest.param(
            completion("", "length"),
            "24 of 24 were dropped as 'cut_off'. Raise 'max_tokens'",
            id="answers cut off before any text",
        ),
    ],
)
def test_answers_that_are_all_dropped_end_the_build(
    cli: Cli, project: Path, body: object, sentence: str
) -> None:
    with serve(always=answer(body)) as api:
        (project / "far.yaml").write_text(FAR.replace("ADDRESS", api.address))
        built = cli("build", "far.yaml")
    assert built.returncode == 3
    assert f"error: far.candidates: made no candidates from 6 prompts; {sentence}" in built.stderr
    assert "set 'allow_empty: true'" in built.stderr
    assert Store(project / "store").names() == ["far.model", "far.prompts"]


def test_a_recipe_may_allow_it_and_nothing_of_nothing_is_no_error(cli: Cli, project: Path) -> None:
    none = "step: sql, inputs: {prompts: prompts}, query: 'SELECT * FROM prompts WHERE false'"
    recipe = toy.write_recipe(project, ("n: 6}", f"n: 6}}\n  few: {{{none}}}"))
    refused = cli("build", "toy.yaml", "few")
    assert refused.returncode == 3
    assert "error: toy.few: made no prompts from 6 prompts. Check what the step reads" in (
        refused.stderr
    )
    text = recipe.read_text().replace(none, f"{none}, allow_empty: true")
    recipe.write_text(text.replace("prompts: prompts, model", "prompts: few, model"))
    built = cli("build", "toy.yaml")
    assert built.returncode == 0, built.stderr
    assert Store(project / "store").resolve("toy.pairs").rows == 0


def test_allow_empty_is_true_or_false(cli: Cli, project: Path) -> None:
    toy.write_recipe(project, ("n: 6}", "n: 6, allow_empty: often}"))
    planned = cli("plan", "toy.yaml")
    assert planned.returncode == 2
    assert "'allow_empty' is true or false, found 'often'" in planned.stderr


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        ("length", "'cut_off', and 24 answers are reasoning alone. Raise 'max_tokens'"),
        ("stop", "'empty', and 24 answers are reasoning alone. Ask for less reasoning or none"),
    ],
)
def test_answers_that_are_reasoning_alone_are_named(
    cli: Cli, project: Path, ended: str, words: str
) -> None:
    (project / "thinker.py").write_text(
        "import toy\n"
        "class Thinker(toy.ToyEngine):\n"
        "    def generate(self, requests, *, total=None):\n"
        "        for done in super().generate(requests, total=total):\n"
        f"            yield done._replace(text='', finish_reason='{ended}', reasoning='Hm.')\n"
        "def open_thinker(options, model, digest, revision):\n"
        "    return Thinker(digest, **options)\n"
    )
    toy.write_recipe(project, ("toy:open_toy", "thinker:open_thinker"))
    built = cli("build", "toy.yaml")
    assert built.returncode == 3
    assert f"24 of 24 were dropped as {words}" in built.stderr
