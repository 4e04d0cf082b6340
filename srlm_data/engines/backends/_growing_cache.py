"""A key-value cache for transformers that grows in place.

The library's own cache copies all its contents for each new token; with long prompts on a CPU,
copying took five sixths of the time of an answer.
"""

from __future__ import annotations

from typing import Any

import transformers
from torch import Tensor
from transformers.cache_utils import DynamicLayer

_ROOM = 64  # tokens that are added in place before the next copy


class RoomyLayer(DynamicLayer):
    """One layer's keys and values (row, head, token, width), as views of longer buffers."""

    keys: Tensor
    values: Tensor
    _buffers: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append the newest tokens' keys and values, and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self._buffers is None or self._buffers[0].shape[-2] < end:
            self._buffers = (
                _extend(self.keys, key_states, start, end),
                _extend(self.values, value_states, start, end),
            )
        keys, values = self._buffers
        keys[:, :, start:end] = key_states
        values[:, :, start:end] = value_states
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows at ``indices``, which may repeat."""
        super().batch_select_indices(indices)
        self._buffers = None  # the selected rows are a copy, without room


def _extend(held: Tensor, new: Tensor, start: int, end: int) -> Tensor:
    """Return a buffer that starts with the ``start`` tokens ``held`` and has room after ``end``."""
    buffer = new.new_empty(*new.shape[:2], end + _ROOM, new.shape[-1])
    if start:
        buffer[:, :, :start] = held
    return buffer


def cache_for(network: Any) -> tuple[transformers.DynamicCache, bool]:
    """Return an empty cache for a model, and whether each of its layers keeps all tokens in order.

    Where one does not (a sliding window, a running state), padding may stand only before a whole
    prompt, so a shared beginning cannot be computed separately.
    """
    cache = transformers.DynamicCache(config=network.config)
    plain = all(type(layer) is DynamicLayer for layer in cache.layers)
    cache.layers = [
        RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache, plain
