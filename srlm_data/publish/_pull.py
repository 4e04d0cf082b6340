"""Fetch versions from the Hub into the store, byte for byte, or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from srlm_data.core.errors import HubError, StoreError, did_you_mean
from srlm_data.core.hub import Remote
from srlm_data.publish._bundle import other_rows
from srlm_data.publish._push import MANIFESTS
from srlm_data.store import Manifest, Store
from srlm_data.store.manifests import parse

REMEDY: Final = "Ask its publisher, or name another revision."


@dataclass(frozen=True)
class Pulled:
    """A version that was pulled."""

    manifest: Manifest
    new: bool  # whether it was added to the store
    latest: bool  # whether it is the latest version of its dataset now


def pull(
    store: Store, repo: str, revision: str | None, *, only: Sequence[str] = ()
) -> list[Pulled]:
    """Add the versions in a dataset repository to the store, unchanged.

    A pulled version becomes the latest of its dataset if the store has none, or if the latest was
    pulled from the same repository; a version that was built here stays the latest. ``only`` limits
    the pull to some configs or datasets.

    Raises:
        HubError: the Hub refuses or fails, or what it holds is not what was published.
        DataError: a row breaks a rule of its dataset type.
    """
    remote = Remote(repo, "dataset")
    commit = remote.head(revision)
    manifests = read_manifests(remote, remote.fetch(commit, [f"{MANIFESTS}/*.json"]))
    if not manifests:
        raise HubError(
            f"{repo}: srlm-data published nothing there, it has no {MANIFESTS}/*.json at "
            f"{commit[:12]}. Read foreign data with the steps read_pairs and read_examples."
        )
    if exchanged := other_rows({manifest.name: manifest for manifest in manifests.values()}):
        manifest, beside = exchanged
        raise HubError(
            f"{repo}: {manifest.ref} was made from other rows than those of {beside.ref} beside "
            f"it: one of them was replaced. {REMEDY}"
        )
    configs = {manifest.name: config for config, manifest in manifests.items()}
    for name in only:
        if name not in manifests and name not in configs:
            raise HubError(
                f"{repo}: no dataset '{name}' there."
                f"{did_you_mean(name, [*manifests, *configs])} It has {', '.join(configs)}."
            )
    wanted = dict.fromkeys(configs.get(name, name) for name in only) or manifests
    return [_take(store, remote, commit, config, manifests[config]) for config in wanted]


def read_manifests(remote: Remote, folder: Path) -> dict[str, Manifest]:
    """Return the manifests in a repository's folder, by config."""
    manifests = {}
    for file in sorted(folder.glob(f"{MANIFESTS}/*.json")):
        where = f"{remote.repo}: {MANIFESTS}/{file.name}"
        try:
            manifest = parse(file.read_bytes())
        except (StoreError, ValueError) as error:
            raise HubError(f"{where}: it is not a manifest, found {error} {REMEDY}") from None
        if not {"step", "revision", "config"} <= manifest.identity.keys():
            raise HubError(f"{where}: its identity names no step, revision and config. {REMEDY}")
        manifests[file.stem] = manifest
    return manifests


def _take(store: Store, remote: Remote, commit: str, config: str, manifest: Manifest) -> Pulled:
    manifest = mark_pulled(manifest, remote.repo, commit)
    try:
        new = not store.has(manifest.name, manifest.version)
        if new:
            folder = remote.fetch(commit, [f"{config}/train-*.parquet"])
            store.adopt(manifest, folder / config)
        elif store.manifest(manifest.name, manifest.version).content != manifest.content:
            raise HubError(
                f"{manifest.ref}: this store has the version with other rows than {remote.repo}. "
                "Pull into another store: --store FOLDER."
            )
    except StoreError as error:
        faults = "\n".join(f"{remote.repo}: {line}" for line in str(error).splitlines())
        raise HubError(f"{faults} {REMEDY}") from None
    return Pulled(manifest, new, become_latest(store, manifest, remote.repo))


def mark_pulled(manifest: Manifest, repo: str, commit: str) -> Manifest:
    """Return the manifest with the repository and commit that it was pulled from."""
    return dataclasses.replace(
        manifest, provenance={**manifest.provenance, "pulled": f"{repo}@{commit}"}
    )


def become_latest(store: Store, manifest: Manifest, repo: str) -> bool:
    """Make a version the latest, unless that was built here or is from another repository."""
    latest = store.refs(manifest.name).get("latest")
    if latest is not None and latest != manifest.version:
        pulled = str(store.manifest(manifest.name, latest).provenance.get("pulled", ""))
        if pulled.partition("@")[0] != repo:
            return False
    store.point(manifest.name, manifest.version)
    return True
