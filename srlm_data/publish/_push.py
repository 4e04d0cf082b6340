"""Publish versions to the Hub: collect the files, and send them as a single commit."""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from srlm_data.core import database
from srlm_data.core.errors import HubError, StoreError
from srlm_data.core.hub import Content, Remote, is_same
from srlm_data.core.redaction import TOKENS
from srlm_data.publish import _dataset_card
from srlm_data.publish._bundle import Bundle, Part, published_manifest, refuse_private
from srlm_data.publish._sources import License, languages_of, licenses_of
from srlm_data.publish._splits import TEST_SHARE, split
from srlm_data.store import Store

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

MANIFESTS: Final = "manifests"

MODEL_SUFFIXES: Final = (".json", ".jsonl", ".safetensors", ".txt", ".model", ".jinja")
"""The files of a model. Pickles, optimizer states and code are neither sent nor pulled."""


@dataclass(frozen=True)
class Upload:
    """What is to be published."""

    kind: str  # ``dataset`` or ``model``
    title: str  # what it is, for the commit's message
    tag: str  # its permanent name on the Hub
    files: Mapping[str, Content]  # path in the repository -> its content

    @property
    def card(self) -> str:
        """The text of README.md."""
        text = self.files["README.md"]
        assert isinstance(text, bytes), "a card is written, never copied"
        return text.decode()


@dataclass(frozen=True)
class Published:
    """What was published, or would be: a dry run has only the upload."""

    upload: Upload = field(repr=False)  # may hold many bytes
    address: str | None = None  # for a browser
    commit: str | None = None  # that the tag names, or that the pull request holds
    new: bool = False  # whether a commit was made; if not, the Hub had all files already
    private: bool = True
    pull_request: str | None = None  # its address, if one was requested; then there is no tag


def prepare_dataset(
    bundle: Bundle,
    store: Store,
    *,
    repo: str,
    tag: str | None = None,
    license: str | None = None,
    languages: Sequence[str] = (),
    test_share: float = TEST_SHARE,
) -> Upload:
    """Return a bundle as the files of a dataset repository, those of its splits included.

    Raises:
        StoreError: a version is damaged.
        HubError: something in it must not leave this machine.
    """
    files: dict[str, Content] = {}
    for part in bundle.parts:
        if faults := store.verify(part.manifest):
            raise StoreError("\n".join(faults))
        _refuse_tokens(store, part)
        files |= {f"{part.config}/{path.name}": path for path in store.files(part.manifest)}
        licenses = licenses_of(store, part.manifest)
        if license:
            licenses.append(License(part.manifest.ref, license, repo))
        codes = list(languages) or languages_of(store, part.manifest).agreed
        manifest = published_manifest(part.manifest, licenses=licenses, languages=codes)
        files[f"{MANIFESTS}/{part.config}.json"] = manifest.json()
    tag = tag or bundle.id(test_share)
    with contextlib.ExitStack() as staged:
        splits = split(bundle, store, test_share, staged)
        for each in itertools.chain.from_iterable(splits.values()):
            files |= each.paths
        card = _dataset_card.write(
            bundle, store, splits, repo=repo, tag=tag, license=license, languages=languages
        )
        files |= {path: text.encode() for path, text in card.items()}
        refuse_private(
            (f"{bundle.title}: {path}", content.decode())
            for path, content in files.items()
            if isinstance(content, bytes)
        )
        upload = Upload("dataset", bundle.title, tag, files)
        weakref.finalize(upload, staged.pop_all().close)
    return upload


def _refuse_tokens(store: Store, part: Part) -> None:
    with database.session() as connection:
        store.rows(part.manifest).view(connection, "rows", parts=True)
        [(count,)] = connection.execute(
            "SELECT count(*) FROM rows WHERE regexp_matches(rows::VARCHAR, ?)", [TOKENS]
        ).fetchall()
    if count:
        raise HubError(
            f"{part.manifest.ref}: {count:,} of its rows hold what looks like an access token. "
            "Drop them with a 'sql' step, and publish its result."
        )


def send(
    upload: Upload, repo: str, *, private: bool = True, pull_request: bool = False
) -> Published:
    """Send an upload as one commit and tag it; files that the Hub has already are not sent.

    It is safe to repeat after any failure: no commit is made before every file is uploaded, and the
    commit is refused if the branch has moved meanwhile.

    Raises:
        HubError: the Hub refuses or fails, another push came first, or the tag names other data.
        MissingError: huggingface_hub is not installed.
    """
    remote = Remote(repo, upload.kind)
    is_private = remote.ensure(private=private)
    parent = remote.head()
    tagged = remote.tags().get(upload.tag)
    if tagged is not None:
        changed, deleted = _changes(upload, remote.tree(tagged))
        # Only the card and its picture may differ from the tagged files.
        if deleted or any(not path.endswith((".md", ".svg")) for path in changed):
            raise HubError(
                f"{repo}: the tag '{upload.tag}' names other data already, at {tagged[:12]}. "
                "A tag never moves: choose another one with --tag."
            )
    changed, deleted = _changes(upload, remote.tree(parent))
    commit, request = tagged or parent, None
    if changed or deleted:
        message = f"Publish {upload.title} ({upload.tag})"
        info = remote.commit(
            changed, deleted, parent=parent, message=message, pull_request=pull_request
        )
        commit, request = str(info.oid), info.pr_url
    if tagged is None and not pull_request:
        remote.tag(upload.tag, commit)
    return Published(upload, remote.address, commit, bool(changed or deleted), is_private, request)


def _changes(upload: Upload, tree: Mapping[str, RepoFile]) -> tuple[dict[str, Content], list[str]]:
    """Return the files to send, and an earlier publication's paths to delete."""
    changed = {
        path: content
        for path, content in upload.files.items()
        if not is_same(content, tree.get(path))
    }
    return changed, sorted(_ours(upload.kind, tree) - upload.files.keys())


def _ours(kind: str, paths: Collection[str]) -> set[str]:
    """Return the paths that a publication wrote; other files in the repository stay."""
    manifests = {path for path in paths if path.startswith(f"{MANIFESTS}/")}
    if kind == "model":
        return manifests | {
            path for path in paths if "/" not in path and path.endswith(MODEL_SUFFIXES)
        }
    configs = {PurePosixPath(path).stem for path in manifests}
    return manifests | {path for path in paths if path.split("/")[0] in configs}
