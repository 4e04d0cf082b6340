"""What a build lends: a trained model is kept whole, once, and no kill has it trained twice."""

import shutil
from pathlib import Path

import pytest

from srlm_data.core import schema
from srlm_data.core.rows import Rows
from srlm_data.models import identity
from srlm_data.pipeline._resources import StoreWorkshop
from srlm_data.store import Store
from tiny import tiny_model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def finish(workshop: StoreWorkshop, trained: Path) -> Path:
    """What a trainer leaves in the scratch folder."""
    return Path(shutil.copytree(trained, workshop.scratch / "model"))


def test_a_kept_model_is_found_by_a_build_that_was_killed_before_its_version_was_there(
    store: Store, trained: Path
) -> None:
    kept = StoreWorkshop(store, "toy.m2-1").keep(finish(StoreWorkshop(store, "toy.m2-1"), trained))
    again = StoreWorkshop(store, "toy.m2-1")
    assert (again.scratch / "model").is_dir(), "a trainer sees that nothing is left to do"
    assert again.keep(again.scratch / "model") == kept
    again.clear()
    assert identity.is_whole(store.root / "models" / kept[0], kept[0])


def test_a_damaged_model_is_never_kept_in_the_place_of_a_whole_one(
    store: Store, trained: Path
) -> None:
    digest, _ = StoreWorkshop(store, "one").keep(finish(StoreWorkshop(store, "one"), trained))
    weights = store.root / "models" / digest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x01\x02\x03")
    assert not identity.is_whole(weights.parent, digest)
    StoreWorkshop(store, "two").keep(finish(StoreWorkshop(store, "two"), trained))
    assert identity.is_whole(weights.parent, digest)
    assert (store.root / "quarantine" / "models" / digest).is_dir()


def test_two_builds_that_train_the_same_model_keep_it_once(
    store: Store, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (StoreWorkshop(store, name) for name in ("one", "two"))
    first, second = finish(one, trained), finish(two, trained)
    rename = Path.rename

    def meanwhile(path: Path, target: Path) -> Path:
        """The other one is faster by a moment."""
        monkeypatch.setattr(Path, "rename", rename)
        two.keep(second)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", meanwhile)
    digest, _ = one.keep(first)
    assert [path.name for path in (store.root / "models").glob("[!.]*")] == [digest]


def test_a_link_to_a_model_that_is_gone_does_not_stand_in_the_way(
    store: Store, trained: Path
) -> None:
    workshop = StoreWorkshop(store, "one")
    digest, _ = workshop.keep(finish(workshop, trained))
    store.put_aside(store.root / "models" / digest)
    assert list(workshop.scratch.iterdir()) == []


def test_a_model_that_changed_or_is_gone_is_a_fault_of_its_version(
    store: Store, trained: Path
) -> None:
    workshop = StoreWorkshop(store, "one")
    digest, location = workshop.keep(finish(workshop, trained))
    row = {"model": digest, "method": "sft", "location": location}
    made = store.commit("toy.m2", Rows.of(schema.MODELS, [row]), identity={}, inputs=[])
    assert store.fault(made.name, made.version, proven=True) is None
    weights = store.root / "models" / digest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert store.fault(made.name, made.version) is None  # a glance reads no weights
    found = Store(store.root).fault(made.name, made.version, proven=True)
    assert found
    assert "its files are not what was trained. Build its recipe again" in found
    shutil.rmtree(weights.parent)
    found = store.fault(made.name, made.version)
    assert found
    assert "there is no folder" in found
