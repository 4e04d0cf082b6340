"""``refs.json`` of a dataset: which version is the latest, and which have tags.

No other file of a dataset ever changes. It is replaced by a rename, so that a reader sees either
the old file or the new one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from srlm_data.core import checked_json, filesystem
from srlm_data.core.errors import DamagedError

NAME: Final = "refs.json"
VERSION: Final = re.compile(r"[0-9a-f]{16}")


def read(folder: Path) -> dict[str, str]:
    """Return ``latest`` and tags -> version; empty if the folder has no such file."""
    file = folder / NAME
    try:
        refs: dict[str, str] = checked_json.loads(filesystem.read_bytes(file))["refs"]
        for ref, version in refs.items():
            if not VERSION.fullmatch(version):
                raise ValueError(f"'{ref}' for {version!r:.60}, which is not a version")
    except FileNotFoundError:
        return {}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(
            f"{file}: the names of the versions are damaged, found {error}. 'srlm-data verify "
            "--quarantine' moves the file aside; then build again, and set tags again."
        ) from None
    return refs


def write(folder: Path, refs: dict[str, str]) -> None:
    """Replace the names; the caller holds their lock."""
    filesystem.refuse_links(folder)
    filesystem.replace_file(folder / NAME, checked_json.dumps({"refs": refs}))


def version_folders(folder: Path) -> list[Path]:
    """Return the folders of a dataset's versions, complete or not; ignore everything else."""
    paths = sorted(folder.iterdir())
    return [path for path in paths if path.is_dir() and VERSION.fullmatch(path.name)]
