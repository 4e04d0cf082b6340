"""The weights of a model: which safetensors files they lie in, and a hash of every tensor."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from srlm_data.core.errors import RecipeError

_BLOCK = 1 << 22
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_MAX_HEADER = 100_000_000  # bytes; the format's own limit


class _Tensor(NamedTuple):
    name: str
    dtype: str
    shape: list[int]
    file: Path
    start: int
    size: int


def hashes(directory: Path) -> list[tuple[str, str, list[int], str]]:
    """Name, dtype, shape and BLAKE2b of every tensor, sorted by name, however they are sharded.

    Tensors are read in blocks, several at a time, and never held in memory.

    Raises:
        RecipeError: a file is missing or damaged, or the weights are pickled.
    """
    tensors = _tensors(directory)
    with ThreadPoolExecutor() as pool:  # hashlib lets go of the interpreter's lock
        return [
            (tensor.name, tensor.dtype, tensor.shape, value)
            for tensor, value in zip(tensors, pool.map(_hash, tensors), strict=True)
        ]


def shapes(directory: Path) -> list[list[int]]:
    """Return the shape of every tensor, as the files' headers declare them.

    Raises:
        RecipeError: a file is missing, is not as long as its header says, or is pickled.
    """
    return [tensor.shape for tensor in _tensors(directory)]


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object of the model's folder; empty when the file is not there."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{file}: not JSON ({error}). Copy or download it again.") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{file}: a JSON object is wanted. Copy or download it again.")
    return content


def _tensors(directory: Path) -> list[_Tensor]:
    """Every tensor of the model, sorted by name."""
    found: dict[str, _Tensor] = {}
    for file in _weight_files(directory):
        for tensor in _header(file):
            if tensor.name in found:
                raise RecipeError(
                    f"{directory}: the tensor '{tensor.name}' is in {found[tensor.name].file.name} "
                    f"and in {file.name}. Save the model again into an empty folder."
                )
            found[tensor.name] = tensor
    return [found[name] for name in sorted(found)]


def _weight_files(directory: Path) -> list[Path]:
    """The safetensors files that loaders read: those of the index, else ``model.safetensors``."""
    index = read_json(directory / "model.safetensors.index.json")
    weight_map = index.get("weight_map", {})
    if not isinstance(weight_map, dict) or not all(map(_is_weight_file, weight_map.values())):
        raise RecipeError(
            f"{directory}: model.safetensors.index.json names something else than safetensors "
            "files of this folder. Download the model again, from a place that you trust."
        )
    names = sorted(set(weight_map.values())) or ["model.safetensors"]
    missing = [name for name in names if not (directory / name).is_file()]
    if not missing:
        return [directory / name for name in names]
    if index:
        raise RecipeError(
            f"{directory}: {len(missing)} of {len(names)} weight files are missing, the first is "
            f"{missing[0]}. Copy or download the whole model."
        )
    pickled = sorted(file.name for pattern in _PICKLED for file in directory.glob(pattern))
    if pickled:
        raise RecipeError(
            f"{directory}: the weights are pickled ({pickled[0]}), and loading a pickle can run "
            "any code. Save the model as safetensors (save_pretrained does)."
        )
    raise RecipeError(f"{directory}: no model.safetensors. Save the model with save_pretrained.")


def _is_weight_file(name: Any) -> bool:
    """Whether an index may name it: a safetensors file beside it, never one elsewhere."""
    return isinstance(name, str) and name.endswith(".safetensors") and name == Path(name).name


def _header(file: Path) -> Iterator[_Tensor]:
    """The tensors that a safetensors file declares.

    The format: the header's length (8 bytes, little-endian), a JSON header, then the data.
    """
    total = file.stat().st_size
    damaged = RecipeError(f"{file}: not a whole safetensors file. Copy or download it again.")
    with file.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else total
        if length > _MAX_HEADER or 8 + length > total:
            raise damaged
        try:
            header: dict[str, Any] = json.loads(stream.read(length))
            header.pop("__metadata__", None)
            for name, entry in header.items():
                start, end = map(int, entry["data_offsets"])
                if not 0 <= start <= end <= total - 8 - length:
                    raise damaged
                shape = [int(size) for size in entry["shape"]]
                place = 8 + length + start
                yield _Tensor(name, str(entry["dtype"]), shape, file, place, end - start)
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
            raise damaged from None


def _hash(tensor: _Tensor) -> str:
    """BLAKE2b of a tensor's bytes."""
    value, left = hashlib.blake2b(digest_size=32), tensor.size
    with tensor.file.open("rb") as stream:
        stream.seek(tensor.start)
        while left and (block := stream.read(min(left, _BLOCK))):
            value.update(block)
            left -= len(block)
    return value.hexdigest()
