"""The command `ls`: the datasets of the store."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli._options import json_option, manifest_record, print_json
from srlm_data.cli._terminal import say, say_table
from srlm_data.core.errors import StoreError


@click.command()
@json_option
@click.pass_obj
def ls(store: Path, as_json: bool) -> None:
    """List the datasets of the store, with their types, rows and latest versions."""
    opened = srlm_data.Store(store)
    result = srlm_data.versions(store=opened)
    if as_json:
        print_json([manifest_record(manifest) for manifest in result])
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
