"""The command `ls`: the datasets of the store."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _options as options
from srlm_data.cli._options import manifest_record
from srlm_data.cli._terminal import say, say_json, say_table
from srlm_data.core.errors import StoreError


@click.command()
@options.as_json
@click.pass_obj
def ls(store: Path, as_json: bool) -> None:
    """List the datasets of the store with their types and rows."""
    opened = srlm_data.Store(store)
    result = srlm_data.versions(store=opened)
    if as_json:
        say_json([manifest_record(manifest) for manifest in result])
    elif result.manifests:
        rows = [
            (
                manifest.name,
                manifest.type,
                f"{manifest.rows:,}",
                manifest.version[:8],
                f"{len(opened.versions(manifest.name)):,}",
            )
            for manifest in result
        ]
        say_table(("dataset", "type", "rows", "version", "versions"), rows, right=[2, 4])
    if result.faults:
        raise StoreError("\n".join(result.faults))
    if not result.manifests and not as_json:
        say(f"{store} is empty. 'srlm-data build recipes/iter1.yaml' fills it.")
