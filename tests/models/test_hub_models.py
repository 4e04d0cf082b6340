"""A model of the Hub: named by its files, as in a folder, and by a commit that stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checkout import Cli
from commands import one_sentence, sentence
from hub_repos import Hub, Repo
from srlm_data.models import identity
from srlm_data.store import Store
from tiny import tiny_model

KEY = "models/ada/tiny"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def commit(hub: Hub, weights: Path) -> str:
    """The commit of a model on the Hub, its weights an LFS file."""
    repo = hub.repos[KEY] = Repo(private=False)
    first = "0" * 40
    repo.commits[first], repo.branches["main"] = {}, first
    return hub.push(KEY, {file.name: file.read_bytes() for file in weights.iterdir()})


def write(project: Path, model: str) -> None:
    (project / "mine.yaml").write_text(f"datasets:\n  m: {{step: checkpoint, {model}}}\n")


def built(cli: Cli, project: Path) -> dict[str, object]:
    """Build the recipe, and return the model's row."""
    answer = cli("build", "mine.yaml", "-q")
    assert answer.returncode == 0, answer.stderr
    store = Store(project / "store")
    [row] = store.version("mine.m").dicts()
    return row


def test_the_same_files_are_one_model_in_a_folder_and_on_the_hub(
    cli: Cli, hub: Hub, commit: str, weights: Path, project: Path
) -> None:
    write(project, f"hub: ada/tiny@{commit}")
    row = built(cli, project)
    assert row["model"] == identity.digest(weights)
    assert row["location"] == f"hub:ada/tiny@{commit}"
    assert not [one for one in hub.requests if one.endswith("model.safetensors")]
    before = Store(project / "store").resolve("mine.m")
    write(project, f"path: {weights}")
    assert built(cli, project)["model"] == row["model"]
    after = Store(project / "store").resolve("mine.m")
    assert before.content == after.content  # so that nothing that reads it is made anew


@pytest.mark.parametrize("name", ["ada/tiny", "ada/tiny@main", "ada/tiny@v1"])
def test_a_name_that_moves_is_looked_up_once_and_written_into_the_lock_file(
    cli: Cli, hub: Hub, commit: str, project: Path, name: str
) -> None:
    hub.repos[KEY].tags["v1"] = commit
    write(project, f"hub: {name}")
    told = cli("plan", "mine.yaml")
    assert told.returncode == 0, told.stderr
    asked = name if "@" in name else f"{name}@main"
    assert f"'{asked}' moves, and is {commit} now" in told.stderr
    assert not (project / "mine.lock").exists()
    assert built(cli, project)["location"] == f"hub:ada/tiny@{commit}"
    lock = json.loads((project / "mine.lock").read_text())
    assert lock["pins"] == {f"model/{asked}": commit}

    moved = hub.push(KEY, {"README.md": b"new"})
    hub.repos[KEY].tags["v1"] = moved
    hub.requests.clear()
    again = cli("build", "mine.yaml")
    assert "1 model, reused\n" in again.stderr
    assert "moves" not in again.stderr
    assert hub.requests == []
    assert cli("gc").returncode == 0

    (project / "mine.lock").unlink()
    assert f"is {moved} now" in cli("plan", "mine.yaml").stderr


def test_what_the_hub_does_not_have_is_a_sentence(
    cli: Cli, hub: Hub, commit: str, project: Path
) -> None:
    write(project, "hub: ada/tiny@v9")
    said = sentence(cli("plan", "mine.yaml"))
    assert said.startswith("mine.yaml:2: ada/tiny: there is no revision 'v9', found 404")
    write(project, f"hub: ada/tiny@{'1' * 40}")
    assert "mine.yaml:2: ada/tiny: there is no rev" in one_sentence(
        cli("build", "mine.yaml", "-q"), 9
    )
    hub.push(KEY, {"model.safetensors": None, "pytorch_model.bin": b"x"})
    write(project, "hub: ada/tiny")
    (project / "mine.lock").unlink(missing_ok=True)
    assert "the weights are pickled" in cli("build", "mine.yaml", "-q").stderr


def test_a_model_that_was_downloaded_is_named_without_the_hub(
    cli: Cli, cli_env: dict[str, str], hub: Hub, commit: str, project: Path
) -> None:
    write(project, f"hub: ada/tiny@{commit}")
    first = built(cli, project)
    cli_env["HF_HUB_OFFLINE"] = "1"
    other = ("--store", "other", "build", "mine.yaml", "-q")
    assert "ada/tiny: " in one_sentence(cli(*other), 9)
    cache = next(Path(cli_env["HOME"]).rglob("snapshots")) / commit
    blob = hub.repos[KEY].commits[commit]["model.safetensors"]
    (cache / "model.safetensors").write_bytes(hub.blobs[blob])
    assert cli(*other).returncode == 0
    [row] = Store(project / "other").version("mine.m").dicts()
    assert row["model"] == first["model"]
