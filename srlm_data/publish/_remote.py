"""One repository of the Hub, and every way in which it can fail, as sentences.

``huggingface_hub`` speaks to it; nothing else here does. Where the Hub's own uploads resume, so do
ours: a file that is there already is not sent again, and a commit is made of all or of nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from srlm_data.core.errors import HubError, MissingError, SrlmError

Content = bytes | Path
"""What a file is made of: bytes, or the bytes of a file on the disk."""

_LOGIN: Final = "Log in with 'hf auth login', or set HF_TOKEN to a token that may do this"


_OVERTAKEN: Final = (
    "another push came first",
    "Nothing was published; look at what it changed and publish again",
)
_REFUSED: Final = (
    "the Hub refuses what was sent",
    "Nothing was published by half; run it again",
)


class Pushed(NamedTuple):
    """A commit; ``pull_request`` is its address where one was asked for."""

    commit: str
    pull_request: str | None


class Remote:
    """A repository of the Hub.

    Args:
        repo: ``user/name``.
        kind: ``dataset`` or ``model``.

    Raises:
        MissingError: huggingface_hub is not installed.
    """

    def __init__(self, repo: str, kind: str) -> None:
        try:
            import huggingface_hub  # optional
            from huggingface_hub import errors, utils
        except ImportError:
            raise MissingError(
                f"{repo}: publishing and pulling want 'huggingface_hub', which is not installed. "
                "Install it with: pip install 'srlm-data[hub]'"
            ) from None
        if not sys.stderr.isatty():
            utils.disable_progress_bars()
        utils.logging.set_verbosity_error()
        self.repo = repo
        self.kind = kind
        self._hub = huggingface_hub
        self._errors = errors
        self._api = huggingface_hub.HfApi()

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        prefix = "datasets/" if self.kind == "dataset" else ""
        return f"{self._api.endpoint}/{prefix}{self.repo}"

    def ensure(self, *, private: bool) -> bool:
        """Make the repository if it is not there; whether it is private.

        Raises:
            HubError: it is public and ``private`` was wanted, or the Hub refuses.
        """
        with self._told():
            try:
                found = self._api.repo_info(self.repo, repo_type=self.kind)
            except self._errors.RepositoryNotFoundError as error:
                if error.response.status_code != 404:
                    raise
                self._api.create_repo(
                    self.repo, repo_type=self.kind, private=private, exist_ok=True
                )
                return private
        if private and found.private is False:
            raise HubError(
                f"{self.repo}: the {self.kind} is public on the Hub, and private is the default. "
                "Say --public, or name another repository."
            )
        return bool(found.private)

    def head(self, revision: str | None = None) -> str:
        """The commit that a branch, tag or commit names; of the main branch unless named.

        Raises:
            HubError: there is none, or the Hub refuses.
        """
        with self._told(revision):
            return str(self._api.repo_info(self.repo, repo_type=self.kind, revision=revision).sha)

    def tags(self) -> dict[str, str]:
        """Tag -> commit."""
        with self._told():
            refs = self._api.list_repo_refs(self.repo, repo_type=self.kind)
        return {tag.name: str(tag.target_commit) for tag in refs.tags}

    def tree(self, commit: str) -> dict[str, str]:
        """Path -> the hash that the Hub knows a file by, of every file of a commit."""
        with self._told(commit):
            found = self._api.list_repo_tree(
                self.repo, repo_type=self.kind, revision=commit, recursive=True
            )
            return {
                one.path: one.lfs.sha256 if one.lfs else one.blob_id
                for one in found
                if hasattr(one, "blob_id")  # a folder has none
            }

    def push(
        self,
        files: Mapping[str, Content],
        gone: list[str],
        *,
        parent: str,
        message: str,
        pull_request: bool = False,
    ) -> Pushed:
        """Make one commit of all ``files``, on ``parent`` and on nothing else.

        Raises:
            HubError: another push came first, or the Hub refuses or fails; no commit was made.
        """
        operations = [
            *(self._hub.CommitOperationDelete(path) for path in gone),
            *(
                self._hub.CommitOperationAdd(path, content)
                for path, content in sorted(files.items())
            ),
        ]
        with self._told():
            made = self._api.create_commit(
                self.repo,
                operations,
                commit_message=message,
                repo_type=self.kind,
                parent_commit=parent,
                create_pr=pull_request,
            )
        return Pushed(str(made.oid), made.pr_url)

    def tag(self, name: str, commit: str) -> None:
        """Let a tag name a commit; nothing if it does already."""
        with self._told():
            self._api.create_tag(
                self.repo, tag=name, revision=commit, repo_type=self.kind, exist_ok=True
            )

    def fetch(self, commit: str, paths: list[str]) -> Path:
        """Download files of a commit, those that are not here yet; the folder in which they lie.

        Raises:
            HubError: a file is not there, or the connection fails.
        """
        with self._told(commit):
            return Path(
                self._hub.snapshot_download(
                    self.repo, repo_type=self.kind, revision=commit, allow_patterns=paths
                )
            )

    @contextlib.contextmanager
    def _told(self, revision: str | None = None) -> Iterator[None]:
        """Turn what huggingface_hub raises into a sentence; a bug of ours stays one."""
        try:
            yield
        except SrlmError:
            raise
        except (self._errors.HTTPError, OSError, ValueError, RuntimeError) as error:
            raise HubError(f"{self.repo}: {self._sentence(error, revision)}") from None

    def _sentence(self, error: BaseException, revision: str | None) -> str:
        errors = self._errors
        while isinstance(error, RuntimeError) and error.__cause__ is not None:
            error = error.__cause__  # 'Error while uploading' wraps what happened
        if isinstance(error, errors.HfHubHTTPError):
            return _refusal(
                error.response.status_code,
                error.server_message or str(error),
                revision if isinstance(error, errors.RevisionNotFoundError) else None,
                self.kind,
            )
        said = " ".join(str(error).split())
        if isinstance(error, errors.HTTPError | ConnectionError | errors.LocalEntryNotFoundError):
            return (
                f"the connection failed, found '{said:.200}'. "
                "Run it again: what has arrived is not sent again."
            )
        return f"the Hub's answer cannot be used, found '{said:.200}'. Run it again."


def _refusal(status: int, said: str, revision: str | None, kind: str) -> str:
    """What a status of the Hub means, and what to do about it."""
    found = f"found {status} '{' '.join(said.split()):.160}'"
    if revision is not None:
        return f"there is no revision '{revision}', {found}. Look at its tags on the Hub."
    wrong, remedy = {
        401: ("the Hub knows no such login", _LOGIN),
        403: ("the token may not do this", _LOGIN),
        404: (f"no such {kind}, or the token may not read it", f"Check the name. {_LOGIN}"),
        409: _OVERTAKEN,
        412: _OVERTAKEN,
        400: _REFUSED,
        422: _REFUSED,
    }.get(status, ("the Hub failed", "Nothing was published by half; run it again"))
    return f"{wrong}, {found}. {remedy}."


def known_as(content: Content) -> tuple[str, str]:
    """The two hashes that the Hub may know a file by: SHA-256 of a large one, git's of a small."""
    data = content if isinstance(content, bytes) else None
    size = len(data) if data is not None else Path(str(content)).stat().st_size
    whole = hashlib.sha256()
    blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for block in _blocks(content):
        whole.update(block)
        blob.update(block)
    return whole.hexdigest(), blob.hexdigest()


def _blocks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while block := file.read(1 << 22):
            yield block
