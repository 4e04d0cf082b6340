"""What a model is: its digest, and where its files lie.

A model is named by what decides its answers: the weights, the tokenizer, the chat template and
the parts of the config that the forward pass reads. A folder's name, the names of the weight files
and the version of the library that saved it decide nothing, so a copy is the same model, on the
Hub as on the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from srlm_data.core import filesystem
from srlm_data.core.errors import DamagedError, HubError, RecipeError, StoreError
from srlm_data.core.hub import COMMIT, Remote
from srlm_data.core.ids import row_id
from srlm_data.models import _weights
from srlm_data.models.trainer import Trainer

# Keys of config.json about how a model was saved or trained, which do not change its answers.
_WITHOUT_EFFECT = frozenset(
    "_name_or_path _attn_implementation _attn_implementation_autoset dtype initializer_range "
    "torch_dtype transformers_version use_cache".split()
)

CHAT_TEMPLATE = "chat_template.jinja"
"""The file of a model's chat template; it takes precedence over tokenizer_config.json."""

CHANGED = "its files have changed since its recipe was read. Build again when they are written."

_IN_STORE = re.compile(r"models/[A-Za-z0-9_-]+")

_NO_VERSION = frozenset({"", "main", "master", "head", "latest"})

_SMALL = ("*.json", "*.jinja", "tokenizer.model")
"""The files of a Hub model that, beside its weights, decide its digest."""


class Place(NamedTuple):
    """What an engine loads: a folder or a Hub name as ``name``, and the Hub's ``revision``."""

    name: str
    revision: str | None = None


class Workshop(Protocol):
    """What a build passes to a step that makes a model."""

    @property
    def scratch(self) -> Path:
        """The folder of this build that survives a kill: training resumes from it."""
        ...

    def keep(self, directory: Path) -> tuple[str, str]:
        """Store the finished model of ``directory``; return its digest and location."""
        ...

    def resolve(self, location: str) -> Path:
        """Return the folder of a model row's ``location``, downloaded from the Hub if needed."""
        ...

    @property
    def trainer(self) -> Trainer:
        """What runs the build's trainings."""
        ...


def digest(directory: Path) -> str:
    """The digest of the model in ``directory``, 32 hex digits; RecipeError where it is none.

    It is made from the bytes of the weight files, the tokenizer, the chat template (wherever it is
    kept), the end-of-text tokens, and config.json without paths, versions and training settings.
    """
    check(directory)
    return _row_id(directory, _weights.hashes(directory))


def check(directory: Path) -> None:
    """Refuse a folder that holds no model, reading what its files declare and no weights."""
    if not directory.is_dir():
        raise RecipeError(f"{directory}: no such folder. Name the folder that holds the model.")
    if not (directory / "adapter_config.json").exists():
        _weights.shapes(directory)
    _check_small_files(directory)


def hub_digest(name: str, commit: str) -> str:
    """The digest of a Hub model, the same as that of its files in a folder.

    The Hub knows the hashes of the weights; only the small files beside them are downloaded.
    """
    if not COMMIT.fullmatch(commit):
        raise RecipeError(
            f"model '{name}': the revision '{commit}' can move. Give the commit (40 hex digits), "
            "or let a recipe resolve it."
        )
    remote = Remote(name, "model")
    try:
        tree = remote.tree(commit)
        folder = remote.fetch(commit, list(_SMALL))
    except HubError:
        with contextlib.suppress(RecipeError):  # if only a part of it was downloaded
            if here := remote.downloaded(commit):
                return digest(here)
        raise
    try:
        _check_small_files(folder)
        return _row_id(folder, _weights.hub_hashes(folder, tree))
    except RecipeError as error:
        raise RecipeError(str(error).replace(str(folder), f"{name}@{commit[:12]}")) from None


def remote_digest(name: str, version: str) -> str:
    """The digest of a model that only a server has, which is named instead of read."""
    if version.strip().lower() in _NO_VERSION:
        raise RecipeError(
            f"model '{name}': the version '{version}' can move. Give a dated version, or the "
            "release date of the model."
        )
    return row_id("named model", name, version)


def parameters(directory: Path) -> int:
    """Count the weights of the model in ``directory``."""
    return sum(map(math.prod, _weights.shapes(directory)))


def is_whole(directory: Path, wanted: str) -> bool:
    """Whether the folder holds the model that the digest names."""
    try:
        return digest(directory) == wanted
    except RecipeError:
        return False


def changed(directory: str, wanted: str, since: float) -> bool:
    """Whether a folder that held a model at the time ``since`` holds another one now."""
    files = (file for file in Path(directory).iterdir() if file.is_file())
    return any(file.stat().st_ctime > since for file in files) and not is_whole(
        Path(directory), wanted
    )


def is_remote(location: str) -> bool:
    """Whether only a server has the files of the model at ``location``."""
    return location.startswith("remote:")


def locate(location: str, store: Path) -> Place:
    """What an engine loads for a model row's ``location``.

    ``store:models/<digest>`` is a folder of the store, ``path:/abs/dir`` any other folder,
    ``hub:name@revision`` a Hub model and ``remote:name@revision`` one that only a server has.
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
        raise DamagedError(
            f"model '{location}': there is no folder {directory}. Build the model again, or put "
            "its folder back."
        )
    raise StoreError(
        f"model '{location}': not the location of a model. Use one of store:models/<digest>, "
        "path:/folder, hub:name@revision and remote:name@revision."
    )


def _check_small_files(directory: Path) -> None:
    if (directory / "adapter_config.json").exists():
        raise RecipeError(
            f"{directory}: a LoRA adapter is not a model by itself. Merge it into its base model "
            "(merge_and_unload of peft), save the result, and name that folder."
        )
    if not _weights.read_json(directory / "config.json"):
        raise RecipeError(f"{directory}: no config.json. Save the model with save_pretrained.")
    _tokenizer(directory)


def _row_id(directory: Path, weights: list[str]) -> str:
    try:
        return row_id(
            "model",
            weights,
            _tokenizer(directory),
            _with_effect(_weights.read_json(directory / "config.json")),
            _weights.read_json(directory / "generation_config.json").get("eos_token_id"),
        )
    except RecursionError:
        raise RecipeError(
            f"{directory}: a JSON file is nested endlessly. Download the model again, from a "
            "source that you trust."
        ) from None


def _tokenizer(directory: Path) -> list[Any]:
    """Return what turns messages into tokens: tokenizer, special tokens, chat template."""
    fast, sentencepiece = directory / "tokenizer.json", directory / "tokenizer.model"
    if fast.is_file():
        # Truncation and padding are settings of the last caller that happened to be saved.
        content: Any = _weights.read_json(fast) | {"truncation": None, "padding": None}
    elif sentencepiece.is_file():
        content = hashlib.blake2b(sentencepiece.read_bytes()).hexdigest()
    else:
        raise RecipeError(
            f"{directory}: no tokenizer.json. Save the tokenizer beside the model "
            "(save_pretrained of the tokenizer)."
        )
    settings = _weights.read_json(directory / "tokenizer_config.json")
    tokens = [settings.get(name) for name in ("bos_token", "eos_token")]
    # Older tokenizers save a token as an object with its stripping rules.
    special = [token.get("content") if isinstance(token, dict) else token for token in tokens]
    return [content, special, chat_template(directory)]


def chat_template(directory: Path) -> str | None:
    """The chat template, from its own file or from tokenizer_config.json (the file wins)."""
    file = directory / CHAT_TEMPLATE
    if file.is_file():
        try:
            template: Any = filesystem.read_text(file)
        except ValueError as error:
            raise RecipeError(
                f"{file}: cannot be read, found {error}. Download it again."
            ) from None
    else:
        template = _weights.read_json(directory / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # several named templates; engines use the default one
        named = [entry for entry in template if isinstance(entry, dict)]
        template = {str(entry.get("name")): entry.get("template") for entry in named}.get("default")
    if not isinstance(template, str | None):
        raise RecipeError(
            f"{directory}: the chat template is not text, found {template!r:.60}. Correct it in "
            "tokenizer_config.json, or download the model again."
        )
    # Jinja drops one final line break, and editors add one.
    return None if template is None else template.removesuffix("\n")


def _with_effect(config: Any) -> Any:
    """Return a config without the keys that do not change the answers, in nested objects too."""
    if not isinstance(config, dict):
        return config
    return {
        key: _with_effect(value)
        for key, value in config.items()
        if key not in _WITHOUT_EFFECT and "dropout" not in key
    }
