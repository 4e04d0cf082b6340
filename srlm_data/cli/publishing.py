"""The commands that speak to the Hugging Face Hub: publish and pull."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from srlm_data.cli import _completion
from srlm_data.cli.options import json_option, pass_store, print_json

if TYPE_CHECKING:
    from srlm_data.publish import Published, Pulled, Upload
    from srlm_data.store import Store

_REPO = re.compile(r"[\w.-]+/[\w.-]+")


@click.command()
@click.argument("targets", nargs=-1, shell_complete=_completion.versions)
@click.option("--all", "everything", is_flag=True, help="Publish every dataset of the store.")
@click.option("--repo", required=True, metavar="USER/NAME", help="The repository on the Hub.")
@click.option(
    "--type", "kind", type=click.Choice(["dataset", "model"]), default="dataset",
    show_default=True, help="What TARGETS are.",
)  # fmt: skip
@click.option("--tag", metavar="NAME", help="Name this publication; its content's hash if not.")
@click.option("--license", "license", metavar="ID", help="The license that you publish under.")
@click.option("--public", is_flag=True, help="Let everybody read a repository that is made now.")
@click.option("--pr", "pull_request", is_flag=True, help="Open a pull request instead.")
@click.option("--dry-run", is_flag=True, help="Show the files and the card; send nothing.")
@json_option
@pass_store
def publish(
    store: Store, targets: tuple[str, ...], everything: bool, repo: str, kind: str,
    tag: str | None, license: str | None, public: bool, pull_request: bool, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Publish TARGETS (recipes, datasets or versions) to the Hub: one commit, a card and a tag."""
    from srlm_data import publish

    if bool(targets) == everything:
        raise click.UsageError("name what to publish, or say --all.")
    _checked(repo)
    if kind == "model":
        if len(targets) != 1:
            raise click.UsageError("--type model wants one model, as in iter1.m2.")
        upload = publish.prepare_model(store, targets[0], tag=tag, license=license)
    else:
        bundle = publish.select(store, targets)
        upload = publish.prepare_dataset(bundle, store, repo=repo, tag=tag, license=license)
    if dry_run:
        _show(upload, repo, as_json=as_json)
        return
    done = publish.publish(upload, repo, private=not public, pull_request=pull_request)
    if as_json:
        print_json({"repo": repo, "tag": upload.tag, **vars(done)})
        return
    _tell(upload, done)


def _show(upload: Upload, repo: str, *, as_json: bool) -> None:
    sizes = {
        path: len(content) if isinstance(content, bytes) else content.stat().st_size
        for path, content in sorted(upload.files.items())
    }
    if as_json:
        print_json({"repo": repo, "tag": upload.tag, "files": sizes, "card": upload.card})
        return
    click.echo(f"{repo}@{upload.tag} would hold {len(sizes)} files:")
    for path, size in sizes.items():
        click.echo(f"  {size:>13,}  {path}")
    click.echo(f"\nREADME.md:\n\n{upload.card}", nl=False)


def _tell(upload: Upload, done: Published) -> None:
    if done.pull_request:
        click.echo(f"pull request: {done.pull_request}")
        return
    who = "private" if done.private else "public"
    what = f"{len(upload.files)} files" if done.new else "as published before, nothing was sent"
    click.echo(f"{done.address} ({who}), tag {upload.tag}: {what}")


@click.command()
@click.argument("source", metavar="USER/NAME[@TAG]")
@click.argument("datasets", nargs=-1)
@click.option(
    "--type", "kind", type=click.Choice(["dataset", "model"]), default="dataset",
    show_default=True, help="What the repository holds.",
)  # fmt: skip
@json_option
@pass_store
def pull(store: Store, source: str, datasets: tuple[str, ...], kind: str, as_json: bool) -> None:
    """Bring what was published back as the same versions, checked byte by byte.

    DATASETS are some of what is there; all when none is named.
    """
    from srlm_data import publish

    repo, _, revision = source.partition("@")
    _checked(repo)
    if kind == "model":
        if datasets:
            raise click.UsageError("a model's repository holds that model alone.")
        pulled = [publish.pull_model(store, repo, revision or None)]
    else:
        pulled = publish.pull(store, repo, revision or None, only=datasets)
    if as_json:
        print_json([
            {
                "name": one.manifest.name, "version": one.manifest.version,
                "type": one.manifest.type, "rows": one.manifest.rows,
                "content": one.manifest.content, "new": one.new, "latest": one.latest,
            }
            for one in pulled
        ])  # fmt: skip
        return
    _say(pulled)


def _say(pulled: list[Pulled]) -> None:
    for one in pulled:
        manifest = one.manifest
        known = "" if one.new else ", here before"
        named = "" if one.latest else f"; {manifest.name} means the version that you built"
        mark = "+" if one.new else "="
        click.echo(f"{mark} {manifest.ref}  {manifest.counted}{known}{named}")
    click.echo("In a recipe:")
    for one in pulled:
        manifest = one.manifest
        click.echo(
            f"  {manifest.name.partition('.')[2]}: {{step: read_version, version: {manifest.ref}, "
            f"type: {manifest.type}, content: {manifest.content}}}"
        )


def _checked(repo: str) -> None:
    if not _REPO.fullmatch(repo):
        raise click.UsageError(f"a repository is USER/NAME, found '{repo}'.")
