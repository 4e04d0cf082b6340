"""Models to the Hub and back, by the real command against a Hub on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from checkout import Cli
from commands import ran, sentence
from hub_repos import Hub
from srlm_data.core.errors import HubError
from srlm_data.models import identity
from srlm_data.models.identity import digest
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.publish._models import prepare_model
from srlm_data.store import Store
from tiny import tiny_model

KEY = "models/ada/m0"
PUBLISH = ("publish", "mine.m0", "--repo", "ada/m0", "--type", "model")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def model(weights: Path, project: Path) -> Store:
    """A store whose mine.m0 is a model in a folder of this machine."""
    (project / "mine.yaml").write_text(f"datasets:\n  m0: {{step: checkpoint, path: {weights}}}\n")
    store = Store(project / "store")
    build(load(project / "mine.yaml"), store)
    return store


def test_a_model_comes_back_as_the_version_that_was_published(
    cli: Cli, hub: Hub, model: Store, weights: Path, project: Path
) -> None:
    said = ran(cli(*PUBLISH, "--tag", "v1", "--license", "mit"))
    assert said == f"{hub.url}/ada/m0 (private), tag v1: 8 files\n"
    ours = model.resolve("mine.m0")
    files = hub.files(KEY, "v1")
    assert files["model.safetensors"] == (weights / "model.safetensors").read_bytes()
    card = files["README.md"].decode()
    assert yaml.safe_load(card.split("---")[1])["license"] == "mit"
    assert f"# {ours.ref}\n" in card
    assert digest(weights) in card
    everything = b"".join(hub.blobs.values())
    assert str(weights).encode() not in everything

    said = ran(cli("--store", "other", "pull", "ada/m0@v1", "--type", "model"))
    assert said.startswith(f"+ {ours.ref}  1 model\n")
    other = Store(project / "other")
    theirs = other.resolve("mine.m0")
    assert (theirs.version, theirs.content) == (ours.version, ours.content)
    assert other.verify(theirs) == []
    [row] = other.rows(theirs).dicts()
    assert row["location"] == f"store:models/{digest(weights)}"
    assert digest(other.root / "models" / row["model"]) == row["model"]
    assert "as published before" in ran(cli(*PUBLISH, "--tag", "v1", "--license", "mit"))
    assert ", here before\n" in ran(cli("--store", "other", "pull", "ada/m0", "--type", "model"))

    # What a model before it left there goes; what others put there stays.
    hub.commit(KEY, {"model-00001-of-00002.safetensors": b"old", "notes.md": b"mine"})
    ran(cli(*PUBLISH, "--tag", "v1", "--license", "mit"))
    assert hub.files(KEY).keys() == {*files, "notes.md"}


def test_other_weights_do_not_come_in(cli: Cli, hub: Hub, model: Store, project: Path) -> None:
    ran(cli(*PUBLISH))
    data = bytearray(hub.files(KEY)["model.safetensors"])
    data[-1] ^= 1
    hub.commit(KEY, {"model.safetensors": bytes(data)})
    said = sentence(cli("--store", "other", "pull", "ada/m0", "--type", "model"))
    assert said.startswith("ada/m0: its files are the model ")
    assert Store(project / "other").names() == []


def test_code_and_pickles_stay_where_they_are(model: Store, weights: Path) -> None:
    extra = {"modeling.py": b"import os", "optimizer.pt": b"\x80", ".secret.json": b"{}"}
    for name, content in extra.items():
        (weights / name).write_bytes(content)
    try:
        files = prepare_model(model, "mine.m0", tag=None, license=None).files
    finally:
        for name in extra:
            (weights / name).unlink()
    assert not files.keys() & extra.keys()


def test_what_cannot_be_published_as_a_model_is_a_sentence(
    cli: Cli, hub: Hub, model: Store, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "hub_digest", lambda name, commit: "d0")
    (project / "far.yaml").write_text(
        f"datasets:\n  m0: {{step: checkpoint, hub: 'ada/far@{'a' * 40}'}}\n"
    )
    build(load(project / "far.yaml"), model)
    with pytest.raises(HubError, match=f"is on the Hub already, as ada/far@{'a' * 40}."):
        prepare_model(model, "far.m0", tag=None, license=None)
    ran(cli(*PUBLISH))
    hub.commit(KEY, {"manifests/m0.json": None})
    said = sentence(cli("pull", "ada/m0", "--type", "model"))
    assert "srlm-data published no model there" in said
