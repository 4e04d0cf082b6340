"""The store: a version exists completely or not at all, and is never changed."""

import json
import multiprocessing
import subprocess
import sys

import duckdb
import polars
import pytest

from builders import answer, prompt
from srlm_data.core import rows as rows_module
from srlm_data.core import schema
from srlm_data.core.errors import BusyError, DataError, StoreError
from srlm_data.core.rows import Rows
from srlm_data.store import Store, shards


def candidate(of, response, sample=0):
    return answer(of["prompt_id"], response, prompt=of["prompt"], sample=sample)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def commit(store, rows, name="seed.prompts", type=schema.PROMPTS, identity=None, inputs=()):
    return store.commit(
        name,
        Rows.of(type, rows),
        identity=identity or {"n": len(rows)},
        inputs=list(inputs),
    )


def test_rows_come_back_as_they_were_committed(store):
    rows = [prompt("héllo 🌍\u0000 \n"), prompt("b")]
    manifest = commit(store, rows)
    read = store.rows(store.resolve("seed.prompts")).dicts()
    assert {one["prompt_id"]: one["prompt"] for one in read} == {
        one["prompt_id"]: one["prompt"] for one in rows
    }
    assert manifest.rows == 2
    assert store.verify(manifest) == []


def test_a_version_opens_with_plain_tools(store):
    manifest = commit(store, [prompt("a"), prompt("b")])
    folder = store.root / "datasets" / manifest.name / manifest.version
    pattern = str(folder / "data" / "*.parquet")
    assert duckdb.execute(f"SELECT count(*) FROM '{pattern}'").fetchall() == [(2,)]
    assert polars.scan_parquet(pattern).collect().height == 2
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(folder), split="train", cache_dir=str(store.root / "cache"))
    assert sorted(turn[0]["content"] for turn in loaded["prompt"]) == ["a", "b"]


def test_the_same_identity_committed_twice_is_one_version(store):
    first, second = (commit(store, [prompt("a")]) for _ in range(2))
    assert first.version == second.version
    assert store.versions("seed.prompts") == [first.version]
    assert list((store.root / ".staging").iterdir()) == []


def test_other_rows_under_the_same_identity_are_refused(store):
    commit(store, [prompt("a")], identity={"n": 1})
    with pytest.raises(StoreError, match="other rows under this identity"):
        commit(store, [prompt("b")], identity={"n": 1})
    assert list((store.root / ".staging").iterdir()) == []


def test_no_rows_are_a_version_with_a_schema(store):
    manifest = commit(store, [])
    assert store.rows(manifest).table().schema.equals(schema.PROMPTS.schema)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([prompt("a"), prompt("a")], "must be unique"),
        ([{**prompt("a"), "prompt": []}], "a prompt is not empty"),
        ([{**prompt("a"), "source": None}], "may not be null"),
    ],
)
def test_rows_that_break_a_rule_never_become_a_version(store, rows, sentence):
    with pytest.raises(DataError, match=sentence):
        store.commit(
            "seed.prompts", Rows.stream(schema.PROMPTS, iter(rows)), identity={}, inputs=[]
        )
    assert store.names() == []
    assert list((store.root / ".staging").iterdir()) == []


def test_an_orphan_never_becomes_a_version(store):
    known, unknown = prompt("known"), prompt("unknown")
    prompts = commit(store, [known])
    with pytest.raises(DataError, match="orphan"):
        commit(
            store, [candidate(known, "x"), candidate(unknown, "y")], "seed.candidates",
            schema.CANDIDATES, inputs=[("prompts", prompts)],
        )  # fmt: skip


def test_a_version_is_found_by_tag_latest_and_unique_prefix(store):
    first = commit(store, [prompt("a")])
    store.point("seed.prompts", first.version, "release")
    second = commit(store, [prompt("a"), prompt("b")])
    assert store.resolve("seed.prompts").version == second.version
    assert store.resolve("seed.prompts@release").version == first.version
    assert store.resolve(f"seed.prompts@{first.version[:6]}").version == first.version
    with pytest.raises(StoreError, match="no version 'zzz'"):
        store.resolve("seed.prompts@zzz")
    with pytest.raises(StoreError, match=r"Did you mean 'seed.prompts'\?"):
        store.resolve("seed.promts")


@pytest.mark.parametrize("name", ["../escape", "a/b", "", "A.b", "a.b.c", "a.b/../c"])
def test_a_name_cannot_climb_out_of_the_store(store, name):
    with pytest.raises(StoreError, match="not a dataset's name"):
        commit(store, [prompt("a")], name)


def test_a_flipped_byte_is_found_and_named(store):
    manifest = commit(store, [prompt("a")])
    (file,) = store.files(manifest)
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    assert store.verify(manifest) == [
        f"{manifest.ref}: {manifest.files[0].path} is not what was written."
    ]


def test_a_truncated_shard_is_never_served(store):
    manifest = commit(store, [prompt("a")])
    (file,) = store.files(manifest)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StoreError, match="is not what was written"):
        store.rows(manifest)


def test_a_damaged_manifest_is_one_clear_sentence(store):
    manifest = commit(store, [prompt("a")])
    file = store.root / "datasets" / manifest.name / manifest.version / "manifest.json"
    file.write_text(file.read_text()[:50])
    with pytest.raises(StoreError, match="the manifest is damaged"):
        store.resolve("seed.prompts")


def test_the_manifest_keeps_the_whole_identity(store):
    manifest = commit(store, [prompt("a")], identity={"config": {"n": 4}})
    file = store.root / "datasets" / manifest.name / manifest.version / "manifest.json"
    assert json.loads(file.read_text())["identity"] == {"config": {"n": 4}}


def test_a_lock_names_its_holder_and_dies_with_it(store, tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys, pathlib; from srlm_data.store import Store\n"
            "with Store(pathlib.Path(sys.argv[1])).lock('seed.x.1'):\n"
            "    print('held', flush=True); sys.stdin.read()",
            str(store.root),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match=f"process {holder.pid} on "), store.lock("seed.x.1"):
        pass
    holder.kill()
    holder.communicate()
    with store.lock("seed.x.1"):
        pass


def _commit_in_process(root):
    store = Store(root)
    store.commit(
        "seed.prompts", Rows.of(schema.PROMPTS, [prompt(str(i)) for i in range(200)]),
        identity={"same": True}, inputs=[],
    )  # fmt: skip


def test_publishers_in_a_race_leave_one_version(store):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(_commit_in_process, [store.root] * 8)
    (version,) = store.versions("seed.prompts")
    assert store.verify(store.manifest("seed.prompts", version)) == []
    assert list((store.root / ".staging").iterdir()) == []


def test_rows_lie_in_the_order_of_their_stage_however_they_came(store, monkeypatch):
    rows = [prompt(f"number {i}") for i in range(300)]
    first = commit(store, rows, identity={"run": 1})
    # The same rows, backwards, and too many for memory: they go through a file.
    monkeypatch.setattr(shards, "GROUP_BYTES", 10_000)
    monkeypatch.setattr(rows_module, "BATCH", 50)
    second = store.commit(
        "seed.prompts",
        Rows.stream(schema.PROMPTS, iter(rows[::-1])),
        identity={"run": 2},
        inputs=[],
    )
    assert second.content == first.content
    ids = [row["prompt_id"] for row in store.rows(second).dicts()]
    assert ids == sorted(ids)
    assert len(second.files) >= 1
    folder = store.root / "datasets" / second.name / second.version
    assert sorted(path.name for path in folder.iterdir()) == ["data", "manifest.json"]
