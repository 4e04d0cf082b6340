"""`srlm-data rm` takes names away; what nothing needs then goes with the next collection."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import srlm_data
import toy
from checkout import Cli
from srlm_data.core import checked_json
from srlm_data.store import Store
from srlm_data.store.graph import Graph


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    toy.publish_pairs(folder)
    return folder / "store"


@pytest.fixture
def store(original: Path, project: Path) -> Store:
    shutil.copytree(original, project / "store")
    return Store(project / "store")


def test_a_removed_dataset_is_collected_and_what_others_need_of_it_is_kept(
    cli: Cli, store: Store
) -> None:
    run = cli("rm", "toy.candidates")
    assert run.returncode == 0, run.stderr
    assert "toy.candidates@latest removed" in run.stdout
    assert "2 versions made from it: toy.judgments@" in run.stdout
    assert "toy.candidates" not in store.names()
    assert srlm_data.gc(store=store, delete=True).garbage == []  # the pairs were made from it
    assert not srlm_data.verify(store=store)
    run = cli("rm", "toy.pairs")
    assert "toy.pairs@latest removed\ntoy.pairs@published removed\n" in run.stdout
    assert cli("rm", "toy.judgments").returncode == 0
    gone = {garbage.name.partition("@")[0] for garbage in srlm_data.gc(store=store).garbage}
    assert gone == {"toy.candidates", "toy.judgments", "toy.pairs"}
    assert srlm_data.gc(store=store, delete=True).garbage
    assert cli("ls").returncode == 0
    assert not srlm_data.verify(store=store)
    asked = toy.asked(store.root.parent)
    assert cli("build", toy.write_recipe(store.root.parent)).returncode == 0
    assert toy.asked(store.root.parent) == asked  # answers are kept
    assert "toy.pairs" in store.names()


def test_one_name_of_a_version_goes_and_the_others_stay(store: Store) -> None:
    version = store.resolve("toy.pairs").version
    result = srlm_data.remove("toy.pairs@published", store=store)
    assert (result.names, result.used_by) == (["toy.pairs@published"], [])
    assert store.refs("toy.pairs") == {"latest": version}
    assert "toy.pairs@published" in str(result)


def test_a_version_without_its_latest_name_is_found_by_its_tag_and_can_be_built_again(
    cli: Cli, store: Store
) -> None:
    pairs = store.resolve("toy.pairs")
    assert cli("rm", "toy.pairs@latest").returncode == 0
    assert store.resolve("toy.pairs@published") == pairs
    assert "toy.pairs" not in cli("ls").stdout
    assert cli("sql", "SELECT count(*) FROM all_judgments").returncode == 0
    assert srlm_data.gc(store=store, delete=True).garbage == []
    assert cli("build", toy.write_recipe(store.root.parent)).returncode == 0
    assert store.resolve("toy.pairs") == pairs


def test_a_dry_run_takes_nothing_away(cli: Cli, store: Store) -> None:
    before = store.refs("toy.pairs")
    run = cli("rm", f"toy.pairs@{before['latest'][:5]}", "--dry-run")
    assert "toy.pairs@latest would be removed\ntoy.pairs@published would be removed\n" in run.stdout
    assert store.refs("toy.pairs") == before


@pytest.mark.parametrize("ref", ["toy.pears", "toy.pairs@nope", "../../x", "toy.model@0", ""])
def test_what_is_not_there_is_a_sentence(store: Store, ref: str) -> None:
    with pytest.raises(srlm_data.StoreError):
        srlm_data.remove(ref, store=store)
    assert set(store.names()) == set(toy.DATASETS)


def tomorrow(store: Store, name: str) -> None:
    """Let the latest version of a dataset be one that a newer srlm-data has written."""
    file = store.folder(name, store.resolve(name).version) / "manifest.json"
    file.write_bytes(checked_json.dumps({**checked_json.loads(file.read_bytes()), "format": 99}))


def test_a_version_of_tomorrows_format_is_stepped_around_as_a_damaged_one_and_can_be_removed(
    cli: Cli, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = store.resolve("toy.pairs")
    tomorrow(store, "toy.candidates")
    [parent, _] = Graph(store).parents(pairs)
    assert parent.manifest is None
    assert "format 99 is not supported" in caplog.text
    assert srlm_data.lineage("toy.pairs", store=store)
    assert srlm_data.cost(store=store)
    assert srlm_data.sql("SELECT count(*) FROM toy.pairs", store=store).fetchall() == [(6,)]
    assert srlm_data.gc(store=store).garbage == []
    run = cli("log", "toy.candidates")  # and where it is asked for, it is named
    assert run.returncode == 4
    assert run.stderr.count("format 99 is not supported") == 1
    assert "Traceback" not in run.stderr
    srlm_data.remove("toy.candidates", store=store)
    assert srlm_data.versions(store=store).faults == []


def test_putting_a_version_aside_takes_its_names_along(cli: Cli, store: Store) -> None:
    [file] = store.files(store.resolve("toy.pairs"))
    file.write_bytes(b"PAR1")
    run = cli("verify", "--quarantine")
    assert run.returncode == 0, run.stderr
    assert "removed with it: toy.pairs@latest, toy.pairs@published" in run.stdout
    assert store.refs("toy.pairs") == {}
    assert cli("verify").returncode == 0
    assert cli("ls").returncode == 0
    assert cli("build", toy.write_recipe(store.root.parent)).returncode == 0
    assert "toy.pairs" in store.names()


def test_a_name_that_leads_nowhere_goes_with_the_quarantine(cli: Cli, store: Store) -> None:
    shutil.rmtree(store.folder("toy.pairs", store.resolve("toy.pairs").version))
    assert cli("verify").returncode == 4
    run = cli("verify", "--quarantine")
    assert "removed with it: toy.pairs@latest, toy.pairs@published" in run.stdout
    assert cli("verify").returncode == 0
