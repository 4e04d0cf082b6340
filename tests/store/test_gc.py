"""Collecting: what a name, a tag, a lock file or a killed build needs stays, and so do answers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import toy
from checkout import Cli
from commands import one_sentence
from srlm_data.core import schema
from srlm_data.core.errors import BusyError, RecipeError, StoreError
from srlm_data.core.rows import Rows
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.store import Manifest, Store, access
from srlm_data.store import _gc as gc


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose toy recipe was built as it is, and then with five answers a prompt."""
    folder = tmp_path_factory.mktemp("built")
    store = toy.build_once(folder)
    shutil.copyfile(folder / "toy.lock", folder / "first.lock")
    build(load(toy.write_recipe(folder, ("n: 4", "n: 5"))), store)
    return folder


@pytest.fixture
def store(built: Path, project: Path) -> Store:
    """A copy of it."""
    shutil.copytree(built, project, dirs_exist_ok=True)
    toy.write_recipe(project, ("n: 4", "n: 5"))
    return Store(project / "store")


def names(found: gc.GcResult) -> list[tuple[str, str]]:
    return [(one.kind, one.name.partition("@")[0]) for one in found.garbage]


OLD = [("version", f"toy.{name}") for name in ("candidates", "judgments", "pairs")]


def test_what_no_name_leads_to_can_go_and_is_only_listed_unless_told(
    cli: Cli, project: Path, store: Store
) -> None:
    listed = cli("gc")
    assert "3 things" in listed.stdout
    assert "can go; --delete deletes it" in listed.stdout
    assert names(gc.find(store)) == OLD
    answers = {file: file.read_bytes() for file in store.root.glob("answers/*/*")}
    told = json.loads(cli("gc", "--delete", "--json").stdout)
    assert (told["deleted"], len(told["garbage"]), told["kept_versions"]) == (True, 3, 5)
    assert told["bytes"] == sum(one["bytes"] for one in told["garbage"]) > 0
    assert gc.find(store).garbage == []
    assert {file: file.read_bytes() for file in store.root.glob("answers/*/*")} == answers
    assert cli("verify").returncode == 0
    # What was deleted costs no answer to make again.
    before = len(toy.asked(project))
    build(load(toy.write_recipe(project)), store)
    assert len(toy.asked(project)) == before


def test_a_tag_keeps_a_version_and_all_that_it_was_made_from(store: Store) -> None:
    before = next(
        one
        for one in (store.manifest("toy.pairs", v) for v in store.versions("toy.pairs"))
        if one.version != store.resolve("toy.pairs").version
    )
    store.point("toy.pairs", before.version, "published")
    assert gc.find(store).garbage == []


def test_a_lock_file_beside_a_recipe_keeps_what_it_names(
    cli: Cli, project: Path, store: Store
) -> None:
    recipes = project / "recipes"
    recipes.mkdir()
    (project / "first.lock").rename(recipes / "first.lock")
    (recipes / "first.yml").write_text("datasets: {}")
    assert "0 things" in cli("gc").stdout
    absent = cli("gc", "--delete", "--recipes", "elsewhere")
    assert "elsewhere: no such folder of recipes." in one_sentence(absent, 2)
    (project / "elsewhere").mkdir()
    assert "3 things" in cli("gc", "--recipes", "elsewhere").stdout
    (recipes / "first.lock").write_text("{")
    with pytest.raises(RecipeError, match="not what a build writes beside a recipe"):
        gc.find(store, [recipes / "first.lock"])


def test_a_version_that_a_killed_build_had_no_time_to_name_is_kept(store: Store) -> None:
    version = store.resolve("toy.pairs").version
    refs = store.root / "datasets" / "toy.pairs" / "refs.json"
    refs.unlink()
    assert version not in [one.path.name for one in gc.find(store).garbage]


def test_nothing_is_deleted_while_somebody_builds_and_no_build_begins_meanwhile(
    cli: Cli, store: Store
) -> None:
    with access.shared(store.root):
        refused = cli("gc", "--delete")
        assert refused.returncode == 5
        assert f"it is in use, last by process {os.getpid()} on" in refused.stderr
        assert "3 things" in cli("gc").stdout
    with access.alone(store.root):
        busy = cli("build", "toy.yaml", "--no-wait")
        assert busy.returncode == 5
        assert "unneeded versions are being deleted by process" in busy.stderr
        with pytest.raises(BusyError), access.shared(store.root, wait=False):
            pass


def test_where_a_name_or_a_manifest_is_damaged_no_version_is_deleted(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    latest = store.resolve("toy.candidates")
    file = store.folder(latest.name, latest.version) / "manifest.json"
    file.write_bytes(file.read_bytes().replace(b"toy", b"toi", 1))
    assert gc.sweep(store).garbage == []
    assert "Until then every version and model is kept." in caplog.text
    assert len(store.versions("toy.pairs")) == 2


def model(store: Store, name: str, digest: str) -> None:
    (store.root / "models" / digest).mkdir(parents=True)
    (store.root / "models" / digest / "config.json").write_text("{}")
    row = {"model": digest, "method": "sft", "location": f"store:models/{digest}"}
    store.commit(name, Rows.of(schema.MODELS, [row]), identity={"model": digest}, inputs=[])


def test_a_model_goes_with_the_last_version_that_names_it(store: Store) -> None:
    model(store, "toy.m1", "a" * 32)
    model(store, "toy.m1", "b" * 32)
    assert ("model", "a" * 32) in names(gc.find(store))
    assert ("model", "b" * 32) not in names(gc.find(store))
    gc.sweep(store)
    assert [path.name for path in (store.root / "models").iterdir()] == ["b" * 32]


def test_scratch_of_a_training_that_was_killed_stays_until_another_version_is_built(
    store: Store,
) -> None:
    work = store.root / "models" / ".work"
    done = work / f"toy.pairs-{store.resolve('toy.pairs').version}"
    killed = work / "toy.pairs-0123456789abcdef"
    for folder in (done, killed):
        folder.mkdir(parents=True)
        (folder / "log.txt").write_text("step 7")
    assert [one.name for one in gc.find(store).garbage if one.kind == "work"] == [done.name]
    old = time.time() - 9
    for path in (killed, killed / "log.txt"):
        os.utime(path, (old, old))
    build(load(toy.write_recipe(store.root.parent)), store)
    assert ("work", killed.name) in names(gc.find(store))


def test_what_a_killed_writer_left_goes_and_what_a_living_one_stages_does_not(
    store: Store,
) -> None:
    script = (
        "import sys, pathlib\nfrom srlm_data.store import access\n"
        "with access.staging(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'rows').write_text('a')\n    print('staged', flush=True)\n"
        "    sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(store.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdout
    assert writer.stdout.readline() == "staged\n"
    assert names(gc.sweep(store)) == OLD
    assert len(list(store.root.glob(".staging/*/rows"))) == 1
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert names(gc.sweep(store)) == []
    assert list((store.root / ".staging").iterdir()) == []
    assert list((store.root / "locks").iterdir()) == []


def test_a_reader_follows_a_name_that_moves_on_while_it_looks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = store.resolve("toy.pairs").version
    (old,) = set(store.versions("toy.pairs")) - {new}
    store.point("toy.pairs", old)
    manifest = store.manifest

    def meanwhile(name: str, version: str) -> Manifest:
        """A build names another version, and a collection takes the one that was just found."""
        if version == old:
            store.point("toy.pairs", new)
            shutil.rmtree(store.folder(name, old), ignore_errors=True)
        return manifest(name, version)

    monkeypatch.setattr(store, "manifest", meanwhile)
    assert store.resolve("toy.pairs").version == new
    with pytest.raises(StoreError, match="no such version"):
        store.rows(replace(manifest("toy.pairs", new), version=old))
