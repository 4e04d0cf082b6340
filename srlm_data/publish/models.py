"""Models to the Hub and back: the folder that an engine loads, and the version that names it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from srlm_data.core.errors import HubError, RecipeError, StoreError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import MODELS
from srlm_data.models import identity
from srlm_data.pipeline._resources import StoreWorkshop
from srlm_data.publish._remote import Content, Remote
from srlm_data.publish.bundle import cleaned, refuse_private
from srlm_data.publish.card import lineage
from srlm_data.publish.card import model as model_card
from srlm_data.publish.pull import ASK, Pulled, becomes_latest, read_manifests
from srlm_data.publish.push import MANIFESTS, MODEL_SUFFIXES, Upload
from srlm_data.store import Manifest, Store, shards
from srlm_data.store.graph import Graph

_SAVED_FROM: Final = ("_name_or_path", "name_or_path")
"""Keys in which transformers keeps the path that a model was loaded from."""


def model(store: Store, ref: str, *, tag: str | None, license: str | None) -> Upload:
    """A model's version as a model repository.

    Raises:
        StoreError: it is no model, or its files are not those that its version names.
        HubError: it is on the Hub already, or something in it must not leave this machine.
    """
    manifest = store.resolve(ref)
    row = _row(store, manifest)
    place = identity.locate(row["location"], store.root)
    if place.revision is not None:
        raise HubError(
            f"{manifest.ref}: the model is on the Hub already, as {place.name}@{place.revision}. "
            "Publish a model that was trained here."
        )
    folder = Path(place.name)
    if identity.digest(folder) != row["model"]:
        raise StoreError(
            f"{manifest.ref}: its files are not the model {row['model']} that was built. "
            "Build it again."
        )
    del row["location"]
    training = folder / "training.json"
    inputs = lineage.licenses(Graph(store).parents_first([manifest]))
    files: dict[str, Content] = {
        **{file.name: _without_paths(file) for file in _files(folder)},
        f"{MANIFESTS}/{manifest.name.partition('.')[2]}.json": cleaned(
            manifest, row=row, licenses=inputs
        ).json(),
        "README.md": model_card.text(
            json.loads(training.read_text(encoding="utf-8")) if training.is_file() else None,
            title=manifest.ref,
            digest=row["model"],
            inputs=manifest.inputs,
            licenses=inputs,
            header=_header(store, manifest, license),
        ).encode(),
    }
    refuse_private(
        (f"{manifest.ref}: {path}", _text(content)) for path, content in files.items()
        if not path.endswith((".safetensors", ".model"))
    )  # fmt: skip
    return Upload("model", manifest.ref, tag or manifest.version, files)


def _row(store: Store, manifest: Manifest) -> dict[str, Any]:
    rows = list(store.rows(manifest).dicts()) if manifest.type == MODELS.name else []
    if len(rows) != 1:
        raise StoreError(
            f"{manifest.ref}: one model is wanted, found {manifest.counted}. "
            "Publish datasets without --type model."
        )
    return rows[0]


def _files(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.iterdir())
        if file.is_file() and file.suffix in MODEL_SUFFIXES and not file.name.startswith(".")
    ]


def _without_paths(file: Path) -> Content:
    """The file; a config without the path that it was loaded from, which decides nothing."""
    if file.name not in {"config.json", "tokenizer_config.json"}:
        return file
    content = json.loads(file.read_text(encoding="utf-8"))
    for key in _SAVED_FROM:
        content.pop(key, None)
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _text(content: Content) -> str:
    data = content if isinstance(content, bytes) else content.read_bytes()
    return data.decode("utf-8", errors="replace")


def _header(store: Store, manifest: Manifest, license: str | None) -> dict[str, Any]:
    base = lineage.hub_base(store, manifest)
    return {
        **({"license": license} if license else {}),
        **({"base_model": base.partition("@")[0]} if base else {}),
    }


def pull_model(store: Store, repo: str, revision: str | None) -> Pulled:
    """Bring a published model into the store, as the version that was published.

    Raises:
        HubError: the Hub refuses or fails, or its files are not the model that was published.
    """
    remote = Remote(repo, "model")
    commit = remote.head(revision)
    folder = remote.fetch(commit, [f"*{suffix}" for suffix in MODEL_SUFFIXES])
    found = list(read_manifests(remote, folder).values())
    if len(found) != 1 or not isinstance(found[0].notes.get("row"), dict):
        raise HubError(
            f"{repo}: srlm-data published no model there at {commit[:12]}. Name a Hub model in a "
            "recipe with the step checkpoint."
        )
    manifest = found[0]
    row = manifest.notes["row"]
    try:
        digest = identity.digest(folder)
    except RecipeError as error:
        raise HubError(f"{repo}: {error} {ASK}") from None
    if digest != row.get("model"):
        raise HubError(
            f"{repo}: its files are the model {digest}, and {row.get('model')} was published. {ASK}"
        )
    new = not store.has(manifest.name, manifest.version)
    if new:
        _take(store, folder, manifest, f"{repo}@{commit}")
    return Pulled(manifest, new, becomes_latest(store, manifest, repo))


def _take(store: Store, folder: Path, manifest: Manifest, origin: str) -> None:
    workshop = StoreWorkshop(store, f"pulled-{manifest.version}")
    copy = workshop.scratch / "model"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in _files(folder):
        shutil.copyfile(file, copy / file.name)
    digest, location = workshop.keep(copy)
    row = {**manifest.notes["row"], "model": digest, "location": location}
    rows = workshop.scratch / "rows"
    (rows / "data").mkdir(parents=True, exist_ok=True)
    try:
        written = shards.write(rows, Rows.of(MODELS, [row]))
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise HubError(f"{origin}: the model's row is damaged, found '{error}'. {ASK}") from None
    notes = {key: value for key, value in manifest.notes.items() if key != "row"}
    kept = dataclasses.replace(
        manifest, files=written.files, notes=notes, made={**manifest.made, "pulled": origin}
    )
    try:
        store.adopt(kept, rows / "data")
    except StoreError as error:
        raise HubError(f"{origin}: {error} {ASK}") from None
    workshop.clear()
