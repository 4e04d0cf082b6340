"""The commands that keep a store in order: verify, tag, gc."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srlm_data.cli import _completion
from srlm_data.cli.options import json_option, pass_store, print_json
from srlm_data.core.errors import StoreError, counted

if TYPE_CHECKING:
    from srlm_data.store import Store


@click.command()
@click.argument("refs", nargs=-1, shell_complete=_completion.versions)
@click.option("--quarantine", is_flag=True, help="Put what is damaged aside; a build mends it.")
@pass_store
def verify(store: Store, refs: tuple[str, ...], quarantine: bool) -> None:
    """Read and hash every byte (of REFS, or of all there is) and name every fault."""
    from srlm_data.core import filesystem
    from srlm_data.store import access
    from srlm_data.store.verify import Kind, faults, of_version, put_aside

    counts: dict[Kind, int] = {}
    alone = access.alone(store.root) if quarantine else nullcontext()
    with filesystem.refusals(store.root), alone:
        if refs:
            manifests = [store.resolve(ref) for ref in refs]
            found = [fault for one in manifests for fault in of_version(store, one)]
            counts["version"] = len(manifests)
        else:
            found = list(faults(store, counts))
        if found and not quarantine:
            sentences = [fault.sentence for fault in found]
            raise StoreError("\n".join(sentences))
        for fault in found:
            click.echo(f"{fault.sentence}\n    {put_aside(store, fault)}")
    if found:
        click.echo("build again: what was put aside is made anew")
        return
    read = ", ".join(counted(count, _THINGS[kind]) for kind, count in counts.items() if count)
    click.echo(f"{read or 'nothing is there'}: every byte as it was written")


_THINGS = {
    "version": "version", "names": "name", "model": "model", "answers": "answer file",
    "journal": "journal",
}  # fmt: skip


@click.command()
@click.argument("ref", shell_complete=_completion.versions)
@click.argument("name")
@pass_store
def tag(store: Store, ref: str, name: str) -> None:
    """Give a version a NAME, so that recipe.dataset@NAME means it."""
    from srlm_data.core import filesystem
    from srlm_data.store import access

    if not (name.isascii() and name.isidentifier()) or name == "latest" or len(name) > 100:
        raise click.UsageError(
            f"'{name}' cannot be a tag. Use letters, digits and underscores, a letter first."
        )
    with filesystem.refusals(store.root), access.shared(store.root):
        manifest = store.resolve(ref)
        if any(version.startswith(name) for version in store.versions(manifest.name)):
            raise click.UsageError(
                f"'{name}' names a version of its own already. Use another word."
            )
        store.point(manifest.name, manifest.version, name)
    click.echo(f"{manifest.name}@{name} is {manifest.version}")


@click.command()
@click.option("--delete", is_flag=True, help="Delete what is listed; without it, only list.")
@click.option(
    "--recipes", type=click.Path(path_type=Path, file_okay=False), default="recipes",
    show_default=True, help="Keep what the lock files in this folder name.",
)  # fmt: skip
@json_option
@pass_store
def gc(store: Store, delete: bool, recipes: Path, as_json: bool) -> None:
    """List what no name needs any more: versions, models, what killed processes left behind."""
    from srlm_data.core import filesystem
    from srlm_data.store import gc as collection

    locks = sorted(one.with_suffix(".lock") for one in recipes.rglob("*.yaml"))
    locks = [one for one in locks if one.is_file()]
    with filesystem.refusals(store.root):
        found = (collection.sweep if delete else collection.find)(store, locks)
    total = sum(one.bytes for one in found.garbage)
    if as_json:
        print_json({
            "deleted": delete, "bytes": total, "kept_versions": found.kept,
            "garbage": [
                {"kind": one.kind, "name": one.name, "bytes": one.bytes, "why": one.why}
                for one in found.garbage
            ],
        })  # fmt: skip
        return
    for one in found.garbage:
        click.echo(f"{one.kind:<8} {one.name:<44} {one.bytes:>15,} bytes  {one.why}")
    done = "deleted" if delete else "can go; --delete deletes it"
    click.echo(f"{counted(len(found.garbage), 'thing')}, {counted(total, 'byte')} {done}")
    click.echo(f"kept: {counted(found.kept, 'version')}, and every answer of a model")
