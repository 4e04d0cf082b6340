"""The commands that look at a store: ls, show, log, sql, verify; and tag, which names a version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srlm_data.cli.options import json_option, manifest_row, pass_store, print_json
from srlm_data.cli.terminal import visible
from srlm_data.errors import StoreError

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
        for one in manifests:
            click.echo(
                f"{one.name:<28} {one.version[:8]}  {one.rows:>9,} {one.stage:<11} "
                f"{len(store.versions(one.name))} version(s)"
            )
    if faults:
        raise StoreError("\n".join(faults))
    if not manifests and not as_json:
        click.echo(f"{store.root} is empty. 'srlm-data build recipes/iter1.yaml' fills it.")


@click.command()
@click.argument("ref")
@click.option("-n", "--rows", "count", default=3, show_default=True, help="Rows to show.")
@click.option("--manifest", "whole", is_flag=True, help="The whole manifest, as JSON.")
@json_option
@pass_store
def show(store: Store, ref: str, count: int, whole: bool, as_json: bool) -> None:
    """Show a version (recipe.name, or recipe.name@version) and its first rows."""
    from itertools import islice

    from srlm_data.cli.pretty import show_rows

    manifest = store.resolve(ref)
    if whole:
        click.echo(manifest.json().decode(), nl=False)
        return
    rows = list(islice(store.rows(manifest).dicts(), count))
    if as_json:
        print_json(rows)
        return
    show_rows(manifest, rows)


@click.command()
@click.argument("name")
@json_option
@pass_store
def log(store: Store, name: str, as_json: bool) -> None:
    """Every version of a dataset, newest first: what was made, when, by which command."""
    versions = store.versions(name)
    if not versions:
        store.resolve(name)  # says that there is no such dataset
    refs = store.refs(name)
    manifests = [store.manifest(name, version) for version in versions]
    manifests.sort(key=lambda one: str(one.made.get("at")), reverse=True)
    if as_json:
        print_json([manifest_row(manifest) for manifest in manifests])
        return
    for one in manifests:
        named = [ref for ref, version in refs.items() if version == one.version]
        click.echo(
            f"{one.version}  {one.made.get('at', '')}  {one.rows:,} {one.stage}"
            f"{'  <- ' + ', '.join(named) if named else ''}"
        )
        click.echo(f"    {visible(' '.join(one.made.get('argv', [])))}")
        for read in one.inputs:
            click.echo(f"    read {read.parameter}: {read.name}@{read.version[:8]}")


@click.command()
@click.argument("query", required=False)
@click.option("-f", "--file", type=click.Path(path_type=Path, exists=True), help="A .sql file.")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json"]), default="table",
    show_default=True,
)  # fmt: skip
@pass_store
def sql(store: Store, query: str | None, file: Path | None, form: str) -> None:
    """Ask the store with SQL. Datasets are tables: iter1.pairs, iter1.pairs@3f2a, all_judgments."""
    from srlm_data.cli.pretty import print_csv, print_json_lines
    from srlm_data.query import connect, refused, run

    if (query is None) == (file is None):
        raise click.UsageError("give a QUERY or --file, one of them.")
    text = file.read_text(encoding="utf-8") if file else str(query)
    connection = connect(store)
    answer = run(connection, store, text)
    with refused(store, text):
        if form == "table":
            click.echo(visible(str(answer)))
        elif form == "csv":
            print_csv(answer)
        else:
            print_json_lines(answer)


@click.command()
@click.argument("refs", nargs=-1)
@pass_store
def verify(store: Store, refs: tuple[str, ...]) -> None:
    """Read and hash every byte of versions (of all, when none is named); name every fault."""
    manifests = (
        [store.resolve(ref) for ref in refs]
        if refs
        else [store.manifest(name, v) for name in store.names() for v in store.versions(name)]
    )
    faults = [fault for manifest in manifests for fault in store.verify(manifest)]
    if faults:
        raise StoreError("\n".join(faults))
    click.echo(f"{len(manifests)} version(s), every byte as it was written")


@click.command()
@click.argument("ref")
@click.argument("name")
@pass_store
def tag(store: Store, ref: str, name: str) -> None:
    """Give a version a NAME, so that recipe.dataset@NAME means it."""
    manifest = store.resolve(ref)
    if not (name.isascii() and name.isidentifier()) or name == "latest" or len(name) > 100:
        raise click.UsageError(
            f"'{name}' cannot be a tag. Use letters, digits and underscores, a letter first."
        )
    if any(version.startswith(name) for version in store.versions(manifest.name)):
        raise click.UsageError(f"'{name}' names a version of its own already. Use another word.")
    store.point(manifest.name, manifest.version, name)
    click.echo(f"{manifest.name}@{name} is {manifest.version}")
