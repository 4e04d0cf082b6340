"""Publishing, by the real command against a Hub on loopback: one commit, or nothing."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

import toy
from checkout import Cli
from commands import ran, sentence
from hub_repos import READER, TOKEN, Hub
from srlm_data.cli import cli as command
from srlm_data.core import checked_json
from srlm_data.core.errors import ArgumentError, HubError, StoreError
from srlm_data.core.packages import install_command
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.publish._bundle import select
from srlm_data.publish._push import prepare_dataset
from srlm_data.publish.api import push
from srlm_data.store import Store

KEY = "datasets/ada/toy"
PUBLISH = ("publish", "toy", "--repo", "ada/toy")
FEW = ("publish", "toy.prompts", "toy.candidates", "--repo", "ada/toy")
"""Two files of rows, where it does not matter which are published."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a built toy recipe, to copy."""
    folder = tmp_path_factory.mktemp("made")
    toy.build_once(folder)
    return folder / "store"


@pytest.fixture
def store(made: Path, project: Path) -> Store:
    """The project's store, with the toy recipe built."""
    shutil.copytree(made, project / "store")
    return Store(project / "store")


@pytest.fixture(scope="module")
def first() -> Hub:
    """What the first publication has left on its Hub."""
    return Hub()


@pytest.fixture
def released(cli: Cli, hub: Hub, store: Store, first: Hub) -> Hub:
    """A Hub to which the recipe was published as v1."""
    if not first.repos:
        ran(cli(*PUBLISH, "--tag", "v1"))
        first.take(hub)
    hub.take(first)
    hub.requests.clear()
    return hub


def test_a_recipe_is_one_commit_with_a_card_a_config_a_dataset_and_a_tag(
    cli: Cli, hub: Hub, store: Store
) -> None:
    said = ran(cli(*PUBLISH, "--tag", "v1"))
    assert said == f"{hub.url}/{KEY} (private), tag v1: 12 files\n"
    repo = hub.repos[KEY]
    assert repo.private
    assert repo.messages == [".", "Publish toy (v1)"]
    assert repo.tags == {"v1": repo.branches["main"]}
    configs = ("candidates", "judgments", "pairs", "prompts")
    assert sorted(hub.files(KEY, "v1")) == sorted([
        ".gitattributes", "README.md", *(f"manifests/{one}.json" for one in configs),
        *(f"{one}/train-00000-of-00001.parquet" for one in configs), "pairs/funnel.svg",
        *(f"pairs/splits/{one}-00000-of-00001.parquet" for one in ("train", "test")),
    ])  # fmt: skip
    [file] = store.files(store.resolve("toy.pairs"))
    assert hub.files(KEY)["pairs/train-00000-of-00001.parquet"] == file.read_bytes()


def test_nothing_is_sent_twice(cli: Cli, released: Hub) -> None:
    hub = released
    sent, commits = len(hub.stored), len(hub.repos[KEY].commits)
    assert "as published before, nothing was sent" in ran(cli(*PUBLISH, "--tag", "v1"))
    assert not [one for one in hub.requests if not one.startswith("GET")]
    assert (len(hub.stored), len(hub.repos[KEY].commits)) == (sent, commits)

    # A release that shares files with the one before sends what is new, and takes away the rest.
    ran(cli("publish", "toy.pairs", "--repo", "ada/toy", "--tag", "pairs"))
    assert len(hub.stored) == sent
    now, before = hub.files(KEY), hub.files(KEY, "v1")
    assert {path for path in now if "/" in path} == {
        "manifests/pairs.json", "pairs/train-00000-of-00001.parquet", "pairs/funnel.svg",
        "pairs/splits/train-00000-of-00001.parquet", "pairs/splits/test-00000-of-00001.parquet",
    }  # fmt: skip
    assert len(before) == 13


def test_files_of_others_stay_and_a_tag_never_moves(cli: Cli, released: Hub) -> None:
    hub = released
    hub.commit(KEY, {"LICENSE": b"mine", "README.md": b"edited by hand"})
    said = sentence(cli("publish", "toy.pairs", "--repo", "ada/toy", "--tag", "v1"))
    assert said.startswith("ada/toy: the tag 'v1' names other data already, at ")
    assert said.endswith("A tag never moves: choose another one with --tag.")
    ran(cli(*PUBLISH, "--tag", "v1"))  # the same data: the card alone is written anew
    assert hub.files(KEY)["LICENSE"] == b"mine"
    assert hub.files(KEY)["README.md"].startswith(b"---\npretty_name: toy\n")
    assert "LICENSE" not in hub.files(KEY, "v1")


def test_a_dry_run_shows_files_and_card_and_needs_no_hub(cli: Cli, store: Store) -> None:
    shown = ran(cli(*PUBLISH, "--dry-run"))  # HF_HUB_OFFLINE is set
    upload = prepare_dataset(select(store, ["toy"]), store, repo="ada/toy", tag=None, license=None)
    assert shown.startswith(f"ada/toy@{upload.tag} would hold 12 files:\n")
    assert "pairs/train-00000-of-00001.parquet\n" in shown
    assert shown.endswith(f"\nREADME.md:\n\n{upload.card}")


def test_a_release_is_named_by_its_content_where_no_tag_is_given(
    cli: Cli, hub: Hub, store: Store
) -> None:
    done = json.loads(ran(cli(*FEW, "--json")))
    assert hub.repos[KEY].tags == {done["tag"]: done["commit"]}
    assert len(done["tag"]) == 16


def test_a_pull_request_leaves_the_branch_and_the_tags_alone(
    cli: Cli, hub: Hub, store: Store
) -> None:
    ran(cli("publish", "toy.pairs", "--repo", "ada/toy", "--tag", "v1"))
    before = hub.repos[KEY].branches["main"]
    said = ran(cli(*PUBLISH, "--pr"))
    assert said == f"pull request: {hub.url}/{KEY}/discussions/1\n"
    repo = hub.repos[KEY]
    assert repo.branches["main"] == before
    assert list(repo.tags) == ["v1"]
    assert len(repo.commits[repo.branches["refs/pr/1"]]) == 13


def test_only_who_says_public_publishes_in_public(cli: Cli, hub: Hub, store: Store) -> None:
    assert "(public)" in ran(cli(*FEW, "--public"))
    assert not hub.repos[KEY].private
    said = sentence(cli(*FEW))
    assert said == (
        "ada/toy: the dataset is public on the Hub, and private is the default. "
        "Say --public, or name another repository."
    )


def test_what_cannot_be_published_is_told_before_anything_is_sent(store: Store) -> None:
    answer = CliRunner().invoke(command, ["publish", "--repo", "ada/toy"])
    assert answer.exit_code == 2
    assert "name what to publish, or give --all." in answer.output
    with pytest.raises(ArgumentError, match=r"a repository is USER/NAME, found 'toy'\."):
        push("toy", repo="toy", store=store)
    with pytest.raises(ArgumentError, match="publishes one model"):
        push("toy", "toy.pairs", repo="ada/toy", kind="model", store=store)
    with pytest.raises(StoreError, match="it is a model, not a dataset"):
        select(store, ["toy.model"])
    with pytest.raises(StoreError, match=r"no dataset 'tory.pairs'. Did you mean 'toy.pairs'\?"):
        select(store, ["tory.pairs"])


def test_a_damaged_version_is_not_published(store: Store) -> None:
    [file] = store.files(store.resolve("toy.pairs"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(StoreError, match="is not what was written"):
        prepare_dataset(select(store, ["toy"]), store, repo="ada/toy", tag=None, license=None)


# Nothing private ------------------------------------------------------------------------------


def test_what_is_uploaded_names_no_token_no_folder_and_no_machine(
    cli: Cli, hub: Hub, store: Store, project: Path, cli_env: dict[str, str]
) -> None:
    home, host = cli_env["HOME"], socket.gethostname()
    for manifest in map(store.resolve, toy.DATASETS):  # as a build elsewhere might have left it
        file = store.root / "datasets" / manifest.name / manifest.version / "manifest.json"
        told = checked_json.loads(file.read_bytes())
        told["provenance"] |= {
            "argv": ["srlm-data", home, TOKEN, host],
            "host": host,
            "user": "ada-l",
        }
        file.write_bytes(checked_json.dumps(told))
    ran(cli(*PUBLISH))
    everything = [*hub.blobs.values(), *(one.encode() for one in hub.repos[KEY].messages)]
    for private in (home, host, TOKEN, str(project), "ada-l"):
        assert not [data for data in everything if private.encode() in data], private


def test_a_template_that_holds_a_token_stops_the_publication(
    cli: Cli, store: Store, project: Path
) -> None:
    (project / "judge.txt").write_text(
        f"{TOKEN}\n{{prompt}}\n<response>\n{{response}}\n</response>\nScore: <total>\n"
    )
    change = ("repeats: 2", "repeats: 1, template: judge.txt")
    build(load(toy.write_recipe(project, change)), store)
    said = sentence(cli(*PUBLISH, "--dry-run"))
    assert said.startswith(
        "toy: manifests/judgments.json: it contains an access token, which would be"
    )
    assert TOKEN not in said


def test_rows_that_hold_a_token_are_not_published(project: Path, store: Store) -> None:
    line = {"prompt": "My key?", "completion": f"It is {TOKEN}."}
    (project / "mine.jsonl").write_text(json.dumps(line) + "\n")
    (project / "mine.yaml").write_text(
        "datasets:\n  ift: {step: read_examples, files: [mine.jsonl]}\n"
    )
    build(load(project / "mine.yaml"), store)
    with pytest.raises(HubError, match="1 of its rows hold what looks like an access token"):
        prepare_dataset(select(store, ["mine"]), store, repo="ada/mine", tag=None, license=None)


# What goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "wanted"),
    [
        ("hf_nobodysTokenNobodysTokenNobody", "the Hub does not know this login, found 401"),
        (READER, "the token may not do this, found 403"),
    ],
)
def test_a_token_that_may_not_write_is_a_sentence(
    cli: Cli, hub: Hub, store: Store, cli_env: dict[str, str], token: str, wanted: str
) -> None:
    cli_env["HF_TOKEN"] = token
    said = sentence(cli(*FEW))
    assert said.startswith(f"ada/toy: {wanted}")
    assert "Log in with 'hf auth login'" in said
    assert hub.repos == {}


def test_a_push_that_another_one_overtook_is_refused_whole(
    cli: Cli, hub: Hub, store: Store
) -> None:
    hub.fail("commit/main", 0, before=lambda: hub.commit(KEY, {"notes.md": b"first"}))
    said = sentence(cli(*FEW))
    assert said.startswith("ada/toy: another push came first, found 412")
    assert said.endswith("check what changed there and publish again.")
    assert sorted(hub.files(KEY)) == [".gitattributes", "notes.md"]
    assert hub.repos[KEY].tags == {}
    ran(cli(*FEW))
    assert len(hub.files(KEY)) == 8


@pytest.mark.parametrize("status", [503, None])
def test_a_commit_that_fails_publishes_nothing_and_sends_no_file_again(
    cli: Cli, hub: Hub, store: Store, status: int | None
) -> None:
    hub.fail("commit/main", status)
    said = sentence(cli(*FEW))
    wanted = f"the Hub failed, found {status}" if status else "the connection failed, found"
    assert said.startswith(f"ada/toy: {wanted}")
    assert sorted(hub.files(KEY)) == [".gitattributes"]
    sent = len(hub.stored)
    ran(cli(*FEW))
    assert len(hub.stored) == sent == 2


def test_a_hub_that_fails_twice_and_cuts_an_upload_is_asked_again(
    cli: Cli, hub: Hub, store: Store
) -> None:
    hub.fail("preupload", 503, times=2)
    hub.fail("PUT /lfs", None)
    ran(cli(*FEW))
    assert len(hub.files(KEY)) == 7


def test_an_upload_that_breaks_off_goes_on_where_it_was(cli: Cli, hub: Hub, store: Store) -> None:
    hub.fail("PUT /lfs", 0)
    hub.fail("PUT /lfs", 403, times=9)
    sentence(cli(*FEW))
    assert sorted(hub.files(KEY)) == [".gitattributes"]
    half = list(hub.stored)
    hub.faults.clear()
    ran(cli(*FEW))
    assert len(hub.stored) == len(set(hub.stored)) == 2
    assert len(half) < 2


def test_bytes_that_arrive_damaged_are_refused_by_their_checksum(
    cli: Cli, hub: Hub, store: Store
) -> None:
    hub.spoil = lambda data: data[:-1] + b"?"
    said = sentence(cli(*FEW))
    assert said.startswith("ada/toy: the Hub refuses the request, found 422")
    assert sorted(hub.files(KEY)) == [".gitattributes"]
    hub.spoil = bytes
    ran(cli(*FEW))


def test_a_large_file_goes_up_in_parts(cli: Cli, hub: Hub, store: Store) -> None:
    hub.part_bytes = 2000
    ran(cli(*FEW))
    parts = [one for one in hub.requests if one.startswith("PUT /lfs/")]
    assert len(parts) > len(hub.stored) == 2
    [file] = store.files(store.resolve("toy.candidates"))
    assert hub.files(KEY)["candidates/train-00000-of-00001.parquet"] == file.read_bytes()


def test_without_the_optional_package_its_name_is_told(
    cli: Cli, store: Store, project: Path, cli_env: dict[str, str]
) -> None:
    (project / "huggingface_hub.py").write_text("raise ImportError('not here')\n")
    cli_env["PYTHONPATH"] = f"{project}:{cli_env['PYTHONPATH']}"
    said = sentence(cli(*PUBLISH), 8)
    assert said.endswith(f"Install it with: {install_command(['hub'])}")
