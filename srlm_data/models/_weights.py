"""The weights of a model: which safetensors files hold them, and the hash of each."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors

from srlm_data.core import filesystem
from srlm_data.core.errors import RecipeError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_WHOLE = "model.safetensors"
_MISTRALS = "consolidated.safetensors"  # a copy of the weights, with other tensor names


def hashes(directory: Path) -> list[str]:
    """Return the SHA-256 of every weight file of a folder, sorted."""
    with ThreadPoolExecutor() as pool:  # hashlib releases the GIL
        return sorted(pool.map(filesystem.digest, _files(directory)))


def hub_hashes(directory: Path, tree: Mapping[str, RepoFile]) -> list[str]:
    """Return the :func:`hashes` of a Hub repository; ``directory`` holds its small files."""
    entries = [tree[name] for name in _weight_files(directory, tree.keys())]
    if plain := [entry.path for entry in entries if entry.lfs is None]:
        raise RecipeError(
            f"{directory}: the Hub has no SHA-256 of {plain[0]}, which is not an LFS file there. "
            "Download the model and name its folder with 'path'."
        )
    return sorted(str(entry.lfs.sha256) for entry in entries if entry.lfs)


def shapes(directory: Path) -> list[list[int]]:
    """Return the shape of every tensor, as the files' headers declare them."""
    shapes = []
    for file in _files(directory):
        try:
            with safetensors.safe_open(file, framework="numpy") as tensors:
                shapes += [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
        except (safetensors.SafetensorError, OSError):
            raise RecipeError(
                f"{file}: not a complete safetensors file. Copy or download it again."
            ) from None
    return shapes


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a model's folder; empty if there is no such file."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{file}: not JSON ({error}). Copy or download it again.") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{file}: not a JSON object. Copy or download it again.")
    return content


def _weight_files(directory: Path, names: Collection[str]) -> list[str]:
    """List the weight files that loaders read: those of the index, else model.safetensors."""
    index = read_json(directory / "model.safetensors.index.json")
    weight_map = index.get("weight_map", {})
    if not isinstance(weight_map, dict) or not all(
        # A plain file name: a path could lead out of the model's folder.
        isinstance(name, str) and name.endswith(".safetensors") and name == Path(name).name
        for name in weight_map.values()
    ):
        raise RecipeError(
            f"{directory}: model.safetensors.index.json names something other than safetensors "
            "files in this folder. Download the model again, from a source that you trust."
        )
    wanted = sorted(set(weight_map.values())) or [_WHOLE]
    missing = [name for name in wanted if name not in names]
    if index and _WHOLE in names and _WHOLE not in wanted:
        raise RecipeError(
            f"{directory}: {_WHOLE} and an index of other weight files are there, and loaders "
            "differ in which they read. Delete those that are not the model's."
        )
    if not missing:
        return wanted
    if index:
        raise RecipeError(
            f"{directory}: {len(missing)} of {len(wanted)} weight files are missing, the first is "
            f"{missing[0]}. Copy or download the whole model."
        )
    pickled = sorted(name for name in names if name.endswith(_PICKLED))
    if pickled:
        raise RecipeError(
            f"{directory}: the weights are pickled ({pickled[0]}), and loading a pickle can run "
            "arbitrary code. Save the model as safetensors (save_pretrained does)."
        )
    if (directory / _WHOLE).is_symlink():
        raise RecipeError(
            f"{directory}: {_WHOLE} is a broken link. Copy or download the whole model."
        )
    # Models lie deeper in the Hub's cache (snapshots/COMMIT) and in a trainer's checkpoint-100.
    if below := sorted([*directory.glob("*/config.json"), *directory.glob("*/*/config.json")]):
        raise RecipeError(
            f"{directory}: no {_WHOLE}, and there are models below. Name the folder of one, such "
            f"as {below[-1].parent}."
        )
    raise RecipeError(f"{directory}: no {_WHOLE}. Save the model with save_pretrained.")


def _files(directory: Path) -> list[Path]:
    names = {file.name for file in directory.iterdir() if file.is_file()}
    files = _weight_files(directory, names)
    further = {name for name in names if name.endswith(".safetensors")} - {*files, _MISTRALS}
    if further and files == [_WHOLE]:
        raise RecipeError(
            f"{directory}: {min(further)} lies beside {_WHOLE}, and vLLM would load both. "
            "Move it elsewhere."
        )
    return [directory / name for name in files]
