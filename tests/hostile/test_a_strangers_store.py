"""A store, a journal or a model that a stranger has made leads nowhere outside of itself."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

import srlm_data
import toy
from checkout import Cli
from srlm_data.analysis.query import connect, refused, run
from srlm_data.core import checked_json
from srlm_data.core.errors import RecipeError, StoreError
from srlm_data.engines.cache import _batches
from srlm_data.engines.cache.journal import append_frame, seal_journals
from srlm_data.engines.protocol import Completion, Request, Sampling
from srlm_data.models import identity
from srlm_data.store import Store


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    toy.build_once(folder)
    return folder / "store"


@pytest.fixture
def store(original: Path, project: Path) -> Store:
    shutil.copytree(original, project / "store")
    return Store(project / "store")


def folder_of(store: Store, name: str = "toy.pairs") -> Path:
    return store.root / "datasets" / name / store.resolve(name).version


def change(file: Path, **values: Any) -> None:
    """A stranger who knows how such a file is written writes it with other values."""
    file.write_bytes(checked_json.dumps({**checked_json.loads(file.read_bytes()), **values}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../../outside"),
        ("version", "../../../../etc"),
        ("type", "passwords"),
        ("files", [{"path": "../../../../x.parquet", "rows": 1, "bytes": 1, "sha256": ""}]),
        ("files", [{"path": "/etc/passwd", "rows": 1, "bytes": 1, "sha256": ""}]),
        ("files", [{"path": "data/../../train.parquet", "rows": 1, "bytes": 1, "sha256": ""}]),
        ("files", [{"path": "data/train-00000-of-00001.parquet", "run": "rm"}]),
        ("files", [{"path": 7, "rows": 1, "bytes": 1, "sha256": ""}]),
        ("inputs", "everything"),
        ("command", "rm -r"),
        ("notes", {"agreement": "full"}),
        ("notes", {"dropped": ["all"]}),
        ("notes", {"judges": {"mine": 5}}),
        ("notes", {"training": {"answers_cut": 5}}),
    ],
)
def test_a_manifest_speaks_of_its_own_version_only(store: Store, field: str, value: Any) -> None:
    change(folder_of(store) / "manifest.json", **{field: value})
    with pytest.raises(StoreError, match="the manifest is damaged, found"):
        store.resolve("toy.pairs")
    with connect(store) as connection, pytest.raises(StoreError, match="the manifest is damaged"):
        ask(connection, store, "FROM toy.pairs")


def test_one_unreadable_version_is_named_and_every_command_steps_around_it(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    change(folder_of(store, "toy.candidates") / "manifest.json", drops={"all": "many"})
    place = store.root
    found = srlm_data.versions(store=place)
    assert (len(found.manifests), len(found.faults)) == (len(store.names()) - 1, 1)
    assert srlm_data.cost(store=place)
    assert srlm_data.gc(store=place, delete=True).garbage == []
    assert srlm_data.sql("SELECT count(*) FROM toy.pairs", store=place).fetchall() == [(6,)]
    assert srlm_data.lineage("toy.prompts", store=place)
    assert srlm_data.plan(toy.write_recipe(place.parent), store=place)
    assert "found 'drops.all': Input should be a valid integer" in caplog.text
    faults = srlm_data.verify(store=place, quarantine=True).faults
    assert [fault.kind for fault in faults] == ["version"]
    assert srlm_data.verify("toy.pairs", store=place).faults == []


def ask(connection: duckdb.DuckDBPyConnection, store: Store, query: str) -> list[Any]:
    with refused(store, query):
        return run(connection, store, query).fetchall()


@pytest.mark.parametrize("version", ["../../../etc", "/etc", "", 7, None, ["x"], "ABCDEF01" * 2])
def test_references_name_versions_and_nothing_else(store: Store, version: Any) -> None:
    change(store.root / "datasets" / "toy.pairs" / "refs.json", refs={"latest": version})
    with pytest.raises(StoreError, match="the names of the versions are damaged"):
        store.resolve("toy.pairs")


NAMES = [
    "../../x", "/etc/passwd", "toy.pairs@../../..", "toy", "TOY.PAIRS", "toy.pairs\n", ".", "",
    "t\u03bfy.pairs", "a" * 300, "toy.pairs@" + "0" * 300, "con.nul", "toy.pairs.more", "a\0b",
]  # fmt: skip


@pytest.mark.parametrize("ref", NAMES, ids=ascii)
def test_a_name_that_is_none_is_a_sentence(store: Store, ref: str) -> None:
    with pytest.raises(StoreError):
        store.resolve(ref)


@given(st.text())
def test_no_name_leads_out_of_a_store(ref: str) -> None:
    with pytest.raises(StoreError):
        Store(Path("/nowhere")).resolve(ref)


def test_the_command_line_tells_a_strangers_mistakes_in_sentences(cli: Cli, store: Store) -> None:
    change(folder_of(store) / "manifest.json", name="../../\x1b[2J")
    for words in (("show", "toy.pairs"), ("sql", "FROM toy.pairs"), ("ls",), ("show", "\x1b[2J")):
        answer = cli(*words)
        assert answer.returncode == 4, words
        assert answer.stderr.startswith("error: ")
        assert "\x1b" not in answer.stderr


@pytest.mark.parametrize("part", ["", "data", "data/train-00000-of-00001.parquet", "dataset"])
def test_a_link_in_a_store_is_not_followed(store: Store, part: str) -> None:
    place = folder_of(store).parent if part == "dataset" else folder_of(store) / part
    elsewhere = store.root.parent / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    with pytest.raises(StoreError, match="it is a link, and links inside a store are not followed"):
        store.rows(store.resolve("toy.pairs"))


def test_a_store_may_itself_be_reached_by_a_link(cli: Cli, store: Store) -> None:
    store.root.rename(store.root.parent / "elsewhere")
    store.root.symlink_to(store.root.parent / "elsewhere")
    assert cli("sql", "FROM toy.pairs").returncode == 0
    assert cli("build", toy.write_recipe(store.root.parent)).returncode == 0


def test_a_link_in_place_of_a_lock_leaves_what_it_leads_to_alone(store: Store) -> None:
    precious = store.root.parent / "precious.txt"
    precious.write_text("precious")
    (store.root / "locks" / "toy.pairs.refs.lock").symlink_to(precious)
    with pytest.raises(StoreError, match="it is a link"):
        store.point("toy.pairs", store.resolve("toy.pairs").version, "mine")
    assert precious.read_text() == "precious"


def test_stray_files_beside_the_datasets_disturb_nobody(cli: Cli, store: Store) -> None:
    (store.root / "datasets" / ".DS_Store").write_text("")
    (store.root / "datasets" / "Not A Dataset").mkdir()
    (folder_of(store).parent / "notes").mkdir()
    (folder_of(store).parent / "notes" / "manifest.json").write_text("{}")
    for words in (("ls",), ("verify",), ("log", "toy.pairs"), ("sql", "FROM toy.pairs")):
        assert cli(*words).returncode == 0, words


def test_a_tag_cannot_take_the_name_of_a_version(cli: Cli, store: Store) -> None:
    version = store.resolve("toy.pairs").version
    name = next((version[:n] for n in range(1, 17) if version[:n].isidentifier()), None)
    for tag in filter(None, [name, "latest", "../up", "a" * 101, "\u0430bc"]):
        assert cli("tag", "toy.pairs", tag).returncode == 2, tag


@pytest.mark.parametrize("model", ["../../../outside", "/outside", "", ".hidden", "a/b", "a" * 200])
def test_a_journal_cannot_name_a_folder_elsewhere(store: Store, model: str) -> None:
    file = store.root / "journal" / "stranger.log"
    file.parent.mkdir(exist_ok=True)
    completion = Completion(Request("r", (), Sampling(0.7, 0.9, 16), 0), "t", "stop", 1, 1)
    append_frame(file, 0, _batches.encode(_batches.to_batch("s", model, [completion])))
    before = sorted(store.root.parent.rglob("*.parquet"))
    with pytest.raises(StoreError, match="a digest is"):
        seal_journals(store.root)
    assert sorted(store.root.parent.rglob("*.parquet")) == before


# Models --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location", ["store:../outside", "store:models/../../x", "store:/etc", "store:", "ftp:x", ""]
)
def test_a_model_of_the_store_lies_in_the_store(store: Store, location: str) -> None:
    with pytest.raises(StoreError):
        identity.locate(location, store.root)


@pytest.mark.parametrize(
    "weights",
    ["../elsewhere.safetensors", "/etc/passwd", "pytorch_model.bin", 7, None, "a/b.safetensors"],
)
def test_an_index_names_safetensors_of_its_own_folder(tmp_path: Path, weights: Any) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"layer": weights}})
    )
    with pytest.raises(RecipeError, match="names something other than safetensors"):
        identity.digest(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]", b"{", b"7", b'{"a": 1}', b'{"a": {}}', b'{"a": {"data_offsets": [0]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-8, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 99999999999]}}',
        b'{"a": {"dtype": "F32", "shape": "x", "data_offsets": ["a", "b"]}}',
        b'{"a": {"dtype": "F32", "shape": 7, "data_offsets": [0, 4]}}',
        b"[" * 100_000,
    ],
    ids=lambda header: header[:60].decode(),
)  # fmt: skip
def test_a_header_that_lies_is_a_damaged_file(tmp_path: Path, header: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(RecipeError, match="not a complete safetensors file"):
        identity.digest(tmp_path)


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", 1 << 32))
        file.truncate((1 << 32) + 64)  # a hole: no disk is needed for it
    with pytest.raises(RecipeError, match="not a complete safetensors file"):
        identity.digest(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl", "last.ckpt"])
def test_pickled_weights_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04cposix\nsystem\n.")
    with pytest.raises(RecipeError, match="loading a pickle can run arbitrary code"):
        identity.digest(tmp_path)
