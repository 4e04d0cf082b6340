"""Versions to the Hub: what is sent, and the one commit that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from srlm_data.core import database
from srlm_data.core.errors import HubError, StoreError
from srlm_data.core.redaction import TOKENS
from srlm_data.publish import card
from srlm_data.publish._remote import Content, Remote, known_as
from srlm_data.publish.bundle import Part, Release, cleaned, refuse_private
from srlm_data.publish.card import lineage
from srlm_data.store import Store
from srlm_data.store.graph import Graph

MANIFESTS: Final = "manifests"

MODEL_SUFFIXES: Final = (".json", ".jsonl", ".safetensors", ".txt", ".model", ".jinja")
"""What a model is made of. Pickles, optimizer states and code are neither sent nor taken."""


@dataclass(frozen=True)
class Upload:
    """What is to be published.

    Attributes:
        kind: ``dataset`` or ``model``.
        title: what it is, for the commit's message.
        tag: what names it on the Hub from then on.
        files: path in the repository -> what it is made of.
    """

    kind: str
    title: str
    tag: str
    files: Mapping[str, Content]

    @property
    def card(self) -> str:
        """The text of README.md."""
        text = self.files["README.md"]
        assert isinstance(text, bytes), "a card is written, never copied"
        return text.decode()


@dataclass(frozen=True)
class Published:
    """What became of it.

    Attributes:
        address: where a browser finds it.
        commit: the commit that the tag names, or that the pull request holds.
        new: whether a commit was made; if not, all of it was there already.
        pull_request: its address, where one was asked for; there is no tag then.
    """

    address: str
    commit: str
    new: bool
    private: bool
    pull_request: str | None = None


def dataset(
    release: Release, store: Store, *, repo: str, tag: str | None, license: str | None
) -> Upload:
    """A release as a dataset repository.

    Raises:
        StoreError: a version is damaged.
        HubError: something in it must not leave this machine.
    """
    tag = tag or release.id
    files: dict[str, Content] = {}
    for part in release.parts:
        faults = store.verify(part.manifest)
        if faults:
            raise StoreError("\n".join(faults))
        _refuse_tokens(store, part)
        for path in store.files(part.manifest):
            files[f"{part.config}/{path.name}"] = path
        inputs = lineage.licenses(Graph(store).parents_first([part.manifest]))
        own = [lineage.License(part.manifest.ref, license, repo)] if license else []
        files[f"{MANIFESTS}/{part.config}.json"] = cleaned(
            part.manifest, licenses=[*inputs, *own]
        ).json()
    text = card.text(release, store, repo=repo, tag=tag, license=license)
    files["README.md"] = text.encode()
    refuse_private(
        (f"{release.title}: {path}", content.decode())
        for path, content in files.items()
        if isinstance(content, bytes)
    )
    return Upload("dataset", release.title, tag, files)


def _refuse_tokens(store: Store, part: Part) -> None:
    with database.connect() as connection:
        store.rows(part.manifest).view(connection, "rows")
        found = connection.execute(
            "SELECT count(*) FROM rows WHERE regexp_matches(rows::VARCHAR, ?)", [TOKENS]
        ).fetchone()
    if found and found[0]:
        raise HubError(
            f"{part.manifest.ref}: {found[0]:,} of its rows hold what looks like an access token. "
            "Drop them with a 'sql' step, and publish what it makes."
        )


def publish(
    upload: Upload, repo: str, *, private: bool = True, pull_request: bool = False
) -> Published:
    """Send an upload as one commit and tag it; send nothing that is there already.

    It is safe to run again at whatever point it failed: no commit is made before every file is
    there, and the commit is refused if the branch has moved meanwhile.

    Raises:
        HubError: the Hub refuses or fails, another push came first, or the tag names other data.
        MissingError: huggingface_hub is not installed.
    """
    remote = Remote(repo, upload.kind)
    is_private = remote.ensure(private=private)
    parent = remote.head()
    hashes = {path: known_as(content) for path, content in upload.files.items()}
    tagged = remote.tags().get(upload.tag)
    if tagged is not None and not _same(upload.kind, remote.tree(tagged), hashes):
        raise HubError(
            f"{repo}: the tag '{upload.tag}' names other data already, at {tagged[:12]}. "
            "A tag never moves: choose another one with --tag."
        )
    there = remote.tree(parent)
    missing = {
        path: content
        for path, content in upload.files.items()
        if there.get(path) not in hashes[path]
    }
    gone = _gone(upload.kind, there, upload.files)
    if not missing and not gone:
        if tagged is None and not pull_request:
            remote.tag(upload.tag, parent)
        return Published(remote.address, tagged or parent, new=False, private=is_private)
    pushed = remote.push(
        missing, gone, parent=parent, message=f"Publish {upload.title} ({upload.tag})",
        pull_request=pull_request,
    )  # fmt: skip
    if tagged is None and not pull_request:
        remote.tag(upload.tag, pushed.commit)
    return Published(remote.address, pushed.commit, True, is_private, pushed.pull_request)


def _same(kind: str, there: Mapping[str, str], hashes: Mapping[str, tuple[str, str]]) -> bool:
    """Whether a tree holds this data; the card around it may have been written anew."""
    ours = {path for path in hashes if path != "README.md"}
    return not _gone(kind, there, hashes) and all(there.get(path) in hashes[path] for path in ours)


def _gone(kind: str, there: Mapping[str, str], wanted: Mapping[str, object]) -> list[str]:
    """What an earlier publication left and this one has not; files of anyone else's stay."""
    if kind == "model":
        left = [path for path in there if "/" not in path and path.endswith(MODEL_SUFFIXES)]
    else:
        configs = {Path(path).stem for path in there if path.startswith(f"{MANIFESTS}/")}
        left = [path for path in there if path.split("/")[0] in configs]
    left.extend(path for path in there if path.startswith(f"{MANIFESTS}/"))
    return sorted({path for path in left if path not in wanted})
