"""Where published versions come from: their parents, the models that wrote them, the licenses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from srlm_data.core.errors import StoreError
from srlm_data.publish.bundle import Release, plain
from srlm_data.store import Manifest, Store


@dataclass(frozen=True)
class Model:
    """A model that wrote or judged rows.

    Attributes:
        name: the version that names it.
        digest: of its weights, tokenizer and chat template.
        hub: ``name@revision`` where it is a model of the Hub.
        wrote: configs of the release whose rows it wrote.
    """

    name: str
    digest: str
    method: str
    base: str | None
    hub: str | None
    wrote: tuple[str, ...]


class License(NamedTuple):
    """The license of an input, and where that input is from."""

    ref: str
    license: str
    origin: str


def ancestors(release: Release, store: Store) -> list[Manifest]:
    """The release's versions and all that they were made from, parents first.

    A version that is not in this store any more (or never was: it was pulled) is left out.
    """
    ordered: dict[str, Manifest] = {}

    def visit(manifest: Manifest) -> None:
        if manifest.ref in ordered:
            return
        for name, version in _read(manifest):
            parent = _kept(store, name, version)
            if parent is not None:
                visit(parent)
        ordered[manifest.ref] = manifest

    for part in release.parts:
        visit(part.manifest)
    return list(ordered.values())


def _read(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Name and version of all that a version was made from."""
    yield from ((read.name, read.version) for read in manifest.inputs)
    if "read" in manifest.notes:  # by the step read_version
        name, _, version = str(manifest.notes["read"]).partition("@")
        yield name, version


def _kept(store: Store, name: str, version: str) -> Manifest | None:
    try:
        return store.manifest(name, version)
    except StoreError:
        return None


def models(release: Release, store: Store) -> list[Model]:
    """The models that wrote the release's rows, each once."""
    wrote: dict[str, list[str]] = {}
    for part in release.parts:
        for read in part.manifest.inputs:
            if read.parameter == "model":
                wrote.setdefault(f"{read.name}@{read.version}", []).append(part.config)
    return [
        Model(
            ref, row["model"], row["method"], row["base"], _on_hub(row["location"]),
            tuple(wrote[ref]),
        )
        for ref, row in _model_rows(store, list(wrote))
    ]  # fmt: skip


def _model_rows(store: Store, refs: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for ref in refs:
        name, _, version = ref.partition("@")
        manifest = _kept(store, name, version)
        if manifest is not None:
            yield from ((ref, row) for row in store.rows(manifest).dicts())


def hub_base(store: Store, manifest: Manifest) -> str | None:
    """The Hub model, ``name@revision``, that a model goes back to."""
    for _, row in _model_rows(store, [manifest.ref]):
        if on_hub := _on_hub(row["location"]):
            return on_hub
    for read in manifest.inputs:
        parent = _kept(store, read.name, read.version)
        if read.parameter == "model" and parent is not None:
            return hub_base(store, parent)
    return None


def _on_hub(location: str) -> str | None:
    kind, _, place = location.partition(":")
    return place if kind == "hub" else None


def licenses(manifests: list[Manifest]) -> list[License]:
    """Those of everything that came from outside and names one, each once.

    A version that was pulled brings those of its own inputs along, in its notes.
    """
    found: dict[License, None] = {}
    for one in manifests:
        for told in one.notes.get("licenses", ()):
            if isinstance(told, list) and len(told) == len(License._fields):
                found[License(*map(str, told))] = None
        own = one.identity["config"].get("license") or one.notes.get("license")
        if own:
            found[License(one.ref, str(own), _origin(one))] = None
    return list(found)


def license_table(found: list[License]) -> Iterator[str]:
    """The lines of a card that name the licenses of its inputs."""
    if not found:
        yield "The inputs name no license."
        return
    yield "| input | license | from |"
    yield "|---|---|---|"
    for one in found:
        yield f"| {plain(one.ref)} | `{plain(one.license)}` | {plain(one.origin)} |"


def _origin(manifest: Manifest) -> str:
    config = manifest.identity["config"]
    if config.get("hub"):
        return f"{config['hub']}@{config['commit']}"
    files = config.get("files") or ()
    return ", ".join(f"a file with SHA-256 {one['sha256'][:16]}" for one in files) or str(
        manifest.identity["step"]
    )
