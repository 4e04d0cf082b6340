"""The key of a cached response: a hash of all that decides its text, and of nothing else.

32 hex digits are a hash of what is asked: the model's digest, how it samples, the messages. The
other 16 are the request's own seed, so that the responses to one question have keys that begin
alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from srlm_data.core.messages import data_of
from srlm_data.core.schema import Message

KEY_DIGITS: Final = 48


def response_key(question: str, seed: int) -> str:
    """Return the key of the response to a question that was drawn with a seed of 64 bits."""
    key = f"{question}{seed:016x}"
    if len(key) > KEY_DIGITS:
        raise ValueError(f"a seed has at most 64 bits, found {seed}")
    return key


def hash_sampling(
    model: str,
    temperature: float,
    top_p: float,
    max_tokens: int,
    stop: Sequence[str] = (),
    pattern: str | None = None,
    *,
    further: Mapping[str, Any] | None = None,
) -> hashlib.blake2b:
    """Begin the hash of a question by what the questions of a step have in common.

    ``further`` settings, by name, are hashed where there are any: a key without them is that of
    the time before they existed.
    """
    # 1 and 1.0 are the same temperature, but differ in JSON.
    numbers = (float(temperature), float(top_p), max_tokens)
    common: list[Any] = [model, *numbers, list(stop), pattern]
    if further:
        common.append({name: _as_float(value) for name, value in further.items()})
    text = json.dumps(common, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16)


def _as_float(value: Any) -> Any:
    return float(value) if isinstance(value, int) else value


def hash_question(sampling: hashlib.blake2b, messages: Sequence[Message]) -> str:
    """Return the part of a key that is not the seed; ``sampling`` is of :func:`hash_sampling`."""
    texts = "".join([turn["content"] for turn in messages])
    # The lengths at its end make the hashed text unambiguous: it can be split in only one way.
    lengths = "".join(
        [f"{len(turn['role'])}:{turn['role']}{len(turn['content'])};" for turn in messages]
    )
    digest = sampling.copy()
    # JSON may hold lone surrogates, which strict UTF-8 refuses.
    digest.update(f"{texts}{lengths}{len(lengths):08x}".encode("utf-8", "surrogatepass"))
    if any(data := [data_of(turn) for turn in messages]):
        calls = json.dumps(data, sort_keys=True)
        digest.update(f"{calls}{len(calls):08x};".encode())
    return digest.hexdigest()
