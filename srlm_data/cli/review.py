"""The command `review`: people say which of two answers is better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._stopping import stop_tidily
from srlm_data.cli._terminal import say, say_state


@click.command()
@click.argument("ref", shell_complete=_completion.versions)
@click.option("--by", metavar="NAME", help="Who reviews. Nobody sees again what they have labeled.")
@options.number("--n", default=100, help="Pairs, or prompts with two answers, to review in total.")
@options.number(
    "--seed",
    least=0,
    default=0,
    help="Decides which; everybody with the same seed sees the same ones.",
)
@options.output("Write one offline page that downloads labels, or the export, to this file.")
@click.option(
    "--import",
    "labels",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Import labels written by the page, Argilla or Label Studio.",
)
@click.option(
    "--export",
    "form",
    type=click.Choice(["argilla", "label-studio"]),
    help="Write the review for another tool instead.",
)
@options.port
@options.opens
@click.pass_obj
def review(
    store: Path,
    /,
    ref: str,
    by: str | None,
    output: Path | None,
    labels: Path | None,
    form: str | None,
    port: int,
    opens: bool,
    **draw: Any,
) -> None:
    """Let a person say which of two answers is better, blind.

    REF is a dataset or version of pairs, or of candidates, from which two answers per prompt are
    drawn. The labels become the dataset REF_labels.
    """
    if labels and form:
        raise click.UsageError("give either --import or --export, not both.")
    if labels:
        _say_labels(srlm_data.import_labels(ref, labels, by=by, store=store))
    elif form:
        file = output or Path("review.json")
        count = srlm_data.export_review(ref, form, output=file, store=store, **draw)  # type: ignore[arg-type]
        say(f"wrote {file}: {count:,} to review")
    elif by is None:
        raise click.UsageError("a review needs --by NAME, because labels record who made them.")
    elif output:
        count = srlm_data.write_review(ref, by=by, output=output, store=store, **draw)
        say(f"wrote {output}: {count:,} to review")
    else:
        stop_tidily("Start it again to continue; labels are kept.")
        announce = options.announcing(f"review {ref}", "labels are saved at once", opens=opens)
        manifest = srlm_data.serve_review(
            ref, by=by, port=port, announce=announce, store=store, **draw
        )
        if manifest:
            _say_labels(manifest)


def _say_labels(manifest: srlm_data.Manifest) -> None:
    say_state(f"+ {manifest.ref}  {manifest.counted}")
    for person, count in manifest.notes["people"].items():
        say(f"  {count:,} by {person}")
    say(f"In a recipe:\n{options.recipe_line('labels', manifest)}")
