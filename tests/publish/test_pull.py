"""Pulling, by the real command against a Hub on loopback: the same versions, or none."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import toy
from checkout import Cli
from commands import ran, sentence
from hub_repos import Hub
from srlm_data.core import checked_json
from srlm_data.core.errors import HubError
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.publish._bundle import select
from srlm_data.publish._pull import pull
from srlm_data.publish._push import prepare_dataset
from srlm_data.store import Store

KEY = "datasets/ada/toy"
PAIRS = "pairs/train-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    toy.build_once(folder)
    return folder / "store"


@pytest.fixture(scope="module")
def first() -> Hub:
    """What the first publication has left on its Hub."""
    return Hub()


@pytest.fixture
def published(made: Path, project: Path, cli: Cli, hub: Hub, first: Hub) -> Store:
    """A store whose toy recipe is on the Hub as v1; the project has no store of its own yet."""
    shutil.copytree(made, project / "theirs")
    if not first.repos:
        ran(cli("--store", "theirs", "publish", "toy", "--repo", "ada/toy", "--tag", "v1"))
        first.take(hub)
    hub.take(first)
    return Store(project / "theirs")


def script(code: str, env: dict[str, str], cwd: Path) -> str:
    """What a Python program of its own prints; a warning is an error."""
    command = [sys.executable, "-W", "error", "-c", code]
    answer = subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, timeout=200, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_pulled_versions_are_the_published_ones(cli: Cli, published: Store, project: Path) -> None:
    said = ran(cli("pull", "ada/toy@v1"))
    pulled = Store(project / "store")
    assert pulled.names() == ["toy.candidates", "toy.judgments", "toy.pairs", "toy.prompts"]
    for name in pulled.names():
        theirs, ours = published.resolve(name), pulled.resolve(name)
        assert (ours.version, ours.content, ours.identity) == (
            theirs.version, theirs.content, theirs.identity,
        )  # fmt: skip
        assert f"+ {ours.ref}  {ours.rows:,} {ours.type}\n" in said
        assert pulled.rows(ours).table() == published.rows(theirs).table()
        assert ours.provenance["pulled"].startswith("ada/toy@")
    assert "every byte as it was written" in ran(cli("verify"))
    assert "    pulled from ada/toy@" in ran(cli("log", "toy.pairs"))
    again = ran(cli("pull", "ada/toy@v1", "pairs"))
    assert again.startswith(f"= {pulled.resolve('toy.pairs').ref}  6 pairs, here before\n")


def test_datasets_loads_the_same_rows_with_the_declared_features(
    cli: Cli, hub: Hub, published: Store, project: Path, cli_env: dict[str, str]
) -> None:
    code = """
import json
from datasets import get_dataset_config_names, load_dataset
from datasets.utils.logging import disable_progress_bar
disable_progress_bar()
for name in get_dataset_config_names("ada/toy", revision="v1"):
    splits = load_dataset("ada/toy", name, revision="v1")
    rows = [row for split in splits.values() for row in split.to_list()]
    print(json.dumps({"name": name, "splits": list(splits), "rows": rows}))
"""
    loaded = [json.loads(line) for line in script(code, cli_env, project).splitlines()]
    assert [one["name"] for one in loaded] == ["prompts", "candidates", "judgments", "pairs"]
    for one in loaded:
        rows = published.rows(published.resolve(f"toy.{one['name']}")).table().to_pylist()
        is_split = one["name"] == "pairs"
        assert one["splits"] == (["train", "test"] if is_split else ["train"])
        if is_split:  # test comes last, a prompt of it from wherever it was
            one["rows"].sort(key=lambda row: row["prompt_id"])
        assert one["rows"] == rows
    # New rows under the same names: a card that did not change would be served from the cache.
    toy.write_recipe(project, ("n: 6", "n: 7"))
    build(load(project / "toy.yaml"), published)
    ran(cli("--store", "theirs", "publish", "toy", "--repo", "ada/toy"))
    code = code.replace(', revision="v1"', "").replace("):\n", ")[:1]:\n")
    assert len(json.loads(script(code, cli_env, project))["rows"]) == 7


def test_a_recipe_reads_what_was_pulled(cli: Cli, published: Store, project: Path) -> None:
    said = ran(cli("pull", "ada/toy", "candidates", "judgments"))
    lines = said.split("In a recipe:\n")[1]
    (project / "mine.yaml").write_text(
        f"seed: 3\ndatasets:\n{lines}"
        "  pairs: {step: pair, candidates: candidates, judgments: judgments}\n"
    )
    ran(cli("build", "mine.yaml", "--quiet"))
    ours = Store(project / "store").resolve("mine.pairs")
    assert ours.content == published.resolve("toy.pairs").content


def test_a_version_that_was_built_here_stays_the_latest(
    cli: Cli, published: Store, project: Path
) -> None:
    toy.write_recipe(project, ("repeats: 2", "repeats: 1"))
    store = Store(project / "store")
    build(load(project / "toy.yaml"), store)
    ours = store.resolve("toy.pairs")
    said = ran(cli("pull", "ada/toy@v1", "pairs"))
    theirs = published.resolve("toy.pairs")
    assert f"+ {theirs.ref}  6 pairs; toy.pairs means the version that you built\n" in said
    assert store.resolve("toy.pairs").version == ours.version
    assert store.resolve(theirs.ref).content == theirs.content


def test_a_newer_release_of_the_same_repository_becomes_the_latest(
    cli: Cli, published: Store, project: Path
) -> None:
    ran(cli("pull", "ada/toy@v1", "pairs"))
    toy.write_recipe(project, ("repeats: 2", "repeats: 1"))
    build(load(project / "toy.yaml"), published)
    ran(cli("--store", "theirs", "publish", "toy", "--repo", "ada/toy", "--tag", "v2"))
    ran(cli("pull", "ada/toy@v2", "pairs"))
    newer = published.resolve("toy.pairs")
    assert Store(project / "store").resolve("toy.pairs").version == newer.version


# What is not what was published ----------------------------------------------------------------


class Folder:
    """A repository that is a folder: what is pulled from it was tampered with on the way."""

    def __init__(self, folder: Path) -> None:
        self.repo = "ada/toy"
        self.folder = folder

    def head(self, revision: str | None) -> str:
        return "0" * 40

    def fetch(self, commit: str, paths: list[str]) -> Path:
        return self.folder


@pytest.fixture(scope="module")
def uploaded(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the repository, to copy and to tamper with."""
    theirs, folder = Store(made), tmp_path_factory.mktemp("uploaded")
    upload = prepare_dataset(
        select(theirs, ["toy"]), theirs, repo="ada/toy", tag=None, license=None
    )
    for path, content in upload.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return folder


def told(**changes: object) -> Callable[[Path], None]:
    """Change the manifest of the pairs."""

    def change(folder: Path) -> None:
        file = folder / "manifests" / "pairs.json"
        file.write_bytes(checked_json.dumps(checked_json.loads(file.read_bytes()) | changes))

    return change


def inside(field: str, place: str | int, **changes: object) -> Callable[[Path], None]:
    """Change a part of that manifest."""

    def change(folder: Path) -> None:
        file = folder / "manifests" / "pairs.json"
        manifest = checked_json.loads(file.read_bytes())
        part = manifest[field] if place == "" else manifest[field][place]
        part.update(changes)
        file.write_bytes(checked_json.dumps(manifest))

    return change


def exchange_rows(folder: Path) -> None:
    """Other rows of the same shape."""
    table = pq.read_table(folder / PAIRS)
    column = pa.array(["exchanged"] * table.num_rows)
    table = table.set_column(table.schema.get_field_index("model"), "model", column)
    pq.write_table(table, folder / PAIRS)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (exchange_rows, "data/train-00000-of-00001.parquet is not what was written"),
        (lambda folder: (folder / PAIRS).unlink(), "train-00000-of-00001.parquet is missing"),
        (told(content="0" * 64), "the rows are not those that its manifest counts"),
        (told(rows="many"), "found 'rows': Input should be a valid integer"),
        (told(name="../../toy"), "found 'name': String should match pattern"),
        (told(type="jokes"), "the unknown dataset type 'jokes'"),
        (told(format=7), "format 7 is not supported, 1 is the newest that is. Install a newer"),
        (told(drops={"none": -1}), "found 'drops.none': Input should be greater than"),
        (told(cost={"calls": float("inf")}), "found 'cost.calls'"),
        (told(provenance={"at": 7}), "found 'provenance.at': Input should be a valid string"),
        (told(notes={"states": {"parsed": "many"}}), "found 'notes.states.parsed'"),
        (told(mood="good"), "found 'mood': Unexpected keyword argument"),
        (inside("identity", "", revision=9), "an identity that does not hash to"),
        (inside("files", 0, path="../../../run.parquet"), "found 'files.0.path': String should"),
        (inside("files", 0, bytes=7), "train-00000-of-00001.parquet is not what was written"),
        (inside("files", 0, rows=7), "found files of other than"),
        (inside("inputs", 0, name="../../x"), "found 'inputs.0.name': String should match"),
        (inside("inputs", 0, content="0" * 64), "was made from other rows than those of toy."),
    ],
    ids=[
        "rows",
        "file",
        "content",
        "count",
        "name",
        "type",
        "format",
        "drops",
        "cost",
        "provenance",
        "notes",
        "field",
        "identity",
        "path",
        "bytes",
        "file rows",
        "input",
        "mixture",
    ],
)
def test_what_was_tampered_with_does_not_come_in(
    uploaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None], wanted: str,
) -> None:  # fmt: skip
    shutil.copytree(uploaded, tmp_path / "repo")
    change(tmp_path / "repo")
    monkeypatch.setattr(
        sys.modules[pull.__module__], "Remote", lambda repo, kind: Folder(tmp_path / "repo")
    )
    store = Store(tmp_path / "store")
    with pytest.raises(HubError, match=f"^ada/toy: .*{re.escape(wanted)}"):
        pull(store, "ada/toy", None, only=["pairs"])
    assert store.names() == []
    assert not list(tmp_path.rglob("run.parquet"))


def test_what_arrives_damaged_does_not_come_in(cli: Cli, hub: Hub, published: Store) -> None:
    [file] = published.files(published.resolve("toy.pairs"))
    sent = hashlib.sha256(file.read_bytes()).hexdigest()
    hub.blobs[sent] = hub.blobs[sent][:-1] + b"?"
    said = sentence(cli("pull", "ada/toy@v1", "pairs"))
    assert said.startswith("ada/toy: toy.pairs@")
    assert "data/train-00000-of-00001.parquet is not what was written." in said


def test_what_is_not_there_is_a_sentence(cli: Cli, hub: Hub, published: Store) -> None:
    said = sentence(cli("pull", "ada/toy@v7"))
    assert said.startswith("ada/toy: there is no revision 'v7', found 404")
    assert sentence(cli("pull", "ada/tory")).startswith("ada/tory: no such dataset, or the token")
    said = sentence(cli("pull", "ada/toy", "pears"))
    assert "no dataset 'pears' there. Did you mean 'pairs'?" in said
    hub.fail("GET /api", None, times=1)
    assert sentence(cli("pull", "ada/toy")).startswith("ada/toy: the connection failed, found")
    hub.commit(KEY, {f"manifests/{one}.json": None for one in (
        "candidates", "judgments", "pairs", "prompts")})  # fmt: skip
    assert "srlm-data published nothing there" in sentence(cli("pull", "ada/toy"))


@pytest.mark.slow
def test_trl_trains_and_evaluates_on_what_comes_back(
    cli: Cli, published: Store, project: Path, cli_env: dict[str, str]
) -> None:
    code = """
from datasets import load_dataset
from datasets.utils.logging import disable_progress_bar
from tiny import tiny_model
disable_progress_bar()
rows = load_dataset("ada/toy", "pairs", revision="v1")
import transformers, trl
folder = str(tiny_model(__import__("pathlib").Path("tiny")))
arguments = trl.DPOConfig(
    "out", max_steps=1, per_device_train_batch_size=2, report_to=[], bf16=False, use_cpu=True,
    disable_tqdm=True, save_strategy="no", gradient_checkpointing=False,
    eval_strategy="steps", eval_steps=1,
)
trainer = trl.DPOTrainer(
    folder, args=arguments, train_dataset=rows["train"], eval_dataset=rows["test"],
    processing_class=transformers.AutoTokenizer.from_pretrained(folder),
)
trainer.train()
losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
print("steps", trainer.state.global_step, "evaluations", len(losses), *map(type, losses))
"""
    command = [sys.executable, "-c", code]
    answer = subprocess.run(
        command, env=cli_env, cwd=project, capture_output=True, text=True, timeout=280, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "steps 1 evaluations 1 <class 'float'>"
