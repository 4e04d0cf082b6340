"""Checks that files are what was written, before anything in them is read as data.

Manifests and names carry their own checksum. A file of rows is hashed before a build reads it, and
before any other reader if it was touched after its manifest; otherwise only its size is compared,
so that a query starts at once.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from srlm_data.core import filesystem
from srlm_data.core.errors import DamagedError, StoreError
from srlm_data.models import identity
from srlm_data.store.manifests import MEND, Manifest


class Proof:
    """Checks the files of a store and remembers which this process has hashed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._proven: set[Path] = set()

    def refuse_damaged(self, folder: Path, manifest: Manifest, *, proven: bool) -> None:
        """Refuse a version's files that are not what was written.

        ``proven`` hashes every byte, even of files that were not touched after their manifest.
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
        if touched:  # by a copy or a backup: all is intact, so renew the manifest's ctime
            with contextlib.suppress(OSError):
                seal.chmod(sealed.st_mode)

    def refuse_damaged_model(self, location: str, digest: str, *, proven: bool) -> None:
        """Refuse a model that is missing or, if ``proven``, is not what was trained."""
        try:
            place = Path(identity.locate(location, self._root).name)
        except DamagedError:
            raise
        except StoreError:  # an unknown kind of location, which the model's engine may know
            return
        # A model folder outside the store is hashed when the recipe that names it is read.
        if proven and location.startswith("store:") and place not in self._proven:
            if not identity.is_whole(place, digest):
                raise DamagedError(
                    f"model '{location}': its files are not what was trained. "
                    "Build its recipe again to remake it."
                )
            self._proven.add(place)

    def forget(self, path: Path) -> None:
        """Forget that files in a folder were hashed, because it was moved away."""
        self._proven = {file for file in self._proven if not file.is_relative_to(path)}
