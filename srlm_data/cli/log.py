"""The command `log`: every version of a dataset."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._options import manifest_record
from srlm_data.cli._terminal import say, say_json
from srlm_data.core.errors import StoreError


@click.command()
@click.argument("name", shell_complete=_completion.versions)
@options.as_json
@click.pass_obj
def log(store: Path, name: str, as_json: bool) -> None:
    """List every version of a dataset, newest first.

    Each with the command that made it, its cost, and what changed.
    """
    from srlm_data.cli._provenance import changed, provenance
    from srlm_data.store.graph import Graph

    opened = srlm_data.Store(store)
    result = srlm_data.versions(name, store=opened)
    if as_json:
        say_json([manifest_record(manifest) for manifest in result])
    graph = Graph(opened)
    for manifest, before in pairwise([] if as_json else [*result.manifests, None]):
        assert manifest
        tags = result.tags.get(manifest.ref)
        say(
            f"{manifest.version}  {manifest.provenance.get('at', '')}  {manifest.counted}"
            f"{'  <- ' + ', '.join(tags) if tags else ''}"
        )
        for line in (*provenance(manifest, graph), *(changed(before, manifest) if before else ())):
            say(f"    {line}")
    if result.faults:
        raise StoreError("\n".join(result.faults))
