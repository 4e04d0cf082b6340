"""The commands that look at a store: ls, show, log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from srlm_data.cli import _completion
from srlm_data.cli.options import json_option, manifest_row, pass_store, print_json
from srlm_data.core.errors import StoreError, counted

if TYPE_CHECKING:
    from srlm_data.store import Store


@click.command()
@json_option
@pass_store
def ls(store: Store, as_json: bool) -> None:
    """List the datasets of the store, with their latest versions."""
    manifests, faults = [], []
    for name in store.names():
        try:
            manifests.append(store.resolve(name))
        except StoreError as error:
            faults.append(str(error))
    if as_json:
        print_json([manifest_row(manifest) for manifest in manifests])
    else:
        wide = max([28, *(len(one.name) for one in manifests)])
        for one in manifests:
            rows, _, things = one.counted.partition(" ")
            click.echo(
                f"{one.name:<{wide}} {one.version[:8]}  {rows:>9} {things:<11} "
                f"{counted(len(store.versions(one.name)), 'version')}"
            )
    if faults:
        raise StoreError("\n".join(faults))
    if not manifests and not as_json:
        click.echo(f"{store.root} is empty. 'srlm-data build recipes/iter1.yaml' fills it.")


@click.command()
@click.argument("ref", shell_complete=_completion.versions)
@click.option("-n", "--rows", "count", default=3, show_default=True, help="Rows to show.")
@click.option("--manifest", "whole", is_flag=True, help="The whole manifest, as JSON.")
@json_option
@pass_store
def show(store: Store, ref: str, count: int, whole: bool, as_json: bool) -> None:
    """Show how a version (recipe.name, or recipe.name@version) was made, and its first rows."""
    from itertools import islice

    from srlm_data.cli.pretty import show_rows
    from srlm_data.cli.provenance import packages, provenance, step
    from srlm_data.store.graph import Graph

    manifest = store.resolve(ref)
    if whole:
        click.echo(manifest.json().decode(), nl=False)
        return
    rows = list(islice(store.rows(manifest).dicts(), count))
    if as_json:
        print_json(rows)
        return
    click.echo(f"{manifest.ref}  {manifest.counted}")
    click.echo(f"  made {manifest.made.get('at', '')} by {step(manifest)}")
    for line in (*provenance(manifest, Graph(store)), packages(manifest)):
        click.echo(f"  {line}")
    show_rows(rows)


@click.command()
@click.argument("name", shell_complete=_completion.versions)
@json_option
@pass_store
def log(store: Store, name: str, as_json: bool) -> None:
    """Every version of a dataset, newest first: by which command, at what cost, what changed."""
    from srlm_data.cli.provenance import changed, provenance
    from srlm_data.store.graph import Graph

    versions = store.versions(name)
    if not versions:
        store.resolve(name)  # says that there is no such dataset
    refs, graph = store.refs(name), Graph(store)
    manifests = [store.manifest(name, version) for version in versions]
    manifests.sort(key=lambda one: str(one.made.get("at")), reverse=True)
    if as_json:
        print_json([manifest_row(manifest) for manifest in manifests])
        return
    for one, before in zip(manifests, [*manifests[1:], None], strict=True):
        named = [ref for ref, version in refs.items() if version == one.version]
        click.echo(
            f"{one.version}  {one.made.get('at', '')}  {one.counted}"
            f"{'  <- ' + ', '.join(named) if named else ''}"
        )
        for line in (*provenance(one, graph), *(changed(before, one) if before else ())):
            click.echo(f"    {line}")
