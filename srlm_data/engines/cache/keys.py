"""The identity of an answer: a key over all that decides its text.

The model's digest, the messages, the sampling parameters and the request's own seed.
"""

from __future__ import annotations

import hashlib
import json
import os.path
from collections.abc import Sequence
from typing import Final

from srlm_data.core.errors import DataError
from srlm_data.core.schema import Message
from srlm_data.engines.protocol import Request, Sampling

KEY_DIGITS: Final = 48
"""32 of what was asked, 16 of the seed."""


def answer_keys(model: str, requests: Sequence[Request]) -> list[str]:
    """The key of the answer to each request, in hex digits.

    First a hash of what was asked (model, messages, sampling), then the seed: answers to one
    question begin alike. A key is kept on its request, where it is looked up three times on its
    way.
    """
    known = []
    for request in requests:
        if request.keyed is None or request.keyed[0] != model:
            return _worked_out(model, requests)
        known.append(request.keyed[1])
    return known


def _worked_out(model: str, requests: Sequence[Request]) -> list[str]:
    """Put their keys on requests.

    What is asked several times, a judge's prompt say, is hashed once.

    Raises:
        DataError: a seed has more than 64 bits.
    """
    messages = sampling = None
    questions, question = None, ""
    found = []
    for request in requests:
        if questions is None or request.sampling is not sampling:
            messages, sampling = None, request.sampling
            questions = _Questions(model, sampling)
        if request.messages is not messages:
            messages = request.messages
            question = questions.hash(messages)
        key = f"{question}{request.seed:016x}"
        found.append(key)
        request.keyed = (model, key)
    if max(map(len, found), default=0) > KEY_DIGITS:
        long = next(one for one in requests if one.keyed and len(one.keyed[1]) > KEY_DIGITS)
        raise DataError(
            f"request '{long.id}': a seed has at most 64 bits, found {long.seed}. "
            "Let 'request_seed' make it."
        )
    return found


class _Questions:
    """Hashes what a model is asked, sampled in one way.

    Texts come first in the hash and their lengths behind, for many texts begin alike, those of a
    judge with its whole template: what all of them have in common is hashed once.
    """

    def __init__(self, model: str, sampling: Sampling) -> None:
        # 1 and 1.0 are the same temperature, and are written differently.
        drawn = (float(sampling.temperature), float(sampling.top_p), sampling.max_tokens)
        said = json.dumps([model, *drawn, sampling.stop, sampling.pattern])
        self._begun = hashlib.blake2b(said.encode(), digest_size=16)
        self._common: str | None = None
        self._behind_it = self._begun

    def hash(self, messages: Sequence[Message]) -> str:
        """All but the seed."""
        texts = "".join([turn["content"] for turn in messages])
        if self._common is None or not texts.startswith(self._common):
            known = self._common
            self._common = texts if known is None else os.path.commonprefix([known, texts])
            self._behind_it = self._begun.copy()
            self._behind_it.update(_encoded(self._common))
        # From its end, a hashed text can be taken apart again in one way only.
        lengths = "".join(
            [f"{len(turn['role'])}:{turn['role']}{len(turn['content'])};" for turn in messages]
        )
        digest = self._behind_it.copy()
        digest.update(_encoded(f"{texts[len(self._common) :]}{lengths}{len(lengths):08x}"))
        return digest.hexdigest()


def _encoded(text: str) -> bytes:
    # A lone surrogate is no character, but a text of JSON's may have it.
    return text.encode("utf-8", "surrogatepass")
