"""The command that asks: sql, with a query of one's own, a shipped one, or at a prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srlm_data.cli.options import pass_store

if TYPE_CHECKING:
    from srlm_data.store import Store

_PREVIEW = 40  # rows of a table whose middle is left out
_WHOLE = 10_000  # a shipped analysis is read to its end


@click.command()
@click.argument("query", required=False)
@click.option("-f", "--file", type=click.Path(path_type=Path, exists=True), help="A .sql file.")
@click.option(
    "--canned", metavar="NAME", is_flag=False, flag_value="",
    help="An analysis that comes with the package; without a NAME, list them.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]),
    help="What to write; unless told, what the output's ending says, else a table.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file."
)
@click.option("--open-access", is_flag=True, help="Let the query read other files, and the net.")
@pass_store
def sql(
    store: Store, query: str | None, file: Path | None, canned: str | None, form: str | None,
    output: Path | None, open_access: bool,
) -> None:  # fmt: skip
    """Ask the store with SQL. Datasets are tables: iter1.pairs, iter1.pairs@3f2a, all_judgments.

    Without a query, a terminal gets a prompt, and a pipe is read.
    """
    from srlm_data.analysis.query import connect, refused, run
    from srlm_data.cli.answers import format_of, write_answer
    from srlm_data.cli.stopping import interruptible

    if sum(given is not None for given in (query, file, canned)) > 1:
        raise click.UsageError("give a QUERY, --file or --canned, one of them.")
    if canned == "":
        _list_canned()
        return
    if (query, file, canned) == (None, None, None) and sys.stdin.isatty():
        from srlm_data.cli.prompt import converse

        converse(store, open_access=open_access)
        return
    form = form or format_of(output)
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal. Name a file with --output.")
    text = _text(query, file, canned)
    with connect(store, open_access=open_access) as connection:

        def ask() -> None:
            answer = run(connection, store, text)
            with refused(store, text):
                write_answer(answer, form, output, rows=_PREVIEW if canned is None else _WHOLE)

        interruptible(connection, ask)


def _text(query: str | None, file: Path | None, canned: str | None) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8")
    if canned is not None:
        return _load_canned(canned)
    text = sys.stdin.read() if query is None else query
    if not text.strip():
        raise click.UsageError("give a QUERY, --file or --canned, one of them.")
    return text


def _load_canned(name: str) -> str:
    from srlm_data.analysis import queries
    from srlm_data.core.errors import did_you_mean

    try:
        return queries.load(name)
    except LookupError:
        known = queries.shipped()
        raise click.UsageError(
            f"--canned: no analysis '{name}'.{did_you_mean(name, known)} "
            f"There are {', '.join(known)}."
        ) from None


def _list_canned() -> None:
    from srlm_data.analysis import queries

    for name, about in queries.shipped().items():
        click.echo(f"{name}\n{click.wrap_text(about, 100, '    ', '    ')}")
