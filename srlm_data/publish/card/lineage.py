"""Where published versions come from: their parents, the models that wrote them, the licenses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from srlm_data.publish.bundle import Release, plain
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph


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


def models(release: Release, store: Store) -> list[Model]:
    """The models that wrote the release's rows, each once."""
    graph = Graph(store)
    wrote: dict[str, tuple[Manifest, list[str]]] = {}
    for part in release.parts:
        if model := graph.read_as(part.manifest, "model"):
            wrote.setdefault(model.ref, (model, []))[1].append(part.config)
    return [
        Model(
            ref, row["model"], row["method"], row["base"], _on_hub(row["location"]), tuple(configs)
        )
        for ref, (model, configs) in wrote.items()
        for row in store.rows(model).dicts()
    ]


def hub_base(store: Store, manifest: Manifest) -> str | None:
    """The Hub model, ``name@revision``, that a model goes back to."""
    graph, model = Graph(store), store.find(manifest.name, manifest.version)
    while model:
        for row in store.rows(model).dicts():
            if on_hub := _on_hub(row["location"]):
                return on_hub
        model = graph.read_as(model, "model")
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
