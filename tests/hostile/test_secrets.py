"""Keys and tokens are in the environment, and nowhere that a build writes or says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import strange
from checkout import Cli
from srlm_data.core.redaction import redacted, remember
from srlm_data.models.training import Sft, run

TOKENS = {
    "HF_TOKEN": "planted-hub-token-3141592653",
    "OPENAI_API_KEY": 'planted "quoted" openai key 2718281828',
    "MY_SERVICE_PASSWORD": "planted_password_1618033988",
}
OPTION = "planted-option-key-1414213562"
SHAPED = "hf_PlantedOnTheCommandLine12345"
PLANTED = [*TOKENS.values(), OPTION, SHAPED]


@pytest.fixture
def said(project: Path, cli_env: dict[str, str]) -> Iterator[list[str]]:
    """Everything that commands have said, checked in the end with all that they left on disk."""
    cli_env |= TOKENS
    lines: list[str] = []
    (project / "prompts.jsonl").write_text('{"prompt": "say"}\n')
    yield lines
    assert lines
    written = [file.read_bytes() for file in (project / "store").rglob("*") if file.is_file()]
    written += [file.read_bytes() for file in project.glob("*.lock")]
    everything = b"\n".join([*written, *(line.encode() for line in lines)])
    for token in PLANTED:
        assert token.encode() not in everything, token


@pytest.fixture
def command(cli: Cli, said: list[str]) -> Cli:
    """Run a command with keys around it, and keep what it says."""

    def command(*args: str) -> subprocess.CompletedProcess[str]:
        answer = cli(*args)
        said.extend([answer.stdout, answer.stderr])
        return answer

    return command


def recipe(project: Path, **options: str) -> None:
    given = "".join(f", {name}: '{value}'" for name, value in options.items())
    engine = "{kind: 'strange:open_echo', options: {api_key: '%s'%s}}" % (OPTION, given)  # noqa: UP031
    text = strange.RECIPE.replace("{kind: 'strange:open_echo'}", engine)
    assert OPTION in text
    (project / "strange.yaml").write_text(text)


def test_a_build_with_keys_around_it_writes_none_of_them(project: Path, command: Cli) -> None:
    recipe(project)
    folder = project / SHAPED  # as a word of the command line, which a manifest keeps
    folder.mkdir()
    for name in ("strange.yaml", "prompts.jsonl"):
        (folder / name).write_text((project / name).read_text())
    for words in (
        ("plan", f"{SHAPED}/strange.yaml"), ("build", f"{SHAPED}/strange.yaml"),
        ("build", f"{SHAPED}/strange.yaml"), ("log", "strange.pairs"), ("show", "strange.pairs"),
        ("show", "strange.pairs", "--manifest"), ("ls", "--json"), ("verify",),
    ):  # fmt: skip
        answer = command(*words)
        assert answer.returncode == 0, answer.stderr
    assert "[a key]/strange.yaml" in command("log", "strange.pairs").stdout


def test_an_engine_that_fails_with_a_key_in_its_message_is_told_without_it(
    project: Path, command: Cli
) -> None:
    recipe(project, fails=f"401 for {TOKENS['HF_TOKEN']} and {OPTION}")
    answer = command("build", "strange.yaml")
    assert answer.returncode == 6
    assert "401 for [HF_TOKEN] and [api_key]" in answer.stderr


def test_a_bug_of_ones_own_engine_is_told_without_keys(project: Path, command: Cli) -> None:
    recipe(project, breaks=f"{TOKENS['MY_SERVICE_PASSWORD']} {OPTION} {SHAPED}")
    answer = command("build", "strange.yaml")
    assert answer.returncode == 6
    assert "found 'cannot log in with [MY_SERVICE_PASSWORD] [api_key] [a key]'" in answer.stderr


BUGGY = """
from srlm_data import Config, Prompts


class Buggy(Config):
    \"\"\"Takes nothing.\"\"\"


def buggy(config: Buggy) -> Prompts:
    \"\"\"Fail.\"\"\"
    raise RuntimeError("cannot log in with {}")
"""


def test_a_traceback_is_told_without_keys(project: Path, command: Cli) -> None:
    words = f"{TOKENS['MY_SERVICE_PASSWORD'].replace(chr(34), chr(92) + chr(34))} {SHAPED}"
    (project / "bugs.py").write_text(BUGGY.format(words))
    (project / "bug.yaml").write_text("datasets:\n  prompts: {step: 'bugs:buggy'}\n")
    answer = command("build", "bug.yaml")
    assert answer.returncode == 1
    assert "Traceback" in answer.stderr
    assert "RuntimeError: cannot log in with [MY_SERVICE_PASSWORD] [a key]" in answer.stderr


def test_a_misspelt_engine_setting_does_not_quote_the_key(project: Path, command: Cli) -> None:
    engine = "engine: {kind: vllm, api_key: '%s'}" % OPTION  # noqa: UP031
    text = strange.RECIPE.replace("engine: {kind: 'strange:open_echo'}", engine)
    (project / "strange.yaml").write_text(text)
    answer = command("build", "strange.yaml")
    assert answer.returncode == 2
    assert "'api_key': extra inputs are not permitted" in answer.stderr
    assert OPTION not in answer.stderr


def test_a_key_among_a_steps_settings_is_refused_before_it_is_written(
    project: Path, command: Cli
) -> None:
    text = strange.RECIPE.replace("'toy:toy_model'", f"'toy:toy_model', weights: '{SHAPED}'")
    assert SHAPED in text
    (project / "strange.yaml").write_text(text)
    answer = command("build", "strange.yaml")
    assert answer.returncode == 2
    assert "strange.yaml:3: 'weights' holds a key or a token" in answer.stderr
    assert not (project / "store").exists()


SENT = """
engine: {kind: openai, base_url: 'http://127.0.0.1:9/v1', api_key_env: AWS_SECRET_ACCESS_KEY}
datasets:
  model: {step: checkpoint, remote: 'm@2026'}
  prompts: {step: read_prompts, files: [prompts.jsonl]}
  candidates: {step: generate, prompts: prompts, model: model}
"""


def test_a_recipe_sends_no_variable_to_a_server_that_its_user_has_not_named(
    cli: Cli, project: Path
) -> None:
    (project / "sent.yaml").write_text(SENT)
    (project / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    for command in (["plan"], ["build", "-q"]):
        run = cli(*command, "sent.yaml")
        assert run.returncode == 2
        assert (
            "sent.yaml:2: 'api_key_env': the variable AWS_SECRET_ACCESS_KEY would be sent"
            in run.stderr
        )
        assert "give --allow-env AWS_SECRET_ACCESS_KEY" in run.stderr
    named = ["plan", "sent.yaml", "--no-preflight", "--allow-env", "AWS_SECRET_ACCESS_KEY"]
    assert "asks http://127.0.0.1:9/v1" in cli(*named).stdout


def test_a_trainer_is_given_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child says what it sees of the environment, into a log that stays in the store."""
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HARMLESS_SETTING", "seen")
    child = tmp_path / "child.py"
    child.write_text("import os, sys\nprint(dict(os.environ))\nsys.exit(3)\n")
    settings = Sft(launch=(sys.executable, str(child)))
    with pytest.raises(Exception, match="failed with status 3"):
        run("sft.py", settings, tmp_path / "work", model=tmp_path, data=[])
    log = (tmp_path / "work" / "log.txt").read_text()
    assert "HARMLESS_SETTING" in log
    for name, value in TOKENS.items():
        assert name not in log
        assert value not in log


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf_abcdefghijklmnopqrstuvwx", "[a key]"),
        ("key=sk-proj-abcdefghijklmnopqrst.", "key=[a key]."),
        ("https://user:s3cret@example.org/x", "https://[a key]@example.org/x"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123", "[a key]"),
        ("hf_short, sk-, https://example.org:8000/x, task-oriented-learning-of-models",) * 2,
    ],
)
def test_a_secret_is_known_by_its_shape(text: str, expected: str) -> None:
    assert redacted(text) == expected


def test_the_longer_of_two_secrets_is_hidden_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "abcdefgh")
    monkeypatch.setenv("B_TOKEN", "abcdefghijkl")
    monkeypatch.setenv("SHORT_KEY", "1")
    assert redacted("abcdefghijkl abcdefgh 1") == "[B_TOKEN] [A_TOKEN] 1"


def test_options_are_remembered_however_deep_they_lie() -> None:
    remember({"headers": {"auth_token": "deeply-planted-0000"}, "log": "harmless-file-name"})
    assert redacted("deeply-planted-0000 harmless-file-name") == "[auth_token] harmless-file-name"
