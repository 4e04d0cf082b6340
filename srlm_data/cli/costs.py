"""The command that shows what was spent: cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srlm_data.cli import _completion
from srlm_data.cli.options import json_option, pass_store, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srlm_data.analysis.usage import Spending
    from srlm_data.store import Store

_COLUMNS = (
    ("calls", "calls"), ("reused", "reused"), ("failed", "failed"), ("retries", "retries"),
    ("prompt_tokens", "tokens in"), ("cached_tokens", "cached"),
    ("completion_tokens", "tokens out"), ("seconds", "seconds"),
)  # fmt: skip


@click.command()
@click.argument("recipes", nargs=-1, shell_complete=_completion.recipes)
@json_option
@pass_store
def cost(store: Store, recipes: tuple[str, ...], as_json: bool) -> None:
    """What the answers of RECIPES (of all, when none is named) cost: calls, tokens, seconds."""
    from srlm_data.analysis.usage import datasets, models, pairs

    chosen = [Path(recipe).stem for recipe in recipes]
    by_dataset = datasets(store, chosen)
    by_model, by_pairs = models(by_dataset, store), pairs(store, chosen)
    if as_json:
        print_json({
            "datasets": [_record(line, "rows") for line in by_dataset],
            "models": [_record(line, "rows") for line in by_model],
            "pairs": [_record(line, "pairs") for line in by_pairs],
        })  # fmt: skip
        return
    if not by_dataset:
        click.echo("No model was asked anything yet.")
        return
    _table("dataset", [(_short(line.name), line) for line in by_dataset])
    _table("model", [(f"{line.about} {line.name[:8]}", line) for line in by_model])
    _table("all that made", [(_short(line.name), line) for line in by_pairs])
    for line in by_pairs:
        if line.units:
            each = {key: line.cost[key] / line.units for key, _ in _COLUMNS}
            click.echo(
                f"an accepted pair of {_short(line.name)} ({line.units:,}) cost "
                f"{each['calls'] + each['reused']:,.1f} answers, {each['prompt_tokens']:,.0f} "
                f"tokens in, {each['completion_tokens']:,.0f} out, {each['seconds']:,.2f} s"
            )
        if line.missing:
            refs = ", ".join(_short(ref) for ref in line.missing)
            click.echo(f"not counted for {_short(line.name)}, not in this store: {refs}")


def _record(line: Spending, unit: str) -> dict[str, object]:
    each = {f"{key}_each": round(line.cost[key] / line.units, 4) for key, _ in _COLUMNS}
    return {
        "name": line.name, "about": line.about, "model": line.model, unit: line.units, **line.cost,
        "tokens_per_second": line.tokens_per_second, **(each if line.units else {}),
        **({"missing": line.missing} if line.missing else {}),
    }  # fmt: skip


def _short(ref: str) -> str:
    name, _, version = ref.partition("@")
    return f"{name}@{version[:8]}"


def _table(title: str, lines: Sequence[tuple[str, Spending]]) -> None:
    """Print lines with columns as wide as what is in them."""
    if not lines:
        return
    rows = [[title, *(heading for _, heading in _COLUMNS), "out/s"]]
    for name, line in lines:
        speed = line.tokens_per_second
        figures = [f"{line.cost[key]:,.{int(key == 'seconds')}f}" for key, _ in _COLUMNS]
        rows.append([name, *figures, "" if speed is None else f"{speed:,.0f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        name, *figures = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join([name, *figures]).rstrip())
    click.echo()
