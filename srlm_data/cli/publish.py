"""The command `publish`: versions to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say, say_json

if TYPE_CHECKING:
    from srlm_data import Published


@click.command()
@click.argument("targets", nargs=-1, shell_complete=_completion.versions)
@click.option("--all", "everything", is_flag=True, help="Publish every dataset of the store.")
@click.option("--repo", required=True, metavar="USER/NAME", help="The repository on the Hub.")
@options.kind
@click.option("--tag", metavar="NAME", help="Name of this release; by default a hash.")
@click.option("--license", metavar="ID", help="The license that you publish under.")
@click.option(
    "--language",
    "languages",
    multiple=True,
    metavar="CODE",
    help="Language of the texts, such as en; may be repeated.",
)
@click.option(
    "--test-share",
    type=float,
    default=0.05,
    show_default=True,
    help="Share of the prompts whose pairs and examples form the split 'test'; 0 for no split.",
)
@click.option(
    "--public",
    "private",
    is_flag=True,
    callback=options.negate,
    help="Make a new repository public.",
)
@click.option("--pr", "pull_request", is_flag=True, help="Open a pull request instead.")
@click.option("--dry-run", is_flag=True, help="Show the files and the card; send nothing.")
@options.as_json
@click.pass_obj
def publish(
    store: Path,
    /,
    targets: tuple[str, ...],
    everything: bool,
    repo: str,
    dry_run: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Publish to the Hugging Face Hub: one commit, a card, a tag.

    TARGETS are recipes, datasets or versions.
    """
    if bool(targets) == everything:
        raise click.UsageError("name what to publish, or give --all.")
    published = srlm_data.push(*targets, repo=repo, dry_run=dry_run, store=store, **settings)
    if dry_run:
        _print_upload(published, repo, as_json=as_json)
    elif as_json:
        facts = {name: value for name, value in vars(published).items() if name != "upload"}
        say_json({"repo": repo, "tag": published.upload.tag, **facts})
    else:
        _print_published(published)


def _print_upload(published: Published, repo: str, *, as_json: bool) -> None:
    upload = published.upload
    sizes = {
        path: len(content) if isinstance(content, bytes) else content.stat().st_size
        for path, content in sorted(upload.files.items())
    }
    if as_json:
        say_json({"repo": repo, "tag": upload.tag, "files": sizes, "card": upload.card})
        return
    say(f"{repo}@{upload.tag} would hold {len(sizes)} files:")
    for path, size in sizes.items():
        say(f"  {size:>13,}  {path}")
    say(f"\nREADME.md:\n\n{upload.card}", nl=False)


def _print_published(published: Published) -> None:
    if published.pull_request:
        say(f"pull request: {published.pull_request}")
        return
    access = "private" if published.private else "public"
    upload, sent = published.upload, "as published before, nothing was sent"
    if published.new:
        sent = f"{len(upload.files)} files"
    say(f"{published.address} ({access}), tag {upload.tag}: {sent}")
