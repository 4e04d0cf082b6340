"""The identity of an answer: a key over all that decides its text.

The model's digest, the messages, the sampling parameters and the request's own seed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Final

from srlm_data.engines import Request, Sampling
from srlm_data.schema import Message

KEY_DIGITS: Final = 48
"""32 of what was asked, 16 of the seed."""


def answer_keys(model: str, requests: Sequence[Request]) -> list[str]:
    """The key of the answer to each request, in hex digits.

    First a hash of what was asked (model, messages, sampling), then the seed: answers to one
    question begin alike. A key is kept on its request, where it is looked up three times on its
    way.
    """
    known = [one.keyed[1] for one in requests if one.keyed and one.keyed[0] == model]
    return known if len(known) == len(requests) else _worked_out(model, requests)


def _worked_out(model: str, requests: Sequence[Request]) -> list[str]:
    """Put their keys on requests.

    What is asked several times, a judge's prompt say, is hashed once.
    """
    messages = sampling = None
    begun, asked = hashlib.blake2b(), ""
    found = []
    for request in requests:
        if request.sampling is not sampling:
            messages, sampling = None, request.sampling
            begun = _begun(model, sampling)
        if request.messages is not messages:
            messages = request.messages
            asked = _question(begun, messages)
        key = f"{asked}{request.seed:016x}"
        found.append(key)
        request.keyed = (model, key)
    return found


def _question(begun: hashlib.blake2b, messages: Sequence[Message]) -> str:
    """The hash of all but the seed.

    Every text is preceded by its length, so that none of them can reach into the next.
    """
    turns = [
        f"{len(turn['role'])}:{turn['role']}{len(turn['content'])}:{turn['content']}"
        for turn in messages
    ]
    digest = begun.copy()
    # A lone surrogate is no character, but a text of JSON's may have it.
    digest.update("".join(turns).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _begun(model: str, sampling: Sampling) -> hashlib.blake2b:
    """The hash of what is the same for a whole step; it ends with the JSON, before any length."""
    # 1 and 1.0 are the same temperature, and are written differently.
    drawn = (float(sampling.temperature), float(sampling.top_p), sampling.max_tokens)
    said = json.dumps([model, *drawn, sampling.stop, sampling.pattern])
    return hashlib.blake2b(said.encode(), digest_size=16)
