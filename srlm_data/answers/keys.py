"""The identity of an answer: a key over all that decides its text.

The model's digest, the messages, the sampling parameters and the request's own seed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache

from srlm_data.engines import Request, Sampling


def answer_keys(model: str, requests: Sequence[Request]) -> list[str]:
    """The key of the answer to each request: 32 hex digits.

    It is kept on its request, where it is looked up three times on its way.
    """
    known = [one.keyed[1] for one in requests if one.keyed and one.keyed[0] == model]
    return known if len(known) == len(requests) else _worked_out(model, requests)


def _worked_out(model: str, requests: Sequence[Request]) -> list[str]:
    """Put their keys on requests.

    What is asked several times, a judge's prompt say, is hashed once. A text is preceded by its
    length, so that none of them can reach into the next.
    """
    messages = sampling = None
    asked, pattern = hashlib.blake2b(digest_size=16), b""
    found = []
    for request in requests:
        if request.messages is not messages or request.sampling is not sampling:
            messages, sampling = request.messages, request.sampling
            asked = hashlib.blake2b(_measured(model), digest_size=16)
            asked.update(b"%d;" % len(messages))
            for turn in messages:
                asked.update(_measured(turn["role"]))
                asked.update(_measured(turn["content"]))
            how, pattern = _sampling(sampling)
            asked.update(how)
        key = asked.copy()
        key.update(b"%d%b" % (request.seed, pattern))
        found.append(key.hexdigest())
        request.keyed = (model, found[-1])
    return found


def _measured(text: str) -> bytes:
    # A lone surrogate is no character, but a text of JSON's may have it.
    said = text.encode("utf-8", "surrogatepass")
    return b"%d:%b" % (len(said), said)


@lru_cache
def _sampling(sampling: Sampling) -> tuple[bytes, bytes]:
    """What stands before a request's seed, and behind it."""
    # 1 and 1.0 are the same temperature, and are written differently.
    how = (float(sampling.temperature), float(sampling.top_p), sampling.max_tokens, sampling.stop)
    pattern = "" if sampling.pattern is None else json.dumps(sampling.pattern)
    return json.dumps(how).encode(), pattern.encode()
