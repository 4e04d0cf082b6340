"""Constrains a transformers model's answers to a form: llguidance says which tokens may follow."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from typing import Any

from srlm_data.core.errors import EngineError
from srlm_data.core.packages import missing
from srlm_data.engines.protocol import Sampling

_LIKE_PYTHON = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Forms:
    """Compiles the forms of answers for one tokenizer."""

    def __init__(self, tokenizer: Any, ends: Iterable[int | None]) -> None:
        """Take the tokenizer of a model, whose answers end with one of the tokens ``ends``."""
        self._tokenizer = tokenizer
        self._ends = sorted(end for end in ends if end is not None)
        self._vocabulary: Any = None
        self._last: tuple[Sampling | None, Any] = (None, None)

    def matcher(self, sampling: Sampling) -> Any:
        """Return a matcher that reads an answer token by token; None where any text is allowed."""
        if sampling.pattern is None and sampling.json_schema is None:
            return None
        if sampling is not self._last[0]:  # the requests of a step share one
            self._last = sampling, self._compile(sampling)
        return self._last[1].deep_copy()

    def _compile(self, sampling: Sampling) -> Any:
        try:
            library = importlib.import_module("llguidance")
            adapter = importlib.import_module("llguidance.hf")
        except ModuleNotFoundError:
            where = "engine 'transformers': 'guided: true'"
            raise missing(where, "llguidance", "transformers") from None
        try:
            if self._vocabulary is None:
                self._vocabulary = adapter.from_tokenizer(self._tokenizer, eos_token=self._ends)
            matcher = library.LLMatcher
            grammar = (
                matcher.grammar_from_regex(sampling.pattern)
                if sampling.json_schema is None
                else matcher.grammar_from_json_schema(
                    json.dumps(sampling.json_schema), overrides=_LIKE_PYTHON
                )
            )
            compiled = matcher(self._vocabulary, grammar)
        except (ValueError, TypeError) as error:
            raise EngineError(_refusal(error)) from None
        if compiled.is_error():
            raise EngineError(_refusal(compiled.get_error()))
        return compiled


def _refusal(reason: object) -> str:
    line = " ".join(str(reason).split())
    return (
        f"engine 'transformers': answers cannot be held to the form of 'guided: true' "
        f"({line:.200}). Set 'guided: false'."
    )
