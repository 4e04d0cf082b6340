"""The identity of an answer: a key over all that decides its text.

The model's digest, the messages, the sampling parameters and the request's own seed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from json.encoder import encode_basestring_ascii

from srlm_data.engines import Request, Sampling


def answer_key(model: str, request: Request) -> str:
    """The key of the answer to a request: 32 hex digits."""
    if request.keyed is None or request.keyed[0] != model:
        work_out(model, [request])
    assert request.keyed
    return request.keyed[1]


def work_out(model: str, requests: Iterable[Request]) -> None:
    """Put the key of each request on it, where it is looked up three times on its way.

    What is asked several times, a judge's prompt say, is quoted and hashed once.
    """
    begin = f"[{encode_basestring_ascii(model)},["
    messages = sampling = None
    asked, pattern = hashlib.blake2b(digest_size=16), ""
    for request in requests:
        if request.messages is not messages or request.sampling is not sampling:
            messages, sampling = request.messages, request.sampling
            turns = ",".join(
                f"[{encode_basestring_ascii(turn['role'])},"
                f"{encode_basestring_ascii(turn['content'])}]"
                for turn in messages
            )
            how, pattern = _sampling(sampling)
            asked = hashlib.blake2b(f"{begin}{turns}],{how},".encode(), digest_size=16)
        key = asked.copy()
        key.update(f"{request.seed}{pattern}]".encode())
        object.__setattr__(request, "keyed", (model, key.hexdigest()))


def _sampling(sampling: Sampling) -> tuple[str, str]:
    """What stands before a request's seed, and behind it."""
    how = _written(sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.stop)
    return how, "" if sampling.pattern is None else f",{encode_basestring_ascii(sampling.pattern)}"


@lru_cache(typed=True)  # 1 and 1.0 are equal, and are written differently
def _written(*fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"))[1:-1]
