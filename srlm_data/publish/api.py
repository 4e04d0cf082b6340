"""The Python API of the Hub, behind the commands `publish` and `pull`.

Each function takes ``store``: a folder, an opened store, or None for ``SRLM_STORE`` or ``store``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from srlm_data.core.errors import ArgumentError
from srlm_data.core.languages import check_codes
from srlm_data.core.tables import Table
from srlm_data.publish._bundle import select
from srlm_data.publish._models import prepare_model, pull_model
from srlm_data.publish._pull import Pulled
from srlm_data.publish._pull import pull as pull_dataset
from srlm_data.publish._push import Published, prepare_dataset, send
from srlm_data.publish._splits import TEST_SHARE
from srlm_data.store import Place, open_store

__all__ = ["Published", "PullResult", "pull", "push"]

_REPO: Final = re.compile(
    r"(?!.*(--|\.\.|\.git$))\w[\w.-]*(?<![.-])/\w[\w.-]{0,95}(?<![.-])", re.ASCII
)
_TAG: Final = re.compile(r"(?!.*(\.\.|//|\.lock$))\w[\w.+/-]*(?<![./])", re.ASCII)
"""Names that the Hub accepts for repositories and tags; it refuses others only after the upload."""

Kind = Literal["dataset", "model"]


@dataclass(frozen=True)
class PullResult(Table):
    """The versions that were pulled."""

    versions: list[Pulled]

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return a row for each version."""
        rows = [
            [
                pulled.manifest.name,
                pulled.manifest.version[:8],
                f"{pulled.manifest.rows:,}",
                "new" if pulled.new else "here before",
            ]
            for pulled in self.versions
        ]
        return ["dataset", "version", "rows", "state"], rows


def push(
    *targets: str,
    repo: str,
    kind: Kind = "dataset",
    tag: str | None = None,
    license: str | None = None,
    languages: Sequence[str] = (),
    test_share: float = TEST_SHARE,
    private: bool = True,
    pull_request: bool = False,
    dry_run: bool = False,
    store: Place = None,
) -> Published:
    """Publish recipes, datasets or versions (default: all), or one model, to the Hub.

    Args:
        targets: names of recipes, datasets or versions; the name of one model.
        repo: ``user/name``.
        kind: what the targets are.
        tag: the name of this release; a hash of its content if None.
        license: the license that you publish under.
        languages: codes of the texts' languages, such as ``en``; by default those of the inputs.
        test_share: share of the prompts in the split ``test``; 0 for no such split.
        private: whether a new repository is private.
        pull_request: open a pull request instead of a commit on the main branch.
        dry_run: return what would be sent, files and card, and send nothing.
        store: the store to use.

    Raises:
        ArgumentError: ``repo`` or ``tag`` is not a valid name, not exactly one model is named, a
            language is not a code, or ``test_share`` is out of range.
        StoreError: there is no such dataset, or it is damaged.
        HubError: something in it must not leave this machine, the Hub refuses or fails, or the tag
            names other data.
        MissingError: huggingface_hub is not installed.
    """
    _check_repo(repo)
    try:
        languages = check_codes(languages)
    except ValueError as error:
        raise ArgumentError(f"publish: {error}. Name it by its code.") from None
    if tag is not None and not _TAG.fullmatch(tag):
        raise ArgumentError(
            f"publish: the Hub refuses the tag '{tag}'. Use letters, digits, '.', '_' and '-'."
        )
    if not 0 <= test_share < 1:
        raise ArgumentError(
            f"publish: the test share must be at least 0 and less than 1, found {test_share}. Use "
            "0.05, or 0 for none."
        )
    opened = open_store(store)
    settings: dict[str, Any] = {"tag": tag, "license": license, "languages": languages}
    if kind == "dataset":
        bundle = select(opened, targets)
        upload = prepare_dataset(bundle, opened, repo=repo, test_share=test_share, **settings)
    elif len(targets) == 1:
        upload = prepare_model(opened, targets[0], **settings)
    else:
        raise ArgumentError("publish: --type model publishes one model. Name it, such as iter1.m2.")
    if dry_run:
        return Published(upload)
    return send(upload, repo, private=private, pull_request=pull_request)


def pull(
    repo: str,
    revision: str | None = None,
    *,
    only: str | Sequence[str] = (),
    kind: Kind = "dataset",
    store: Place = None,
) -> PullResult:
    """Fetch the versions of a Hub repository into the store, as they were published.

    Args:
        repo: ``user/name``.
        revision: a tag, branch or commit; the main branch where None.
        only: some of its datasets; all when empty.
        kind: what the repository holds.
        store: where the versions go.

    Raises:
        HubError: the Hub refuses or fails, or holds something else than was published.
        MissingError: huggingface_hub is not installed.
    """
    _check_repo(repo)
    opened = open_store(store)
    if kind == "dataset":
        only = [only] if isinstance(only, str) else only
        return PullResult(pull_dataset(opened, repo, revision, only=only))
    if only:
        raise ArgumentError(f"{repo}: it holds one model and no datasets. Name no dataset.")
    return PullResult([pull_model(opened, repo, revision)])


def _check_repo(repo: str) -> None:
    if not _REPO.fullmatch(repo):
        raise ArgumentError(
            f"a repository is USER/NAME, found '{repo}'. Use letters, digits, '.', '_' and '-'."
        )
