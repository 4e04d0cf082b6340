import json
import shutil
from pathlib import Path

import pytest

from srlm_data.core.errors import RecipeError, StoreError
from srlm_data.models import identity
from tiny import tiny_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "model"))


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_copy_under_another_name_is_the_same_model(made: Path, model: Path) -> None:
    assert identity.digest(model) == identity.digest(made)
    assert len(identity.digest(made)) == 32


def test_another_seed_is_another_model(made: Path, tmp_path: Path) -> None:
    assert identity.digest(tiny_model(tmp_path / "other", seed=1)) != identity.digest(made)


def test_the_names_of_the_weight_files_do_not_change_the_digest(made: Path, model: Path) -> None:
    (model / "model.safetensors").rename(model / "a.safetensors")
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"any.weight": "a.safetensors"}}))
    assert identity.digest(model) == identity.digest(made)

    index.write_text(json.dumps({"weight_map": {"one": "a.safetensors", "two": "b.safetensors"}}))
    with pytest.raises(RecipeError, match=r"1 of 2 weight files are missing.*b\.safetensors"):
        identity.digest(model)


@pytest.mark.parametrize(
    ("beside", "sentence"),
    [
        ({}, None),
        ({"optimizer.pt": b"", "pytorch_model.bin": b"", "consolidated.safetensors": b""}, None),
        ({"model-old.safetensors": b""}, r"model-old\.safetensors lies beside .* would load both"),
        (
            {"model.safetensors.index.json": b'{"weight_map": {"a": "model-1.safetensors"}}'},
            "an index of other weight files are there, and loaders differ",
        ),
    ],
)
def test_weights_that_loaders_would_not_all_read_are_refused(
    made: Path, model: Path, beside: dict[str, bytes], sentence: str | None
) -> None:
    for name, data in beside.items():
        (model / name).write_bytes(data)
    if sentence is None:
        assert identity.digest(model) == identity.digest(made)
    else:
        with pytest.raises(RecipeError, match=sentence):
            identity.digest(model)


def test_one_changed_weight_changes_the_digest(made: Path, model: Path) -> None:
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)
    assert identity.digest(model) != identity.digest(made)


def test_a_folder_that_is_written_meanwhile_holds_another_model(model: Path) -> None:
    digest, before, after = identity.digest(model), 0.0, 2.0**40
    (model / "config.json").touch()
    assert not identity.changed(str(model), digest, before)
    edit(model / "config.json", rms_norm_eps=1e-3)
    assert identity.changed(str(model), digest, before)
    assert not identity.changed(str(model), digest, after)


def test_the_chat_template_counts_wherever_it_is_kept(made: Path, model: Path) -> None:
    file = model / "chat_template.jinja"
    template = file.read_text()
    file.unlink()
    assert identity.digest(model) != identity.digest(made)
    edit(model / "tokenizer_config.json", chat_template=template)
    assert identity.digest(model) == identity.digest(made)
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": template}]
    edit(model / "tokenizer_config.json", chat_template=named)
    assert identity.digest(model) == identity.digest(made)
    file.write_text(template + "\n")
    assert identity.digest(model) == identity.digest(made)
    file.write_text(template + "!")
    assert identity.digest(model) != identity.digest(made)


def test_how_a_model_was_saved_or_trained_does_not_change_the_digest(
    made: Path, model: Path
) -> None:
    edit(
        model / "config.json",
        _name_or_path="/somewhere/else", transformers_version="4.40.0", use_cache=False,
        attention_dropout=0.1, dtype="bfloat16",
    )  # fmt: skip
    edit(model / "tokenizer.json", truncation={"max_length": 8}, padding={"pad_id": 2})
    assert identity.digest(model) == identity.digest(made)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"rms_norm_eps": 1e-3}),
        ("config.json", {"rope_parameters": {"rope_theta": 5.0, "rope_type": "default"}}),
        ("tokenizer_config.json", {"eos_token": "<|user|>"}),
        ("tokenizer.json", {"normalizer": {"type": "Lowercase"}}),
        ("generation_config.json", {"eos_token_id": [1, 4]}),
    ],
)
def test_what_decides_the_answers_changes_the_digest(
    made: Path, model: Path, file: str, change: dict[str, object]
) -> None:
    edit(model / file, **change)
    assert identity.digest(model) != identity.digest(made)


def test_a_special_token_saved_with_its_rules_is_the_same_token(made: Path, model: Path) -> None:
    edit(model / "tokenizer_config.json", eos_token={"content": "</s>", "lstrip": False})
    assert identity.digest(model) == identity.digest(made)


def test_an_adapter_is_refused_with_the_advice_to_merge_it(model: Path) -> None:
    (model / "adapter_config.json").write_text("{}")
    with pytest.raises(RecipeError, match=r"LoRA adapter.*Merge it"):
        identity.digest(model)


def test_pickled_weights_are_refused(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(RecipeError, match=r"pickled \(pytorch_model\.bin\)"):
        identity.digest(model)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named(model: Path, file: str) -> None:
    (model / file).unlink()
    with pytest.raises(RecipeError, match=f"no {file}"):
        identity.digest(model)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="nowhere: no such folder"):
        identity.digest(tmp_path / "nowhere")


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_cut_off_weight_file_is_refused(model: Path, size: int) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(RecipeError, match="not a complete safetensors file"):
        identity.digest(model)


def test_a_broken_config_is_refused(model: Path) -> None:
    (model / "config.json").write_text("{")
    with pytest.raises(RecipeError, match=r"config\.json: not JSON"):
        identity.digest(model)


def test_a_hub_model_needs_a_commit() -> None:
    for moving in ("", "main", "v1", "0123abcd"):
        with pytest.raises(RecipeError, match="Give the commit"):
            identity.hub_digest("org/m", moving)


def test_a_servers_model_is_named_by_its_version() -> None:
    assert identity.remote_digest("m", "2026-04-14") != identity.remote_digest("m", "2026-05-01")
    for moving in ("", "main", "HEAD", "latest"):
        with pytest.raises(RecipeError, match="can move"):
            identity.remote_digest("m", moving)


def test_a_stored_model_is_found_after_the_store_has_moved(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "models" / "abc").mkdir(parents=True)
    moved = store.rename(tmp_path / "moved")
    assert identity.locate("store:models/abc", moved) == (str(moved / "models" / "abc"), None)


def test_a_folder_elsewhere_is_found_by_its_absolute_path(tmp_path: Path) -> None:
    assert identity.locate(f"path:{tmp_path}", tmp_path / "store") == (str(tmp_path), None)


@pytest.mark.parametrize("kind", ["hub", "remote"])
def test_a_named_models_location_keeps_its_revision(tmp_path: Path, kind: str) -> None:
    location = f"{kind}:org/model@abc123"
    assert identity.locate(location, tmp_path) == ("org/model", "abc123")


@pytest.mark.parametrize("location", ["hub:org/model", "ftp:x", "", "models/abc", "path:"])
def test_an_unknown_form_of_location_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(StoreError, match="not the location of a model"):
        identity.locate(location, tmp_path)


def test_a_model_whose_folder_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no folder"):
        identity.locate("store:models/gone", tmp_path)
