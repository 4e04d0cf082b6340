"""An index from keys to places of responses: 12 bytes a response, however long keys and texts are.

Each key is folded into 64 bits, which are kept sorted. So looking up a request takes a few binary
searches, whether there are thousands of responses or hundreds of millions. Two keys may, extremely
rarely, fold into the same bits: so callers compare the keys of the responses at a place.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from srlm_data.engines.keys import KEY_DIGITS

_WORDS: Final = KEY_DIGITS // 8
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
"""Any odd number with many bits set works: a bit of a product depends on all bits below it."""

_Run = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""Sorted folded keys, and the place of each."""


class Index:
    """Maps keys to places; one thread may add to it while another looks keys up."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def add(self, keys: pa.Array, place: int) -> None:
        """Record that responses with these keys lie at ``place``, a number of the caller's."""
        folded = np.sort(_fold(keys))
        if not len(folded):
            return
        runs = [*self._runs, (folded, np.full(len(folded), place, np.uint32))]
        # Keep each run at least eight times as long as the next, so that there are few.
        while len(runs) > 1 and len(runs[-2][0]) < 8 * len(runs[-1][0]):
            runs[-2:] = [_merge(runs[-2], runs[-1])]
        self._runs = runs

    def places(self, keys: pa.Array) -> list[int]:
        """Return the places where any of the keys may be, each once."""
        wanted = np.sort(_fold(keys))
        matches: set[int] = set()
        for folded, places in self._runs:
            at = np.searchsorted(folded, wanted)
            at[at == len(folded)] = 0
            matches.update(places[at[folded[at] == wanted]].tolist())
        return sorted(matches)


def _merge(first: _Run, second: _Run) -> _Run:
    folded = np.concatenate([first[0], second[0]])
    order = np.argsort(folded, kind="stable")  # merges the two sorted parts
    return folded[order], np.concatenate([first[1], second[1]])[order]


def _fold(keys: pa.Array) -> np.ndarray[Any, Any]:
    # Keys in an untrusted file may have another length: skip those.
    sized = keys.filter(pc.equal(pc.binary_length(keys), KEY_DIGITS))
    if not len(sized):
        return np.empty(0, np.uint64)
    _, offsets, values = sized.buffers()
    start = int(np.frombuffer(offsets, np.int32)[sized.offset])
    words = np.frombuffer(values, "<u8", count=len(sized) * _WORDS, offset=start)
    folded = np.zeros(len(sized), np.uint64)
    for word in words.reshape(-1, _WORDS).T:
        folded = (folded ^ word) * _ODD
    return folded
