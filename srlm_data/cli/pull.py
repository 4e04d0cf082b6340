"""The command `pull`: versions from the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

import srlm_data
from srlm_data.cli import _options as options
from srlm_data.cli._options import manifest_record
from srlm_data.cli._terminal import say, say_json, say_state


@click.command()
@click.argument("source", metavar="USER/NAME[@TAG]")
@click.argument("datasets", nargs=-1)
@options.kind
@options.as_json
@click.pass_obj
def pull(
    store: Path,
    source: str,
    datasets: tuple[str, ...],
    kind: Literal["dataset", "model"],
    as_json: bool,
) -> None:
    """Fetch published versions, checked byte by byte.

    Name DATASETS to fetch only these; by default everything in the repository.
    """
    repo, _, revision = source.partition("@")
    pulled = srlm_data.pull(repo, revision or None, only=datasets, kind=kind, store=store).versions
    if as_json:
        say_json(
            [
                manifest_record(version.manifest) | {"new": version.new, "latest": version.latest}
                for version in pulled
            ]
        )
        return
    for version in pulled:
        manifest = version.manifest
        known = "" if version.new else ", here before"
        named = "" if version.latest else f"; {manifest.name} means the version that you built"
        mark = "+" if version.new else "="
        say_state(f"{mark} {manifest.ref}  {manifest.counted}{known}{named}")
    say("In a recipe:")
    for manifest in (version.manifest for version in pulled):
        say(options.recipe_line(manifest.name.partition(".")[2], manifest))
