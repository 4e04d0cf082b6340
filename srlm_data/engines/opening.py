"""From an engine's settings to the engine, with its model loaded.

The libraries behind an engine are imported when one is opened and not before.

``my_module:my_engine`` is the door for an engine of the user's own: a function that is called as
``my_engine(options, model, digest, revision)`` with the arguments of :func:`open_engine`, and that
returns an :class:`~srlm_data.engines.protocol.Engine`. Its module is searched for where steps of
the user's own are: beside the recipe, then where the command runs.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

from srlm_data.core.errors import EngineError
from srlm_data.core.packages import missing
from srlm_data.engines._own_engine import OwnEngine, find_function
from srlm_data.engines.protocol import Engine
from srlm_data.engines.settings import EngineSettings, OpenaiEngine, PluginEngine


def open_engine(
    settings: EngineSettings,
    model: str,
    digest: str,
    revision: str | None = None,
    *,
    folder: Path | None = None,
) -> Engine:
    """Return an engine with ``model`` loaded; the caller closes it.

    Args:
        settings: which engine, and how it runs.
        model: a folder, or a Hub name.
        digest: the model's digest, which the engine carries as ``model``.
        revision: the pinned revision of a Hub name.
        folder: where an engine keeps what outlives its process.
    """
    if isinstance(settings, PluginEngine):
        load = find_function(settings.kind)
        return OwnEngine(settings.kind, lambda: load(settings.options, model, digest, revision))
    batch = isinstance(settings, OpenaiEngine) and settings.batch
    backend = "openai_batch" if batch else settings.kind
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # import warnings, meant for the libraries' own authors
        try:
            module = importlib.import_module(f"srlm_data.engines.backends.{backend}")
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package == "srlm_data":
                raise
            extra = settings.needs.get(package, settings.kind)
            raise missing(f"engine '{settings.kind}'", package, extra) from None
        if batch:
            if folder is None:
                raise EngineError(
                    "engine 'openai': 'batch: true' needs a folder to record its batches in. Build "
                    "a recipe, or pass a folder to 'open_engine'."
                )
            engine: Engine = module.load_batch(settings, model, digest, revision, folder)
        else:
            engine = module.load(settings, model, digest, revision)
    return engine
