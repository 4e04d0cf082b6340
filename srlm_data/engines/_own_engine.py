"""A user's own engine, whose exceptions end the build with a readable error, as shipped ones do."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from srlm_data.core.errors import EngineError, SrlmError
from srlm_data.engines.protocol import Completion, Engine, Request


class OwnEngine:
    """Wraps the engine that ``load`` returns; ``kind`` is how a recipe names it."""

    def __init__(self, kind: str, load: Callable[[], Engine]) -> None:
        self._kind = kind
        try:
            self._engine = load()
            self.model = self._engine.model
        except SrlmError:
            raise
        except Exception as error:
            raise self._describe(error) from error

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Yield what the engine yields."""
        of_step: Exception | None = None

        def passed_on() -> Iterator[Request]:
            nonlocal of_step
            try:
                yield from requests
            except Exception as error:
                of_step = error
                raise

        try:
            yield from self._engine.generate(passed_on(), total=total)
        except Exception as error:
            if error is of_step or isinstance(error, SrlmError):
                raise
            raise self._describe(error) from error

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def _describe(self, error: Exception) -> EngineError:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return EngineError(
            f"engine '{self._kind}': {type(error).__name__} at {Path(place.filename).name}:"
            f"{place.lineno}, found '{error}'. All answers are kept: fix it and build again."
        )


def find_function(kind: str) -> Callable[..., Engine]:
    """Return the function that ``my_module:my_engine`` names; ValueError where there is none."""
    module_name, _, function_name = kind.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"cannot import the engine ({error})") from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"the module '{module_name}' has no function '{function_name}'")
    plugin: Callable[..., Engine] = function
    return plugin
