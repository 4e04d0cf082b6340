"""The resources that a build passes to steps: engines that answer, a workshop that trains."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from srlm_data.core import database, filesystem
from srlm_data.core.errors import DamagedError, DataError, EngineError, TrainingError
from srlm_data.core.hub import MODEL_FILES, Remote
from srlm_data.core.rows import Rows
from srlm_data.engines.bounds import Bounds
from srlm_data.engines.cache.cached_engine import CachedEngine, Usage
from srlm_data.engines.cache.response_cache import ResponseCache
from srlm_data.engines.cache.sealed import SealedResponses
from srlm_data.engines.failures import Failures
from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Engine
from srlm_data.engines.settings import EngineSettings
from srlm_data.models import chat_template, identity
from srlm_data.models.trainer import Trainer
from srlm_data.store import Store

_TURNS: Final = """
    SELECT array_to_string(list_transform(prompt, lambda turn: turn.role), ', ') AS roles,
           any_value(prompt ORDER BY prompt_id), count(*)
    FROM prompts GROUP BY roles ORDER BY roles
"""


class Engines:
    """The one engine that is open, kept for the next step as long as the model is the same.

    The sealed answers of models are kept as well, so that a build hashes them once.
    """

    def __init__(self, store: Store, bounds: Bounds | None = None) -> None:
        self._store = store
        self._bounds = bounds
        self._began = time.time()
        self._known: dict[str, SealedResponses] = {}
        self._key: tuple[EngineSettings, str] | None = None
        self._engine: Engine | None = None

    def recorded(
        self, settings: EngineSettings, models: Rows, step: str, watch: Callable[[Usage], None]
    ) -> CachedEngine:
        """Return an engine for one step; the real one is opened at its first request."""
        rows = models.table().to_pylist()
        if len(rows) != 1:
            raise DataError(f"{models.name}: a step uses one model, found {len(rows)}. Select one.")
        digest, location = rows[0]["model"], rows[0]["location"]
        root = self._store.root
        known = self._known.setdefault(digest, SealedResponses(root, digest))
        answers = ResponseCache(root, step, digest, known)
        failures = Failures(step, settings.failure_budget, settings.failure_floor)
        return CachedEngine(
            lambda: self._open(settings, location, digest),
            answers,
            watch,
            failures,
            self._bounds,
            settings.decides(),
        )

    def _open(self, settings: EngineSettings, location: str, digest: str) -> Engine:
        key = (settings, digest)
        if self._engine is None or self._key != key:
            self.close()
            if identity.is_remote(location) and settings.holds_the_model:
                raise EngineError(
                    f"engine '{settings.kind}': it loads a model's files, found {location}, which "
                    "only a server has. Set 'engine: {kind: openai}' for this dataset."
                )
            place = identity.locate(location, self._store.root)
            # Models in the store never change; folders were hashed when the recipe was read.
            if location.startswith("path:") and identity.changed(place.name, digest, self._began):
                raise DamagedError(f"{location}: {identity.CHANGED}")
            self._engine = open_engine(
                settings, place.name, digest, place.revision, folder=self._store.root / "batches"
            )
            self._key = key
        return self._engine

    def refuse_turns(self, settings: EngineSettings, models: Rows, prompts: Rows) -> None:
        """Refuse prompts whose turns a model's chat template refuses, before any is asked."""
        if not settings.holds_the_model:
            return  # the server applies its own chat template
        with database.viewing(prompts=prompts) as connection:
            kinds = connection.execute(_TURNS).fetchall()
        if all(roles == "user" for roles, _, _ in kinds):
            return
        row = models.table().to_pylist()[0]
        place = identity.locate(row["location"], self._store.root)
        refusal = chat_template.refused(
            place.name,
            [conversation for _, conversation, _ in kinds],
            place.revision,
            trust_remote_code=settings.runs_model_code,
        )
        if refusal:
            kind, reason = refusal
            roles, _, count = kinds[kind]
            raise DataError(
                f"{prompts.name}: the chat template of {models.name} refuses the turns "
                f"'{roles}' of {count:,} prompts, found '{reason}'. "
                "Set 'system: fold' where the model is named, or remove them with a sql step."
            )

    def close(self) -> None:
        """Release the open engine, if there is one."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self._key = None


class StoreWorkshop:
    """Where a training step works; its scratch folder survives a kill."""

    def __init__(self, store: Store, name: str, trainer: Trainer | None = None) -> None:
        self.trainer = trainer or Trainer()
        self._store = store
        self._scratch = store.root / "models" / ".work" / name

    @property
    def scratch(self) -> Path:
        """The scratch folder, the same for the same version."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        for path in self._scratch.iterdir():
            if path.is_symlink() and not path.exists():  # its model was moved aside since
                path.unlink()
        return self._scratch

    def keep(self, directory: Path) -> tuple[str, str]:
        """Move a finished checkpoint to its place by digest; a link to it stays in the scratch.

        A build that is killed before its version is there finds the link, and trains nothing anew.
        """
        digest = identity.digest(directory)
        final = self._store.root / "models" / digest
        if final.exists() and not identity.is_whole(final, digest):
            self._store.put_aside(final)
        if not final.exists():
            for path in (*directory.rglob("*"), directory):
                filesystem.sync(path)
            try:
                directory.rename(final)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                directory.symlink_to(final.resolve())
            filesystem.sync(final.parent)
        return digest, f"store:models/{digest}"

    def resolve(self, location: str) -> Path:
        """The folder of a checkpoint; one on the Hub is downloaded at its pinned revision."""
        if identity.is_remote(location):
            raise TrainingError(
                f"{location}: only a server has the model's files, so it cannot be trained here. "
                "Train a model from a folder or the Hub."
            )
        place = identity.locate(location, self._store.root)
        if place.revision is None:
            return Path(place.name)
        return Remote(place.name, "model").fetch(place.revision, MODEL_FILES)

    def clear(self) -> None:
        """Remove the scratch folder; checkpoints that were kept stay."""
        shutil.rmtree(self._scratch, ignore_errors=True)
