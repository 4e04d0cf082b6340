"""What a disk or a stray program has changed is never taken for data.

Manifests and names carry their checksum. A file of rows is hashed before a build reads it, and
before anybody does when it was touched after its manifest; else only its size is looked at, so that
a query starts at once.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from srlm_data.core import filesystem
from srlm_data.core.errors import DamagedError, StoreError
from srlm_data.models import identity
from srlm_data.store.manifests import MEND, Manifest


class Proof:
    """The files of a store that this process has hashed, each once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._proven: set[Path] = set()

    def refuse_damaged(self, folder: Path, manifest: Manifest, *, proven: bool) -> None:
        """Refuse a version's files that are not what was written.

        ``proven`` hashes every byte, even of files that nothing has touched since.
        """
        seal = folder / "manifest.json"
        sealed = seal.stat()
        touched = False
        for entry in manifest.files:
            file = folder / entry.path
            filesystem.refuse_links(file, file.parent, *file.parents[1:3])
            later = file.is_file() and file.stat().st_ctime_ns > sealed.st_ctime_ns
            hashed = (proven or later) and file not in self._proven
            if fault := entry.fault(folder, hashed=hashed):
                raise DamagedError(f"{manifest.ref}: {fault}. {MEND}")
            touched |= later and hashed
            if proven:
                self._proven.add(file)
        if touched:  # by a copy or a backup: it is whole, so nobody need hash it again
            with contextlib.suppress(OSError):
                seal.chmod(sealed.st_mode)

    def refuse_damaged_model(self, location: str, digest: str, *, proven: bool) -> None:
        """Refuse a model that is gone or, where ``proven``, is not what was trained."""
        try:
            place = Path(identity.locate(location, self._root).name)
        except DamagedError:
            raise
        except StoreError:  # a place that only the engine of this model may know
            return
        # A folder outside of the store is hashed when its recipe is read.
        if proven and location.startswith("store:") and place not in self._proven:
            if not identity.is_whole(place, digest):
                raise DamagedError(
                    f"model '{location}': its files are not what was trained. "
                    "Build its recipe again to remake it."
                )
            self._proven.add(place)

    def forget(self, path: Path) -> None:
        """Forget what was hashed in a folder that is moved away."""
        self._proven = {file for file in self._proven if not file.is_relative_to(path)}
