"""Text generation behind one protocol.

An engine takes requests and yields completions in the order in which they finish, each carrying
the request that it answers: nothing is joined by position. It pulls requests as it has room
for them, so that a stream of any length goes through in bounded memory.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from typing import Any, Final, NamedTuple, Protocol

from srlm_data.core.errors import DataError
from srlm_data.core.schema import Message
from srlm_data.core.thinking import MARKS, Marks, split_reasoning
from srlm_data.engines import keys

DRAWING: Final = tuple("top_k min_p repetition_penalty presence_penalty frequency_penalty".split())


class Sampling(NamedTuple):
    """How a response is drawn; the paper's figures are temperature 0.7 and top-p 0.9.

    ``pattern`` is a regular expression that the whole text must match, ``json_schema`` the schema
    of a JSON object: the engine restricts the model to texts that fit. They decide the text, so
    they are part of the key of a cached response. An engine that cannot restrict a model answers
    anyway, or refuses.

    The fields after ``pattern`` are part of the key only if they are set. The penalties are those
    of vLLM: repetition over the prompt and the response, the other two over the response. ``extra``
    and ``omit`` are set by the engine of a server: additional request fields, and fields that
    cannot be sent. ``chat_template_kwargs`` and ``reasoning_effort`` are passed to the chat
    template; ``reasoning_marks`` open and close text that is not part of the answer.
    """

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    pattern: str | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    extra: Mapping[str, Any] | None = None
    omit: tuple[str, ...] | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None
    reasoning_effort: str | None = None
    reasoning_budget: int | None = None
    reasoning_marks: tuple[str, str] | None = None
    json_schema: Mapping[str, Any] | None = None

    @property
    def limit(self) -> int:
        """The most tokens that are written: those of the answer, and of reasoning before it."""
        return self.max_tokens + (self.reasoning_budget or 0)

    @property
    def marks(self) -> tuple[Marks, ...]:
        """What opens and closes reasoning: what was declared, else the marks of today's models."""
        return (self.reasoning_marks,) if self.reasoning_marks else MARKS

    @property
    def has_form(self) -> bool:
        """Whether the text is to be of a form."""
        return self.pattern is not None or self.json_schema is not None

    def fits(self, text: str) -> bool:
        """Return whether a text is of the form that is asked for, should one be."""
        if self.json_schema is not None:
            try:
                value = json.loads(text, strict=False)
            except (ValueError, RecursionError):
                return False
            return isinstance(value, dict) and value.keys() >= set(self.json_schema["required"])
        return self.pattern is None or re.fullmatch(self.pattern, text) is not None

    def split(self, text: str, *, opened: bool = False) -> tuple[str | None, str]:
        """Return the reasoning at the beginning of a text and the answer behind it.

        ``opened`` says that the chat template has begun the reasoning. A model that was held to a
        form had to write it there: what fits the form is the answer, for nothing can close a mark.
        """
        reasoning, answer = split_reasoning(text, self.marks, opened=opened or None)
        if answer or not self.has_form or not self.fits(text):
            return reasoning, answer
        opening = next((mark for mark, _ in self.marks if text.lstrip().startswith(mark)), "")
        return None, text.lstrip().removeprefix(opening)

    def template_options(self) -> dict[str, Any]:
        """Return what the chat template is given beside the conversation."""
        effort = {"reasoning_effort": self.reasoning_effort} if self.reasoning_effort else {}
        return {**(self.chat_template_kwargs or {}), **effort}

    def further(self) -> dict[str, Any]:
        """Return what is set of the fields after ``pattern``, by name."""
        fields = zip(self._fields[5:], self[5:], strict=True)
        return {name: value for name, value in fields if value is not None}

    def drawing(self) -> dict[str, Any]:
        """Return those that say how a token is drawn; vLLM and servers have the same names."""
        further = self.further()
        return {name: further[name] for name in DRAWING if name in further}


@dataclass(slots=True)
class Request:
    """One completion to draw. Not frozen, which would make it four times as slow to create.

    Attributes:
        id: the asking step's own handle, returned with the completion; unique in a call.
        messages: the conversation, before the chat template.
        sampling: how to draw.
        seed: of this request alone, so that rows do not depend on batching or resuming; 64 bits.
        key: the model and the key of its response, once :func:`response_keys` has computed it.
    """

    id: str
    messages: tuple[Message, ...]
    sampling: Sampling
    seed: int
    key: tuple[str, str] | None = field(default=None, init=False, repr=False, compare=False)


class Completion(NamedTuple):
    """The response to a request. ``finish_reason`` is ``stop``, ``length`` or ``error``.

    A failed request is a completion too, with empty ``text``, ``finish_reason`` ``error``, and the
    reason in ``error_kind`` and ``error``. The kind is a short name by which failures are counted,
    such as ``timeout``, ``http_503`` or ``too_long``: lower-case letters, digits and underscores,
    and nothing specific to the request. ``error`` is a sentence about this request, without a final
    full stop. ``text`` never contains the prompt or special tokens.

    ``retries`` counts earlier failed attempts; ``queue_seconds`` is the time between the engine's
    accepting the request and working on it, if known. A token count is None if the server does not
    report it.

    ``reasoning`` is what a thinking model wrote before its answer, and not part of ``text``;
    ``completion_tokens`` counts both, ``reasoning_tokens`` only the reasoning. ``note`` says what a
    reader of the row should know about how it was drawn: a seed that could not be sent, another
    model name reported by the server.
    """

    request: Request
    text: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int = 0
    error: str | None = None
    retries: int = 0
    queue_seconds: float = 0.0
    error_kind: str | None = None
    reasoning: str | None = None
    reasoning_tokens: int | None = None
    note: str | None = None


def fields_of(completions: Iterable[Completion]) -> dict[str, tuple[Any, ...]]:
    """Return the values of each field of some completions, one at least, by the field's name."""
    return dict(zip(Completion._fields, zip(*completions, strict=True), strict=True))


def response_keys(model: str, requests: Iterable[Request]) -> list[str]:
    """Return the key of the response to each request, by which the response cache finds it.

    A key is stored on its request, because a response needs it three times on its way to a row.

    Raises:
        DataError: a seed has more than 64 bits.
    """
    sampling = messages = begun = question = None
    all_keys = []
    for request in requests:
        if request.key is None or request.key[0] != model:
            # Messages that consecutive requests share (a judge's prompt, say) are hashed once.
            if begun is None or request.sampling is not sampling:
                messages, sampling = None, request.sampling
                begun = keys.hash_sampling(model, *sampling[:5], further=sampling.further())
            if question is None or request.messages is not messages:
                messages = request.messages
                question = keys.hash_question(begun, messages)
            try:
                request.key = model, keys.response_key(question, request.seed)
            except ValueError as error:
                raise DataError(
                    f"request '{request.id}': {error}. Let 'request_seed' make it."
                ) from None
        all_keys.append(request.key[1])
    return all_keys


def request_seed(run: int, row: str, sample: int) -> int:
    """Return a request's seed (63 bits) from the run's seed, the row's id and the sample."""
    decides = f"[{run}, {encode_basestring_ascii(row)}, {sample}]"
    return int.from_bytes(hashlib.blake2b(decides.encode(), digest_size=8).digest()) >> 1


class Engine(Protocol):
    """Answers requests; your own engines satisfy this protocol."""

    @property
    def model(self) -> str:
        """Return the digest of the model (weights, tokenizer, chat template)."""
        ...

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Yield completions of ``requests`` as they finish; ``total`` is only for progress.

        Raises:
            EngineError: the engine cannot go on. What was yielded before stays valid.
        """
        ...

    def close(self) -> None:
        """Release the model and the memory it holds."""
        ...
