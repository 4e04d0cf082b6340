"""The command `ls`: the datasets of the store."""

from __future__ import annotations

from pathlib import Path

import click

import srlm_data
from srlm_data.cli._options import json_option, manifest_record, print_json
from srlm_data.cli._terminal import say
from srlm_data.core.errors import StoreError, counted


@click.command()
@json_option
@click.pass_obj
def ls(store: Path, as_json: bool) -> None:
    """List the datasets of the store, with their latest versions."""
    opened = srlm_data.Store(store)
    result = srlm_data.versions(store=opened)
    if as_json:
        print_json([manifest_record(manifest) for manifest in result])
    else:
        wide = max([28, *(len(manifest.name) for manifest in result)])
        for manifest in result:
            rows, _, things = manifest.counted.partition(" ")
            say(
                f"{manifest.name:<{wide}} {manifest.version[:8]}  {rows:>9} {things:<11} "
                f"{counted(len(opened.versions(manifest.name)), 'version')}"
            )
    if result.faults:
        raise StoreError("\n".join(result.faults))
    if not result.manifests and not as_json:
        say(f"{store} is empty. 'srlm-data build recipes/iter1.yaml' fills it.")
