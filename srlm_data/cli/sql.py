"""The command `sql`: ask the store with a query of one's own, a shipped one, or at a prompt."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

import srlm_data
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say_error, say_table

COMMANDS = {
    ".help": "list the commands",
    ".tables": "list every table, its type and rows; a version is recipe.name@version",
    ".query": "list the shipped queries; with a name, run one",
    ".quit": "leave, like Ctrl-D",
}
STORE_VIEWS = ("versions", "drops", "failures")  # views beside the datasets
_PREVIEW = 40  # a table of more rows is printed without its middle
_WHOLE = 1_000  # the same bound for a shipped query, whose result is read in full


@click.command()
@click.argument("query", required=False)
@click.option("-f", "--file", type=click.Path(path_type=Path, exists=True), help="A .sql file.")
@click.option(
    "--query",
    "name",
    metavar="NAME",
    is_flag=False,
    flag_value="",
    help="Run a query that comes with the package; without a NAME, list them.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    help="Output format; by default that of the file's extension, else a table.",
)
@options.output("Write to this file.")
@click.option("--open-access", is_flag=True, help="Let the query read other files and the network.")
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
    """Query the store with SQL.

    Datasets are tables: iter1.pairs, iter1.pairs@3f2a, all_judgments. Without a query, a
    terminal gets a prompt, and a pipe is read. '.tables' lists the tables.
    """
    from srlm_data.cli._answers import format_of

    if sum(source is not None for source in (query, file, name)) > 1:
        raise click.UsageError("give one of QUERY, --file and --query.")
    opened = srlm_data.Store(store)
    ask = partial(answer, opened, open_access=open_access)
    if (query, file, name) == (None, None, None) and sys.stdin.isatty():
        from srlm_data.cli._prompt import converse

        if form or output:
            raise click.UsageError("--format and --output are for one query. Give a QUERY.")
        converse(opened, ask)
        return
    form = form or format_of(output)
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is not written to a terminal. Name a file with --output.")
    text = _text(query, file) if name is None else f".query {name}"
    ask(text, form=form, output=output)


def answer(
    store: srlm_data.Store,
    text: str,
    *,
    form: str = "table",
    output: Path | None = None,
    open_access: bool = False,
) -> None:
    """Do a command, which begins with a dot, or answer a query."""
    from srlm_data.analysis import queries
    from srlm_data.cli._answers import answer_query
    from srlm_data.core.errors import ArgumentError, did_you_mean

    word, _, name = text.strip().partition(" ")
    rows = _PREVIEW
    if word == ".query" and name:
        text, rows = queries.load(name.strip()), _WHOLE
    if not text.lstrip().startswith("."):
        answer_query(store, text, form, output, rows=rows, open_access=open_access)
    elif form != "table" or output is not None:
        raise ArgumentError(f"{word}: --format and --output are for queries. Leave them out.")
    elif word == ".query":
        say_table((), queries.shipped().items())
    elif word == ".tables":
        _list_tables(store)
    elif word == ".help":
        say_table((), COMMANDS.items())
    else:
        raise ArgumentError(f"{word}: no such command.{did_you_mean(word, COMMANDS)} Try '.help'.")


def _list_tables(store: srlm_data.Store) -> None:
    result = srlm_data.versions(store=store)
    rows = [
        (manifest.name, manifest.type, f"{manifest.rows:,}", manifest.version[:8])
        for manifest in result
    ]
    types = dict.fromkeys(manifest.type for manifest in result)
    rows += [(f"all_{dataset_type}", dataset_type, "", "") for dataset_type in types]
    rows += [(name, "", "", "") for name in STORE_VIEWS]
    say_table(("table", "type", "rows", "version"), rows, right=[2])
    for fault in result.faults:
        say_error(fault)


def _text(query: str | None, file: Path | None) -> str:
    from srlm_data.core.filesystem import read_text

    if file is not None:
        try:
            query = read_text(file)
        except ValueError as error:
            raise click.UsageError(f"--file: {file} cannot be read, found {error}.") from None
    query = _standard_input() if query is None else query
    if not query.strip():
        raise click.UsageError("give one of QUERY, --file and --query.")
    return query


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except OSError as error:
        raise click.UsageError(
            f"standard input cannot be read, found '{error.strerror}'. Give a QUERY."
        ) from None
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"standard input is not UTF-8 text, found the byte {error.object[error.start]:#04x} "
            f"at {error.start}. Give a query as UTF-8 text."
        ) from None
