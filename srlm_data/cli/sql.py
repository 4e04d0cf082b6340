"""The command `sql`: ask the store with a query of one's own, a shipped one, or at a prompt."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import srlm_data
from srlm_data.cli._terminal import say

_PREVIEW = 40  # rows of a table whose middle is left out
_WHOLE = 10_000  # a shipped query's answer is read to its end


@click.command()
@click.argument("query", required=False)
@click.option("-f", "--file", type=click.Path(path_type=Path, exists=True), help="A .sql file.")
@click.option(
    "--query",
    "name",
    metavar="NAME",
    is_flag=False,
    flag_value="",
    help="A query that comes with the package; without a NAME, list them.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    help="What to write; unless told, what the output's ending says, else a table.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file."
)
@click.option("--open-access", is_flag=True, help="Let the query read other files, and the net.")
@click.pass_obj
def sql(
    store: Path,
    query: str | None,
    file: Path | None,
    name: str | None,
    form: str | None,
    output: Path | None,
    open_access: bool,
) -> None:
    """Ask the store with SQL. Datasets are tables: iter1.pairs, iter1.pairs@3f2a, all_judgments.

    Without a query, a terminal gets a prompt, and a pipe is read.
    """
    from srlm_data.analysis.query import refused, run
    from srlm_data.cli._answers import format_of, write_answer
    from srlm_data.cli._stopping import interruptible

    if sum(source is not None for source in (query, file, name)) > 1:
        raise click.UsageError("give a QUERY, --file or --query, one of them.")
    if name == "":
        _list_queries()
        return
    opened = srlm_data.Store(store)
    if (query, file, name) == (None, None, None) and sys.stdin.isatty():
        from srlm_data.cli._prompt import converse

        converse(opened, open_access=open_access)
        return
    form = form or format_of(output)
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal. Name a file with --output.")
    text = _text(query, file, name)
    with srlm_data.connect(opened, open_access=open_access) as connection:

        def ask() -> None:
            answer = run(connection, opened, text)
            with refused(opened, text):
                write_answer(answer, form, output, rows=_PREVIEW if name is None else _WHOLE)

        interruptible(connection, ask)


def _text(query: str | None, file: Path | None, name: str | None) -> str:
    from srlm_data.core.filesystem import read_text

    if file is not None:
        try:
            return read_text(file)
        except ValueError as error:
            raise click.UsageError(f"--file: {file} cannot be read, found {error}.") from None
    if name is not None:
        return _shipped(name)
    text = _standard_input() if query is None else query
    if not text.strip():
        raise click.UsageError("give a QUERY, --file or --query, one of them.")
    return text


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except OSError as error:
        raise click.UsageError(
            f"the standard input cannot be read, found '{error.strerror}'. Give a QUERY."
        ) from None
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"the standard input is no UTF-8 text, found the byte {error.object[error.start]:#04x} "
            f"at {error.start}. Give a query as UTF-8 text."
        ) from None


def _shipped(name: str) -> str:
    from srlm_data.analysis import queries
    from srlm_data.core.errors import did_you_mean

    try:
        return queries.load(name)
    except LookupError:
        known = queries.shipped()
        raise click.UsageError(
            f"--query: no query '{name}'.{did_you_mean(name, known)} There are {', '.join(known)}."
        ) from None


def _list_queries() -> None:
    from srlm_data.analysis import queries

    for name, about in queries.shipped().items():
        say(f"{name}\n{click.wrap_text(about, 100, '    ', '    ')}")
