"""Where published versions come from: the models that wrote them, and the licenses of inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph


class License(NamedTuple):
    """The license of an input, and where that input is from."""

    ref: str
    license: str
    origin: str


def licenses_of(store: Store, *manifests: Manifest) -> list[License]:
    """Return the licenses of everything that versions go back to, each once.

    A version that was pulled brings those of its own inputs along, in its notes.
    """
    licenses: dict[License, None] = {}
    for manifest in Graph(store).parents_first(manifests):
        for entry in manifest.notes.get("licenses", ()):
            if isinstance(entry, list) and len(entry) == len(License._fields):
                licenses[License(*map(str, entry))] = None
        own = manifest.identity["config"].get("license") or manifest.notes.get("license")
        if own:
            licenses[License(manifest.ref, str(own), _origin(manifest))] = None
    return list(licenses)


def _origin(manifest: Manifest) -> str:
    config = manifest.identity["config"]
    if config.get("hub"):
        return f"{config['hub']}@{config['commit']}"
    files = [f"a file with SHA-256 {file['sha256'][:16]}" for file in config.get("files") or ()]
    return ", ".join(files) or str(manifest.identity["step"])


def hub_name(location: str) -> str | None:
    """Return ``name@revision`` of a model of the Hub; None for a model that is elsewhere."""
    kind, _, name = location.partition(":")
    return name if kind == "hub" else None


def hub_base(store: Store, manifest: Manifest) -> str | None:
    """Return the Hub model, ``name@revision``, that a model goes back to."""
    graph, model = Graph(store), store.find(manifest.name, manifest.version)
    while model:
        # With a chat template of the recipe's it lies in the store, and its config has the name.
        if name := model.identity.get("config", {}).get("hub"):
            return str(name)
        for row in store.rows(model).dicts():
            if name := hub_name(row["location"]):
                return name
        model = graph.read_as(model, "model")
    return None


def cell(value: Any) -> str:
    """Return a value on one line, for a cell of a Markdown table or between backticks."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")


def table(columns: str, rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; a column whose name ends in ``:`` is aligned to the right."""
    names = columns.split(" | ")
    lines = [
        [name.removesuffix(":") for name in names],
        ["---:" if name.endswith(":") else "---" for name in names],
        *([str(value) for value in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def license_table(licenses: list[License]) -> str:
    """Return the part of a card that names the licenses of its inputs."""
    if not licenses:
        return "The inputs name no license."
    rows = [(cell(ref), f"`{cell(name)}`", cell(origin)) for ref, name, origin in licenses]
    return table("input | license | from", rows)
