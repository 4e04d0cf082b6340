"""The Hugging Face Hub, spoken to through ``huggingface_hub``; a failure is a `HubError`.

A commit is the only revision that stays: 40 hex digits pin what they name. A branch, a tag and the
main branch of a name alone move, and are looked up once (:class:`Pins`).
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from srlm_data.core import filesystem, packages
from srlm_data.core.errors import HubError, SrlmError

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo
    from huggingface_hub.hf_api import RepoFile

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
"""A full commit hash: a revision whose meaning cannot change."""

Content = bytes | Path
"""A file of a repository: its bytes, or the file on the disk that holds them."""

MODEL_FILES: Final = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
"""The files that a model is loaded from; pickles and code are left out."""

_LOGIN: Final = "Log in with 'hf auth login', or set HF_TOKEN to a token that may do this"
_LOOK: Final = "Nothing was published; check what changed there and publish again"
_OVERTAKEN: Final = ("another push came first", _LOOK)
_REFUSED: Final = ("the Hub refuses the request", "Nothing was published by half; run it again")
_FAILED: Final = ("the Hub failed", "Nothing was published by half; run it again")
_STATUSES: Final = {
    400: _REFUSED,
    401: ("the Hub does not know this login", _LOGIN),
    403: ("the token may not do this", _LOGIN),
    404: ("no such {kind}, or the token may not read it", f"Check the name. {_LOGIN}"),
    409: _OVERTAKEN,
    412: _OVERTAKEN,
    422: _REFUSED,
}
"""HTTP status -> what is wrong, and what to do."""


class Remote:
    """A dataset or a model (``kind``) of the Hub; whatever the Hub refuses is a `HubError`."""

    def __init__(self, repo: str, kind: str) -> None:
        try:
            import huggingface_hub  # optional
            from huggingface_hub import errors, utils
        except ImportError:
            raise packages.missing(repo, "huggingface_hub", "hub") from None
        if not sys.stderr.isatty():
            utils.disable_progress_bars()
        utils.logging.set_verbosity_error()
        self.repo = repo
        self.kind = kind
        self._named = {"repo_id": repo, "repo_type": kind}
        self._hub = huggingface_hub
        self._errors = errors
        self._api = huggingface_hub.HfApi()

    @property
    def address(self) -> str:
        """Where a browser finds the repository."""
        prefix = "datasets/" if self.kind == "dataset" else ""
        return f"{self._api.endpoint}/{prefix}{self.repo}"

    def ensure(self, *, private: bool) -> bool:
        """Create the repository if it is not there; return whether it is private."""
        with self._readable_errors():
            try:
                info = self._api.repo_info(**self._named)
            except self._errors.RepositoryNotFoundError as error:
                if error.response.status_code != 404:  # 401: the Hub does not know this login
                    raise
                self._api.create_repo(**self._named, private=private, exist_ok=True)
                return private
        if private and info.private is False:
            raise HubError(
                f"{self.repo}: the {self.kind} is public on the Hub, and private is the default. "
                "Say --public, or name another repository."
            )
        return bool(info.private)

    def head(self, revision: str | None = None) -> str:
        """Return the commit that a branch, tag or commit names; the main branch's if None."""
        with self._readable_errors(revision):
            return str(self._api.repo_info(**self._named, revision=revision).sha)

    def check(self, revision: str) -> None:
        """Refuse a revision that is not there, or whose files this login may not read."""
        if self._hub.constants.HF_HUB_OFFLINE:
            return
        with self._readable_errors(revision):
            info = self._api.repo_info(**self._named, revision=revision)
            if getattr(info, "gated", False):
                self._api.auth_check(**self._named)

    def tags(self) -> dict[str, str]:
        """Return the commit of every tag."""
        with self._readable_errors():
            refs = self._api.list_repo_refs(**self._named)
        return {tag.name: str(tag.target_commit) for tag in refs.tags}

    def tree(self, commit: str) -> dict[str, RepoFile]:
        """Return what the Hub knows of every file of a commit, by its path."""
        with self._readable_errors(commit):
            entries = self._api.list_repo_tree(**self._named, revision=commit, recursive=True)
            return {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}

    def commit(
        self,
        files: Mapping[str, Content],
        deleted: list[str],
        *,
        parent: str,
        message: str,
        pull_request: bool = False,
    ) -> CommitInfo:
        """Make one commit of all ``files``, on ``parent`` and on nothing else.

        A file whose upload was finished before, even by a killed process, is not sent again.
        """
        deletions = [self._hub.CommitOperationDelete(path) for path in deleted]
        additions = [self._hub.CommitOperationAdd(*item) for item in sorted(files.items())]
        with self._readable_errors():
            return self._api.create_commit(
                **self._named,
                operations=[*deletions, *additions],
                commit_message=message,
                parent_commit=parent,
                create_pr=pull_request,
            )

    def tag(self, name: str, commit: str) -> None:
        """Let a tag name a commit; do nothing if it does already."""
        with self._readable_errors():
            self._api.create_tag(**self._named, tag=name, revision=commit, exist_ok=True)

    def fetch(self, commit: str, patterns: list[str]) -> Path:
        """Download files of a commit that are not here yet; return the folder they lie in."""
        return self._snapshot(commit, allow_patterns=patterns)

    def downloaded(self, commit: str) -> Path | None:
        """Return the folder of what was downloaded of a commit, or of a part; None for nothing."""
        try:
            folder = self._snapshot(commit, local_files_only=True)
        except HubError:
            return None
        return folder if any(folder.iterdir()) else None

    def _snapshot(self, commit: str, **options: Any) -> Path:
        with self._readable_errors(commit):
            return Path(self._hub.snapshot_download(**self._named, revision=commit, **options))

    @contextlib.contextmanager
    def _readable_errors(self, revision: str | None = None) -> Iterator[None]:
        """Turn errors of huggingface_hub into `HubError`; other exceptions are bugs and pass."""
        try:
            yield
        except SrlmError:
            raise
        except (self._errors.HTTPError, OSError, ValueError, RuntimeError) as error:
            raise HubError(f"{self.repo}: {self._explain(error, revision)}") from None

    def _explain(self, error: BaseException, revision: str | None) -> str:
        errors = self._errors
        while isinstance(error, RuntimeError) and error.__cause__ is not None:
            error = error.__cause__  # 'Error while uploading' wraps the actual error
        text = " ".join(str(error).split())
        if isinstance(error, errors.HfHubHTTPError):
            status = error.response.status_code
            reply = f"found {status} '{' '.join((error.server_message or text).split()):.160}'"
            if revision is not None and isinstance(error, errors.RevisionNotFoundError):
                return f"there is no revision '{revision}', {reply}. Look at its tags on the Hub."
            if isinstance(error, errors.GatedRepoError):
                return f"it is gated, {reply}. Ask for access on its page on the Hub. {_LOGIN}."
            wrong, remedy = _STATUSES.get(status, _FAILED)
            return f"{wrong.format(kind=self.kind)}, {reply}. {remedy}."
        if isinstance(error, errors.HTTPError | ConnectionError | errors.LocalEntryNotFoundError):
            again = "Run it again: what has arrived is not sent again."
            return f"the connection failed, found '{text:.200}'. {again}"
        return f"the Hub's answer cannot be used, found '{text:.200}'. Run it again."


class Pins:
    """The commits that moving names of the Hub mean: ``kind/name@revision`` -> commit."""

    def __init__(self, known: Mapping[str, str] = MappingProxyType({})) -> None:
        self._known = dict(known)  # from lock files
        self.used: dict[str, str] = {}
        self.new: dict[str, str] = {}  # looked up on the Hub just now

    def add(self, known: Mapping[str, str]) -> None:
        """Learn from another lock file; what is known already stays."""
        self._known = {**known, **self._known}

    def commit(self, kind: str, name: str, revision: str) -> str:
        """Return the commit that a revision means; the empty one is the main branch."""
        if COMMIT.fullmatch(revision):
            return revision
        moving = f"{kind}/{name}@{revision or 'main'}"
        if moving not in self._known:
            self._known[moving] = self.new[moving] = Remote(name, kind).head(revision or None)
        self.used[moving] = self._known[moving]
        return self.used[moving]


def is_same(content: Content, entry: RepoFile | None) -> bool:
    """Return whether a file of the Hub holds these bytes, by the hash that the Hub publishes."""
    from huggingface_hub.utils import sha

    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if entry is None or entry.size != size:
        return False
    if entry.lfs is None:  # a file outside LFS has a git hash instead
        data = content if isinstance(content, bytes) else content.read_bytes()
        return bool(sha.git_hash(data) == entry.blob_id)
    if isinstance(content, bytes):
        return bool(sha.sha256(content).hexdigest() == entry.lfs.sha256)
    return bool(filesystem.digest(content) == entry.lfs.sha256)
