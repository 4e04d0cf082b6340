"""What is published together: versions that were made from each other, without this machine.

A release names its parts by what a reader loads (a config of ``datasets``) and carries their
manifests, cleaned: what only says where and by whom something was built stays at home.
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
from srlm_data.store.graph import Graph

_MADE: Final = ("at", "seconds", "commit", "python", "packages")
"""What is told of how a version was made. The command line is not: it holds paths."""

_FOLDERS: Final = re.compile(r"(?:/home|/Users|[A-Z]:\\+Users)[/\\]+[\w.-]+")


@dataclass(frozen=True)
class Part:
    """A version in a release; ``config`` is what ``load_dataset`` calls it."""

    config: str
    manifest: Manifest


@dataclass(frozen=True)
class Release:
    """Versions that are published together, parents first."""

    parts: tuple[Part, ...]

    @property
    def id(self) -> str:
        """16 hex digits that name these versions with these rows, and no others."""
        return version_of(
            {one.manifest.name: [one.manifest.version, one.manifest.content] for one in self.parts}
        )

    @property
    def title(self) -> str:
        """The names of the recipes."""
        return ", ".join(dict.fromkeys(one.manifest.name.split(".")[0] for one in self.parts))


def select(store: Store, targets: Sequence[str]) -> Release:
    """The versions that ``targets`` mean: recipes, datasets, versions; all when none is named.

    A recipe stands for the latest version of each of its datasets. Models are left out of recipes:
    they are published one by one, as models.

    Raises:
        StoreError: there is no such dataset, or a version was made from other rows than those
            that would be published beside it.
    """
    chosen: dict[str, Manifest] = {}
    for target in targets or sorted({name.split(".")[0] for name in store.names()}):
        for manifest in _meant(store, target):
            other = chosen.setdefault(manifest.name, manifest)
            if other.version != manifest.version:
                raise StoreError(
                    f"{manifest.name}: one version of a dataset is published, found "
                    f"{other.version} and {manifest.version}. Name one of them."
                )
    if not chosen:
        raise StoreError(f"{store.root}: there is nothing to publish. Build a recipe first.")
    for manifest in chosen.values():
        _refuse_strangers(manifest, chosen)
    recipes = {name.split(".")[0] for name in chosen}
    ordered = dict.fromkeys(one.name for one in Graph(store).parents_first(chosen.values()))
    return Release(
        tuple(
            Part(name.partition(".")[2] if len(recipes) == 1 else name, chosen[name])
            for name in ordered
            if name in chosen
        )
    )


def _meant(store: Store, target: str) -> list[Manifest]:
    if "." in target:
        manifest = store.resolve(target)
        if manifest.type == "models":
            raise StoreError(
                f"{manifest.ref}: it is a model, and a dataset is wanted. Publish it by itself, "
                "with --type model."
            )
        return [manifest]
    names = [name for name in store.names() if name.split(".")[0] == target]
    if not names:
        store.resolve(target)  # says that there is no such dataset, and which is near
    return [one for one in map(store.resolve, names) if one.type != "models"]


def _refuse_strangers(manifest: Manifest, chosen: Mapping[str, Manifest]) -> None:
    for read in graph.inputs(manifest):
        beside = chosen.get(read.name)
        if beside is not None and beside.content != read.content:
            raise StoreError(
                f"{manifest.ref}: it was made from {read.name}@{read.version}, and other rows, "
                f"those of {beside.version}, would be published beside it. Build the recipe again, "
                "or name the versions."
            )


def cleaned(manifest: Manifest, **notes: Any) -> Manifest:
    """The manifest as it is published: identity and content as they are, this machine left out.

    ``notes`` are added to its own.
    """
    made = {key: value for key, value in manifest.made.items() if key in _MADE}
    return dataclasses.replace(manifest, made=made, notes={**manifest.notes, **notes})


def refuse_private(texts: Iterable[tuple[str, str]]) -> None:
    """Refuse to publish a text that holds an access token, a user's folder or this machine's name.

    Args:
        texts: what a text is, and the text.

    Raises:
        HubError: one does.
    """
    home, host = str(Path.home()), socket.gethostname()
    private = [_FOLDERS]
    if len(home) > 1:
        private.append(re.compile(rf"(?<![\w.]){re.escape(home)}(?![\w-])"))
    if re.search(r"[\d.-]", host):  # a host that is called "judge" is a word like any other
        private.append(re.compile(rf"\b{re.escape(host)}\b"))
    for what, text in texts:
        if re.search(TOKENS, text):
            raise HubError(
                f"{what}: it holds an access token, and would be published. "
                "Take it out of the recipe, revoke it, and build again."
            )
        for pattern in private:
            if found := pattern.search(text):
                raise HubError(
                    f"{what}: it names this machine or a folder of its user, found "
                    f"'{found[0]}'. Take it out of the recipe and build again."
                )


def plain(value: Any) -> str:
    """A value on one line, for a cell of a Markdown table or between backticks."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")
