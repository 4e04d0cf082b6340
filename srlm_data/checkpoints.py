"""What a model is: its digest, and where its files lie.

A model is named by what decides its answers: the weights, the tokenizer, the chat template and
the parts of the config that the forward pass reads. A folder's name, the number of shards and
the version of the library that saved it decide nothing, so a copy is the same model.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from srlm_data.errors import Damaged, RecipeError, StoreError
from srlm_data.schema import row_id

_BLOCK = 1 << 22
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

# Keys of config.json that say how a model was saved or trained and leave its answers as they are.
_WITHOUT_EFFECT = frozenset({
    "_name_or_path", "_attn_implementation", "_attn_implementation_autoset", "dtype",
    "initializer_range", "torch_dtype", "transformers_version", "use_cache",
})  # fmt: skip

# Keys of tokenizer_config.json that say where it was loaded from, and the template, read apart.
_OF_NO_TOKEN = frozenset({
    "chat_template", "is_local", "local_files_only", "name_or_path", "transformers_version",
})  # fmt: skip

_IN_STORE = re.compile(r"models/[A-Za-z0-9_-]+")
_MAX_HEADER = 100_000_000  # bytes; the format's own limit

_NO_PIN = frozenset({"", "main", "master", "head", "latest"})


class Place(NamedTuple):
    """What an engine loads: a folder or a Hub name as ``name``, and the Hub's ``revision``."""

    name: str
    revision: str | None = None


class Workshop(Protocol):
    """What the build lends a step that makes a model."""

    @property
    def scratch(self) -> Path:
        """A folder that survives a kill, the same for the same build: training resumes from it."""
        ...

    @property
    def tokens(self) -> Path:
        """A folder of tokens that trainings share."""
        ...

    def keep(self, directory: Path) -> tuple[str, str]:
        """Store the finished model in ``directory`` by its digest; its digest and location."""
        ...

    def resolve(self, location: str) -> Path:
        """The folder of a model row's ``location``, downloaded first when it is on the Hub."""
        ...


class _Tensor(NamedTuple):
    name: str
    dtype: str
    shape: list[int]
    file: Path
    start: int
    size: int


def digest(directory: Path) -> str:
    """The digest of the model in ``directory``: 32 hex digits.

    It is made from what decides the answers: the tensors (by name, dtype, shape and bytes,
    however they are sharded), the tokenizer, the chat template (wherever it is kept), the
    end-of-text tokens, and config.json without paths, versions and training settings. Weights
    are read in blocks, several tensors at a time, and never held in memory.

    Raises:
        RecipeError: the folder is no model that can be used: a file is missing or damaged, the
            weights are pickled, or it is a LoRA adapter.
    """
    if not directory.is_dir():
        raise RecipeError(f"{directory}: no such folder. Name the folder that holds the model.")
    if (directory / "adapter_config.json").exists():
        raise RecipeError(
            f"{directory}: a LoRA adapter is not a model by itself. Merge it into its base model "
            "(merge_and_unload of peft), save the whole, and name that folder."
        )
    tensors = _tensors(directory)
    with ThreadPoolExecutor() as pool:  # hashlib lets go of the interpreter's lock
        hashes = pool.map(_tensor_hash, tensors)
        weights = [
            [tensor.name, tensor.dtype, tensor.shape, value]
            for tensor, value in zip(tensors, hashes, strict=True)
        ]
    config = _read_json(directory / "config.json")
    if not config:
        raise RecipeError(f"{directory}: no config.json. Save the model with save_pretrained.")
    return row_id(
        "model",
        weights,
        _tokenizer(directory),
        _with_effect(config),
        _read_json(directory / "generation_config.json").get("eos_token_id"),
    )


def tokenizer_digest(directory: Path) -> str:
    """The digest of what turns conversations into tokens, whatever the weights: 32 hex digits.

    Every setting of the tokenizer counts, whether a template could read it or not: models that
    were trained from one another have the same ones.

    Raises:
        RecipeError: the folder has no tokenizer.
    """
    settings = _read_json(directory / "tokenizer_config.json")
    kept = {key: value for key, value in settings.items() if key not in _OF_NO_TOKEN}
    return row_id("tokenizer", _tokenizer(directory), kept)


def is_whole(directory: Path, wanted: str) -> bool:
    """Whether the folder holds the model that the digest names."""
    try:
        return digest(directory) == wanted
    except RecipeError:
        return False


def hub_digest(name: str, revision: str) -> str:
    """The digest of a model that is named instead of read: a Hub id or a remote model's name.

    Raises:
        RecipeError: ``revision`` is absent or moves, so it does not say which model is meant.
    """
    if revision.strip().lower() in _NO_PIN:
        raise RecipeError(
            f"model '{name}': the revision '{revision}' can change its content. "
            "Pin a commit (a Hub model) or a dated version (a remote model)."
        )
    return row_id("named model", name, revision)


def hub_location(name: str, revision: str) -> str:
    """How a model row names a Hub model at a pinned revision."""
    return f"hub:{name}@{revision}"


def remote_location(name: str, revision: str) -> str:
    """How a model row names a model that only a server has, at a pinned revision."""
    return f"remote:{name}@{revision}"


def is_remote(location: str) -> bool:
    """Whether only a server has the files of the model at ``location``."""
    return location.startswith("remote:")


def locate(location: str, store: Path) -> Place:
    """What an engine loads for a model row's ``location``.

    ``store:models/<digest>`` is a folder of the store, ``path:/abs/dir`` any other folder,
    ``hub:name@revision`` a Hub model and ``remote:name@revision`` one that only a server has.

    Raises:
        Damaged: the folder is not there.
        StoreError: the form is unknown.
    """
    kind, _, rest = location.partition(":")
    if kind in ("hub", "remote"):
        name, _, revision = rest.rpartition("@")
        if name and revision:
            return Place(name, revision)
    elif (kind == "store" and _IN_STORE.fullmatch(rest)) or (kind == "path" and rest):
        directory = store / rest if kind == "store" else Path(rest)
        if directory.is_dir():
            return Place(str(directory))
        raise Damaged(
            f"model '{location}': there is no folder {directory}. Build the model again, or put "
            "its folder back."
        )
    raise StoreError(
        f"model '{location}': not a place that a model can be in. It is one of "
        "store:models/<digest>, path:/folder, hub:name@revision and remote:name@revision."
    )


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
    index = _read_json(directory / "model.safetensors.index.json")
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


def _tensor_hash(tensor: _Tensor) -> str:
    """BLAKE2b of a tensor's bytes."""
    value, left = hashlib.blake2b(digest_size=32), tensor.size
    with tensor.file.open("rb") as stream:
        stream.seek(tensor.start)
        while left and (block := stream.read(min(left, _BLOCK))):
            value.update(block)
            left -= len(block)
    return value.hexdigest()


def _tokenizer(directory: Path) -> list[Any]:
    """What turns messages into tokens: the tokenizer, its special tokens, the chat template."""
    fast, sentencepiece = directory / "tokenizer.json", directory / "tokenizer.model"
    if fast.is_file():
        # Truncation and padding are the last caller's settings, saved along by accident.
        content: Any = _read_json(fast) | {"truncation": None, "padding": None}
    elif sentencepiece.is_file():
        content = hashlib.blake2b(sentencepiece.read_bytes()).hexdigest()
    else:
        raise RecipeError(
            f"{directory}: no tokenizer.json. Save the tokenizer beside the model "
            "(save_pretrained of the tokenizer)."
        )
    settings = _read_json(directory / "tokenizer_config.json")
    special = [_token(settings.get(name)) for name in ("bos_token", "eos_token")]
    return [content, special, _chat_template(directory, settings)]


def _token(value: Any) -> Any:
    """A special token's text; older tokenizers save it with its stripping rules around it."""
    return value.get("content") if isinstance(value, dict) else value


def _chat_template(directory: Path, settings: dict[str, Any]) -> str | None:
    """The chat template, from its own file or from tokenizer_config.json (the file wins)."""
    file = directory / "chat_template.jinja"
    if file.is_file():
        template: Any = file.read_text(encoding="utf-8")
    else:
        template = settings.get("chat_template")
    if isinstance(template, list):  # several named templates; engines use the default one
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    # Jinja drops one final line break, and editors add one.
    return None if template is None else str(template).removesuffix("\n")


def _with_effect(config: Any) -> Any:
    """A config without the keys that leave the answers as they are, at any depth."""
    if not isinstance(config, dict):
        return config
    return {
        key: _with_effect(value)
        for key, value in config.items()
        if key not in _WITHOUT_EFFECT and "dropout" not in key
    }


def _read_json(file: Path) -> dict[str, Any]:
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
