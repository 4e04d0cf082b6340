"""A failure never looks like success: real commands, an engine that fails and recovers."""

import json
from pathlib import Path

import pytest

import toy
from api_server import serve, status
from checkout import Cli
from crashes import all_rows
from srlm_data.store import Store
from tiny import tiny_model

FAILING = ("{log", "{failing: [0.2, 1], log")
FAR = """\
seed: 3
engine: {}
datasets:
  model: {step: checkpoint, remote: big@2026-04-14}
  prompts: {step: 'toy:toy_prompts', n: 20}
  candidates: {step: generate, prompts: prompts, model: model, n: 1, max_tokens: 8}
"""
HEALTHY = ("{log", "{failing: [0.0, 1], log")


def failed(folder: Path, name: str) -> int:
    return Store(folder / "store").resolve(name).failed


def test_failed_requests_are_asked_again_by_the_next_build_and_nothing_else_is(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    healthy = tmp_path / "healthy"
    healthy.mkdir()
    toy.write_recipe(healthy)
    assert cli("build", "toy.yaml", cwd=healthy).returncode == 0

    toy.write_recipe(project, FAILING)
    first = cli("build", "toy.yaml")
    answers, judged = (failed(project, f"toy.{name}") for name in ("candidates", "judgments"))
    assert answers
    assert judged
    assert first.returncode == 6
    assert f"warning: {answers} of 24 requests failed: the toy is busy ({answers})" in first.stderr
    assert f"error: toy.candidates: {answers} of 24 requests failed" in first.stderr
    assert "error: toy.judgments: " in first.stderr
    assert "next: srlm-data build toy.yaml" in first.stderr
    assert "have no score" not in first.stderr
    unfinished = Store(project / "store").resolve("toy.candidates")

    planned = cli("plan", "toy.yaml").stdout
    assert "~ toy.candidates" in planned
    assert f"{answers} failed requests will be asked again" in planned
    assert "? toy.judgments" in planned
    assert f"{answers} of 24 requests failed: the toy is busy" in (
        cli("show", "toy.candidates").stdout
    )

    assert cli("report", "toy", "-o", "page.html").returncode == 0
    page = (project / "page.html").read_text()
    for count, of in ((answers, 24), (judged, 2 * (24 - answers))):
        assert f"{count} of {of} requests failed: the toy is busy ({count})" in page

    asked = len(toy.asked(project))
    toy.write_recipe(project, HEALTHY)
    second = cli("build", "toy.yaml")
    assert second.returncode == 0, second.stderr
    assert all_rows(project) == all_rows(healthy)
    assert len({one.key for one in toy.asked(project)}) == len(toy.asked(project))
    assert len(toy.asked(project)) > asked
    assert "= toy.candidates" in cli("build", "toy.yaml").stderr
    # The first one stays what it was: nothing in a version ever changes.
    assert Store(project / "store").verify(unfinished) == []


def test_failures_that_are_accepted_stay_so_and_the_version_says_it(
    cli: Cli, project: Path
) -> None:
    toy.write_recipe(project, FAILING)
    assert cli("build", "toy.yaml").returncode == 6
    before, asked = all_rows(project), toy.asked(project)
    accepted = cli("build", "toy.yaml", "--accept-failures")
    assert accepted.returncode == 0, accepted.stderr
    assert {name: rows[1:] for name, rows in all_rows(project).items()} == {
        name: rows[1:] for name, rows in before.items()
    }
    toy.write_recipe(project, HEALTHY)
    again = cli("build", "toy.yaml")
    assert again.returncode == 0
    assert "requests failed: the toy is busy (" in again.stderr
    assert "they were accepted" in again.stderr
    assert toy.asked(project) == asked
    assert "they were accepted" in cli("show", "toy.candidates").stdout
    assert "= toy.candidates" in cli("plan", "toy.yaml").stdout


def test_a_build_that_accepts_failures_from_the_start_ends_well(cli: Cli, project: Path) -> None:
    toy.write_recipe(project, FAILING)
    built = cli("build", "toy.yaml", "--accept-failures", "--json")
    assert built.returncode == 0
    rows = {row["name"]: row for row in json.loads(built.stdout)}
    count = failed(project, "toy.candidates")
    assert rows["toy.candidates"]["accepted"] is True
    assert rows["toy.candidates"]["failures"] == {"busy": {"count": count, "sentence": toy.BUSY}}
    assert rows["toy.candidates"]["health_checks"][0]["kind"] == "failed_requests"
    assert rows["toy.prompts"]["failures"] == {}


def test_what_is_still_failing_gives_the_same_version_and_nothing_downstream_is_made_anew(
    cli: Cli, project: Path
) -> None:
    toy.write_recipe(project, FAILING)
    assert cli("build", "toy.yaml").returncode == 6
    before = all_rows(project)
    again = cli("build", "toy.yaml")
    assert again.returncode == 6
    assert all_rows(project) == before
    assert "= toy.pairs" in again.stderr


@pytest.mark.parametrize("answers", [1, 4])
def test_a_step_whose_requests_all_fail_ends_the_build_with_the_reason(
    cli: Cli, project: Path, answers: int
) -> None:
    toy.write_recipe(project, ("{log", "{failing: [1.0, 1], log"), ("n: 4", f"n: {answers}"))
    built = cli("build", "toy.yaml")
    assert built.returncode == 6
    asked = min(6 * answers, 11)
    assert f"error: toy.candidates: {asked} of {asked} requests failed: the toy is busy" in (
        built.stderr
    )
    assert Store(project / "store").names() == ["toy.model", "toy.prompts"]


def test_the_failure_budget_is_set_in_the_recipe_and_holds_for_an_engine_of_ones_own(
    cli: Cli, project: Path
) -> None:
    toy.write_recipe(
        project, FAILING, ("kind: toy:open_toy", "kind: toy:open_toy\n  failure_budget: 0.05"),
        ("  options", "  failure_floor: 1\n  options"),
    )  # fmt: skip
    built = cli("build", "toy.yaml")
    assert built.returncode == 6
    assert "error: toy.candidates: 2 of " in built.stderr
    assert "raise the engine's 'failure_budget'" in built.stderr


@pytest.mark.parametrize("place", ["def open_broken(", "    def generate("])
def test_an_engine_of_ones_own_that_raises_ends_the_build_in_a_sentence(
    cli: Cli, project: Path, place: str
) -> None:
    text = (
        "import toy\n"
        "class Broken(toy.ToyEngine):\n"
        "    def generate(self, requests, *, total=None):\n"
        "        yield from super().generate(requests, total=total)\n"
        "def open_broken(options, model, digest, revision):\n"
        "    return Broken(digest, **options)\n"
    )
    head, _, rest = text.partition(place)
    line, _, rest = rest.partition("\n")
    indent = "        " if "generate" in place else "    "
    (project / "broken.py").write_text(
        f"{head}{place}{line}\n{indent}raise KeyError('no such field')\n{rest}"
    )
    toy.write_recipe(project, ("toy:open_toy", "broken:open_broken"))
    built = cli("build", "toy.yaml")
    assert built.returncode == 6
    assert "error: engine 'broken:open_broken': KeyError at broken.py:" in built.stderr
    assert "found ''no such field''" in built.stderr
    assert "Traceback" not in built.stderr


def test_a_model_is_not_trained_on_rows_that_lack_answers(cli: Cli, project: Path) -> None:
    train = "\n  m2: {step: dpo, model: model, pairs: pairs, reference: model}\n"
    recipe = toy.write_recipe(project, FAILING)
    recipe.write_text(recipe.read_text().rstrip() + train)
    built = cli("build", "toy.yaml")
    assert built.returncode == 6
    assert "toy.m2: its training data lacks the answers" in built.stderr


def test_a_server_that_answers_503_to_everybody_ends_the_build_with_the_reason(
    cli: Cli, project: Path
) -> None:
    with serve(always=status(503, "overloaded")) as api:
        engine = f"engine: {{kind: openai, base_url: '{api.address}', patience: 0.3}}"
        (project / "far.yaml").write_text(FAR.replace("engine: {}", engine))
        built = cli("build", "far.yaml")
    assert built.returncode == 6
    assert "error: far.candidates: 11 of 11 requests failed: HTTP 503, overloaded (11)" in (
        built.stderr
    )
    assert "built 2, reused 0; 0 warnings; 11 model calls, " in built.stderr


def test_a_server_that_answers_429_to_everybody_is_not_waited_for_for_ever(
    cli: Cli, project: Path
) -> None:
    with serve(always=status(429, "later", Retry_After="3600")) as api:
        engine = f"engine: {{kind: openai, base_url: '{api.address}', patience: 1}}"
        (project / "far.yaml").write_text(FAR.replace("engine: {}", engine))
        built = cli("build", "far.yaml")
    assert built.returncode == 6
    assert "it has not answered for 1 s, found: HTTP 429, later." in built.stderr


def test_what_an_engine_notes_of_its_answers_is_told_where_it_is_built(
    cli: Cli, project: Path
) -> None:
    with serve() as api:
        engine = f"engine: {{kind: openai, base_url: '{api.address}', omit: [seed]}}"
        (project / "far.yaml").write_text(FAR.replace("engine: {}", engine))
        built = cli("build", "far.yaml")
    assert built.returncode == 0
    assert "warning: 20 of 20 answers: sent without seed." in built.stderr
    assert "; 1 warning; " in built.stderr
    assert "next: srlm-data show far.candidates\n" in built.stderr


@pytest.mark.slow
def test_a_chat_template_that_raises_ends_the_build_with_the_reason(
    model_cli: Cli, project: Path
) -> None:
    folder = tiny_model(project / "model")
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no such role') }}")
    text = FAR.replace("engine: {}", "engine: {kind: transformers}")
    (project / "far.yaml").write_text(text.replace("remote: big@2026-04-14", "path: model"))
    built = model_cli("build", "far.yaml")
    assert built.returncode == 6
    assert (
        "error: far.candidates: 11 of 11 requests failed: the chat template refuses the "
        "conversation: no such role (11)"
    ) in built.stderr
    assert "far.candidates" not in Store(project / "store").names()
