"""Publish and pull models: the folder that an engine loads, and the version that names it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from srlm_data.core.errors import HubError, RecipeError, StoreError
from srlm_data.core.hub import Content, Remote
from srlm_data.core.rows import Rows
from srlm_data.core.schema import MODELS
from srlm_data.models import identity
from srlm_data.pipeline._resources import StoreWorkshop
from srlm_data.publish import model_card
from srlm_data.publish._bundle import published_manifest, refuse_private
from srlm_data.publish._header import language_header, license_header
from srlm_data.publish._pull import REMEDY, Pulled, become_latest, mark_pulled, read_manifests
from srlm_data.publish._push import MANIFESTS, MODEL_SUFFIXES, Upload
from srlm_data.publish._sources import hub_base, licenses_of
from srlm_data.store import Manifest, Store, shards


def prepare_model(
    store: Store,
    ref: str,
    *,
    tag: str | None = None,
    license: str | None = None,
    languages: Sequence[str] = (),
) -> Upload:
    """Return a model's version as the files of a model repository."""
    manifest = store.resolve(ref)
    rows = list(store.rows(manifest).dicts()) if manifest.type == MODELS.name else []
    if len(rows) != 1:
        raise StoreError(
            f"{manifest.ref}: expected one model, found {manifest.counted}. "
            "Publish datasets without --type model."
        )
    row = rows[0]
    place = identity.locate(row.pop("location"), store.root)
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
    training = folder / "training.json"
    licenses = licenses_of(store, manifest)
    base = hub_base(store, manifest)
    card = model_card.write(
        json.loads(training.read_text(encoding="utf-8")) if training.is_file() else None,
        title=manifest.ref,
        digest=row["model"],
        inputs=manifest.inputs,
        licenses=licenses,
        header={
            **language_header(languages),
            **(license_header([license]) if license else {}),
            **({"base_model": base.partition("@")[0]} if base else {}),
        },
    )
    described = published_manifest(manifest, row=row, licenses=licenses)
    files: dict[str, Content] = {
        **{file.name: _without_paths(file) for file in _model_files(folder)},
        f"{MANIFESTS}/{manifest.name.partition('.')[2]}.json": described.json(),
        "README.md": card.encode(),
    }
    refuse_private(
        (f"{manifest.ref}: {path}", _text(content))
        for path, content in files.items()
        if not path.endswith((".safetensors", ".model"))
    )
    return Upload("model", manifest.ref, tag or manifest.version, files)


def _model_files(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.iterdir())
        if file.is_file() and file.suffix in MODEL_SUFFIXES and not file.name.startswith(".")
    ]


def _without_paths(file: Path) -> Content:
    """Return the file, or a config's text without the path that transformers loaded it from."""
    if file.name not in {"config.json", "tokenizer_config.json"}:
        return file
    content = json.loads(file.read_text(encoding="utf-8"))
    content = {k: v for k, v in content.items() if k not in {"_name_or_path", "name_or_path"}}
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _text(content: Content) -> str:
    data = content if isinstance(content, bytes) else content.read_bytes()
    return data.decode("utf-8", errors="replace")


def pull_model(store: Store, repo: str, revision: str | None) -> Pulled:
    """Add a published model to the store, as the version that was published."""
    remote = Remote(repo, "model")
    commit = remote.head(revision)
    folder = remote.fetch(commit, [f"*{suffix}" for suffix in MODEL_SUFFIXES])
    manifests = list(read_manifests(remote, folder).values())
    if len(manifests) != 1 or not isinstance(manifests[0].notes.get("row"), dict):
        raise HubError(
            f"{repo}: srlm-data published no model there at {commit[:12]}. Name a Hub model in a "
            "recipe with the step checkpoint."
        )
    notes = dict(manifests[0].notes)
    row: dict[str, Any] = notes.pop("row")
    manifest = dataclasses.replace(mark_pulled(manifests[0], repo, commit), notes=notes)
    try:
        digest = identity.digest(folder)
    except RecipeError as error:
        raise HubError(f"{repo}: {error} {REMEDY}") from None
    if digest != row.get("model"):
        raise HubError(
            f"{repo}: its files are the model {digest}, and {row.get('model')} was published. "
            f"{REMEDY}"
        )
    new = not store.has(manifest.name, manifest.version)
    if new:
        try:
            _adopt(store, folder, manifest, row)
        except (StoreError, TypeError, ValueError, pa.ArrowException) as error:
            raise HubError(f"{repo}: the model is refused: {error} {REMEDY}") from None
    return Pulled(manifest, new, become_latest(store, manifest, repo))


def _adopt(store: Store, folder: Path, manifest: Manifest, row: dict[str, Any]) -> None:
    workshop = StoreWorkshop(store, f"pulled-{manifest.version}")
    copy = workshop.scratch / "model"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in _model_files(folder):
        shutil.copyfile(file, copy / file.name)
    digest, location = workshop.keep(copy)
    rows = workshop.scratch / "rows"
    (rows / "data").mkdir(parents=True, exist_ok=True)
    written = shards.write(rows, Rows.of(MODELS, [{**row, "model": digest, "location": location}]))
    store.adopt(dataclasses.replace(manifest, files=written.files), rows / "data")
    workshop.clear()
