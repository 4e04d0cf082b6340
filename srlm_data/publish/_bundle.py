"""Select the versions to publish together, and remove what identifies this machine.

A bundle's parts have the names that readers load (configs of ``datasets``) and their manifests,
without the fields that only say where and by whom a version was built.
"""

from __future__ import annotations

import dataclasses
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from srlm_data.core.errors import HubError, StoreError
from srlm_data.core.redaction import TOKENS
from srlm_data.store import Manifest, Store, graph, version_of

_PUBLISHED: Final = ("at", "seconds", "commit", "python", "packages")
"""The fields of the provenance that are published. The command line is not, for it holds paths."""

_USER_FOLDER: Final = re.compile(r"(?:/home|/Users|[A-Z]:\\+Users)[/\\]+[\w.-]+")


@dataclass(frozen=True)
class Part:
    """A version in a bundle; ``config`` is its name for ``load_dataset``."""

    config: str
    manifest: Manifest


@dataclass(frozen=True)
class Bundle:
    """Versions that are published together, parents first."""

    parts: tuple[Part, ...]

    def id(self, test_share: float) -> str:
        """Return 16 hex digits that name these versions with these rows in these splits."""
        manifests = [part.manifest for part in self.parts]
        versions = {each.name: [each.version, each.content] for each in manifests}
        return version_of({"versions": versions, "test_share": test_share})

    def of_type(self, dataset_type: str) -> list[Part]:
        """Return the parts of a dataset type that have rows."""
        return [
            part for part in self.parts if part.manifest.type == dataset_type and part.manifest.rows
        ]

    @property
    def title(self) -> str:
        """The names of the recipes."""
        return ", ".join(dict.fromkeys(part.manifest.name.split(".")[0] for part in self.parts))


def select(store: Store, targets: Sequence[str]) -> Bundle:
    """Return the versions that ``targets`` name (recipes, datasets, versions); all if empty.

    A recipe stands for the latest version of each of its datasets. Models are left out of recipes:
    they are published one by one, as models.
    """
    chosen: dict[str, Manifest] = {}
    for target in targets or sorted({name.split(".")[0] for name in store.names()}):
        for manifest in _resolve(store, target):
            other = chosen.setdefault(manifest.name, manifest)
            if other.version != manifest.version:
                raise StoreError(
                    f"{manifest.name}: only one version of a dataset can be published, found "
                    f"{other.version} and {manifest.version}. Name one of them."
                )
    if not chosen:
        raise StoreError(f"{store.root}: there is nothing to publish. Build a recipe first.")
    if exchanged := other_rows(chosen):
        manifest, beside = exchanged
        raise StoreError(
            f"{manifest.ref}: it was made from other rows of {beside.name} than {beside.version}, "
            "which would be published with it. Build the recipe again, or "
            "name the versions."
        )
    recipes = {name.split(".")[0] for name in chosen}
    parents_first = graph.Graph(store).parents_first(chosen.values())
    names = dict.fromkeys(manifest.name for manifest in parents_first)
    return Bundle(
        tuple(
            Part(name.partition(".")[2] if len(recipes) == 1 else name, chosen[name])
            for name in names
            if name in chosen
        )
    )


def _resolve(store: Store, target: str) -> list[Manifest]:
    if "." in target:
        manifest = store.resolve(target)
        if manifest.type == "models":
            raise StoreError(
                f"{manifest.ref}: it is a model, not a dataset. Publish it separately, with --type "
                "model."
            )
        return [manifest]
    names = [name for name in store.names() if name.split(".")[0] == target]
    if not names:
        store.resolve(target)  # raises, and names the most similar dataset
    # Labels name people and may refer to many versions, so they must be named to be published.
    alone = ("models", "labels")
    return [manifest for manifest in map(store.resolve, names) if manifest.type not in alone]


def other_rows(manifests: Mapping[str, Manifest]) -> tuple[Manifest, Manifest] | None:
    """Return a version and a parent in the bundle with other rows than it was made from.

    ``manifests`` is dataset name -> manifest.
    """
    for manifest in manifests.values():
        for read in graph.inputs(manifest):
            beside = manifests.get(read.name)
            if beside is not None and beside.content != read.content:
                return manifest, beside
    return None


def published_manifest(manifest: Manifest, **notes: Any) -> Manifest:
    """Return the manifest without what identifies this machine, and with ``notes`` added.

    Examples of dropped records are not published.
    """
    provenance = {key: value for key, value in manifest.provenance.items() if key in _PUBLISHED}
    public = {name: note for name, note in manifest.notes.items() if name != "dropped"}
    return dataclasses.replace(manifest, provenance=provenance, notes=public | notes)


def refuse_private(texts: Iterable[tuple[str, str]]) -> None:
    """Refuse to publish a text that holds an access token, a user's folder or this machine's name.

    Each text comes with its name, for the message.
    """
    for where, text in texts:
        if re.search(TOKENS, text):
            raise HubError(
                f"{where}: it contains an access token, which would be published. Remove it from "
                "the recipe, revoke it, and build again."
            )
        if place := find_place(text):
            raise HubError(
                f"{where}: it names this machine or a folder of its user, found "
                f"'{place}'. Remove that from the recipe and build again."
            )


def find_place(text: str) -> str | None:
    """Return a user's folder or this machine's name if a text contains one."""
    home, host = str(Path.home()), socket.gethostname()
    private = [_USER_FOLDER]
    if len(home) > 1:
        private.append(re.compile(rf"(?<![\w.]){re.escape(home)}(?![\w-])"))
    if re.search(r"[\d.-]", host):  # a host name such as "judge" may be an ordinary word
        private.append(re.compile(rf"\b{re.escape(host)}\b"))
    return next((match[0] for pattern in private if (match := pattern.search(text))), None)
