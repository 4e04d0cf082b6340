"""The command `cost`: what the responses cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli import _options as options
from srlm_data.cli._terminal import say, say_json, say_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srlm_data.analysis.usage import Spending

_COLUMNS: Final = {
    "calls": "calls",
    "reused": "reused",
    "failed": "failed",
    "retries": "retries",
    "prompt_tokens": "tokens in",
    "cached_tokens": "cached",
    "completion_tokens": "tokens out",
    "seconds": "seconds",
}

_DIGITS: Final = {"seconds": 1, "money": 2}
"""Column -> number of decimals; other columns are integers."""


@click.command()
@click.argument("recipes", nargs=-1, shell_complete=_completion.recipes)
@options.as_json
@click.pass_obj
def cost(store: Path, recipes: tuple[str, ...], as_json: bool) -> None:
    """Show what answers cost: calls, tokens, seconds.

    RECIPES are given by file or by name; by default all of the store.
    """
    result = srlm_data.cost(*recipes, store=store)
    if as_json:
        say_json(
            {
                "datasets": [_record(line, "rows") for line in result.datasets],
                "models": [_record(line, "rows") for line in result.models],
                "pairs": [_record(line, "pairs") for line in result.pairs],
                "unused": _record(result.unused, "answers"),
                "total": _record(result.total, "answers"),
            }
        )
        return
    if not (result.datasets or result.total.units):
        say("No model has been called yet.")
        return
    _table("dataset", [(_short(line.name), line) for line in result.datasets])
    _table("model", [(f"{line.about} {line.name[:8]}", line) for line in result.models])
    _table("all that made", [(_short(line.name), line) for line in result.pairs])
    for line in result.pairs:
        if line.units:
            each = {key: line.cost[key] / line.units for key in _COLUMNS}
            say(
                f"an accepted pair of {_short(line.name)} ({line.units:,}) cost "
                f"{each['calls'] + each['reused']:,.1f} answers, {each['prompt_tokens']:,.0f} "
                f"tokens in, {each['completion_tokens']:,.0f} out, {each['seconds']:,.2f} s"
            )
        if line.missing:
            refs = ", ".join(_short(ref) for ref in line.missing)
            say(f"not counted for {_short(line.name)}, not in this store: {refs}")
    for line in (result.unused, result.total):
        money = line.cost["money"]
        say(
            f"{line.name}: {line.units:,}, {line.cost['prompt_tokens']:,} tokens in, "
            f"{line.cost['completion_tokens']:,} out"
            + (f", {money:,.2f} by the engines' prices" if money else "")
        )


def _record(line: Spending, unit: str) -> dict[str, object]:
    shared = _COLUMNS if line.units else ()
    each = {f"{key}_each": round(line.cost[key] / line.units, 4) for key in shared}
    return {
        "name": line.name,
        "about": line.about,
        "model": line.model,
        unit: line.units,
        **line.cost,
        "tokens_per_second": line.tokens_per_second,
        **each,
        **({"missing": line.missing} if line.missing else {}),
    }


def _short(ref: str) -> str:
    name, _, version = ref.partition("@")
    return f"{name}@{version[:8]}"


def _table(title: str, lines: Sequence[tuple[str, Spending]]) -> None:
    if not lines:
        return
    priced = any(line.cost["money"] for _, line in lines)
    columns = _COLUMNS | ({"money": "money"} if priced else {})
    heading = [title, *columns.values(), "out/s"]
    rows = []
    for name, line in lines:
        speed = line.tokens_per_second
        figures = [f"{line.cost[key]:,.{_DIGITS.get(key, 0)}f}" for key in columns]
        rows.append([name, *figures, "" if speed is None else f"{speed:,.0f}"])
    say_table(heading, rows, right=range(1, len(heading)))
    say()
