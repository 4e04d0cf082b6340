"""Know the judge before paying: what it writes of a few candidates, and what is read of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import toy
from checkout import Cli

RANKED = """\
  messages: {step: 'srlm_data.demo.steps:world_messages', n: 30}
  ift: {step: select_ift, messages: messages, n: 5}
  ranked: {step: select_ranked, messages: messages, exclude: ift}
"""


def write_recipe(project: Path, *changes: tuple[str, str]) -> None:
    recipe = toy.write_recipe(project, *changes)
    recipe.write_text(recipe.read_text() + RANKED)


def check(cli: Cli, *options: str) -> dict[str, Any]:
    done = cli("judge-check", "toy.yaml", "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_judge_is_known_before_it_is_paid_and_the_build_pays_no_answer_twice(
    cli: Cli, project: Path
) -> None:
    write_recipe(project)
    shown = check(cli, "--n", "3")
    assert len(shown["judgments"]) == 3
    assert len({one["prompt_id"] for one in shown["judgments"]}) == 3
    first = shown["judgments"][0]
    assert first["text"].startswith("So so.\nScore: ")
    assert (first["state"], first["why"]) == ("parsed", "the last line of a score")
    assert shown["read"] == 1
    human = shown["human"]
    assert human["dataset"].startswith("toy.ranked@")
    assert human["pairs"] == 3
    assert len(human["judgments"]) == 6
    assert human["share"] == human["agreeing"] / 3
    # 3 prompts with 4 answers each, 3 of which were judged, and 6 ranked replies.
    assert (shown["asked"], shown["reused"]) == (9, 0)
    assert len(toy.asked(project)) == 12 + 9

    again = check(cli, "--n", "3")
    assert (again["asked"], again["reused"]) == (0, 9)
    assert again["judgments"] == shown["judgments"]

    assert cli("build", "toy.yaml", "pairs").returncode == 0
    asked = toy.asked(project)
    assert len(asked) == len({one.key for one in asked}) == 24 + 48 + 6
    built = check(cli, "judgments", "-n", "24")  # of what the build has made
    assert built["reused"] == 24 + 6
    assert len(built["judgments"]) == 24

    told = cli("judge-check", "toy.yaml", "-n", "1").stdout
    for part in (
        "judges with 'judge'",
        "So so.\n",
        "(parsed: ",
        "read 100 %",
        "in the human order",
    ):
        assert part in told


def test_what_cannot_be_read_says_why(cli: Cli, project: Path) -> None:
    (project / "mine.txt").write_text("{prompt}<response>{response}</response>{reference}")
    write_recipe(project, ("repeats: 2", "repeats: 2, reader: json"))
    shown = check(cli, "-n", "2")
    assert {(one["state"], one["score"]) for one in shown["judgments"]} == {("unparsed", None)}
    assert shown["judgments"][0]["why"]
    assert shown["read"] == 0
    assert (shown["human"]["share"], shown["human"]["unscored"]) == (None, 2)
    write_recipe(project, ("repeats: 2", "repeats: 2, template: mine.txt"))
    told = cli("judge-check", "toy.yaml", "-n", "2").stdout
    assert "6 candidates not shown: no reference" in told
    assert "read 0 % of 0 judgments: none" in told


@pytest.mark.parametrize(
    ("step", "change", "sentence"),
    [
        ("nobody", (), "no step 'judge' makes 'nobody', found judgments."),
        ("pairs", (), "no step 'judge' makes 'pairs', found judgments."),
        (
            "judgments",
            (
                (
                    "prompts: {step",
                    "tuned: {step: sft, model: model, data: [ift]}\n  prompts: {step",
                ),
            ),
            "'toy.tuned' is not built. Run 'srlm-data build toy.yaml tuned' first.",
        ),
    ],
)
def test_a_judge_that_is_not_there_is_a_sentence(
    cli: Cli, project: Path, step: str, change: tuple[tuple[str, str], ...], sentence: str
) -> None:
    recipe = toy.write_recipe(project)
    text = recipe.read_text()
    if change:
        text = text.replace("datasets:\n", f"datasets:\n{RANKED}")
        text = text.replace("model, repeats", "tuned, repeats")
    for old, new in change:
        text = text.replace(old, new)
    recipe.write_text(text)
    done = cli("judge-check", "toy.yaml", step)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert toy.asked(project) == []


def test_of_several_judges_one_is_named(cli: Cli, project: Path) -> None:
    write_recipe(
        project,
        ("  pairs:", "  other: {step: judge, candidates: candidates, model: model}\n  pairs:"),
    )
    done = cli("judge-check", "toy.yaml")
    assert done.returncode == 2
    assert "found judgments, other. Name one of them." in done.stderr
