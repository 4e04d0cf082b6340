"""The command `init`: a folder of recipes to start from."""

from __future__ import annotations

from pathlib import Path

import click

from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say
from srlm_data.core.errors import StoreError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default="recipes")
def init(folder: Path) -> None:
    """Write a folder of recipes to start from.

    Nothing in FOLDER is overwritten.
    """
    for file in _write_recipes(folder):
        say(f"wrote {file}")
    say(f"next: {options.command('build', str(folder / 'iter1.yaml'))}")


def _write_recipes(folder: Path) -> list[Path]:
    """Copy the shipped recipes into ``folder``."""
    package = Path(__file__).resolve().parent.parent
    source = next(
        (top / "recipes" for top in (package, package.parent) if (top / "recipes").is_dir()), None
    )
    if source is None:
        raise StoreError("init: the shipped recipes are missing. Install srlm-data again.")
    files = sorted(source.rglob("*.yaml"))
    targets = [folder / file.relative_to(source) for file in files]
    there = [target for target in targets if target.exists()]
    if there:
        raise StoreError(f"{there[0]}: already exists. Name a new folder.")
    for file, target in zip(files, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    return targets
