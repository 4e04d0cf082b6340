"""The command that compares two versions: diff."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from srlm_data.cli import _completion
from srlm_data.cli.options import json_option, manifest_row, pass_store, print_json

if TYPE_CHECKING:
    from srlm_data.analysis.diff import Cause, Diff
    from srlm_data.analysis.distribution_diff import Agreement, Preferences, Shift
    from srlm_data.store import Store

DIFFERENT = 10  # the exit code that `--exit-code` gives


@click.command()
@click.argument("before", shell_complete=_completion.versions)
@click.argument("after", shell_complete=_completion.versions)
@click.option("-n", "--samples", default=3, show_default=True, help="Rows to show of each kind.")
@click.option("--exit-code", is_flag=True, help=f"Exit with {DIFFERENT} when the rows differ.")
@json_option
@click.pass_context
@pass_store
def diff(
    store: Store, context: click.Context, before: str, after: str, samples: int, exit_code: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Say why two versions differ, and in what: columns, rows, scores, lengths, judges."""
    from srlm_data.analysis.diff import diff as compare

    found = compare(store, store.resolve(before), store.resolve(after), samples=samples)
    if as_json:
        sides = {"before": manifest_row(found.before), "after": manifest_row(found.after)}
        print_json(asdict(found) | sides)
    else:
        for line in _told(found):
            click.echo(line)
    if exit_code and not found.equal:
        context.exit(DIFFERENT)


def _told(found: Diff) -> Iterator[str]:
    for side in (found.before, found.after):
        yield f"{side.ref}  {side.counted}"
    if found.equal:
        yield "the rows are the same"
    if found.causes:
        yield "\nwhy"
        for cause in found.causes:
            yield from _cause(cause)
    if found.environment:
        yield "\nmade with (which decides no row)"
        yield from _changes(found.environment, "  ")
    if found.columns:
        yield "\ncolumns"
        yield from _changes(found.columns, "  ")
    if found.equal:
        return
    yield from _rows(found)
    yield from _figures("scores", found.scores)
    yield from _states(found.states)
    yield from _figures("lengths, in characters", found.lengths)
    if found.agreement:
        yield from _agreement(found.agreement)
    if found.preferences:
        yield from _preferences(found.preferences)


def _cause(cause: Cause) -> Iterator[str]:
    if cause.parameters:
        way = ", which read ".join(cause.parameters)
        yield f"  read {way}: {_short(cause.before)} -> {_short(cause.after)}"
    yield from _changes(cause.changes, "    " if cause.parameters else "  ")


def _changes(changes: Mapping[str, tuple[Any, Any]], indent: str) -> Iterator[str]:
    for where, (old, new) in changes.items():
        if all(isinstance(side, str) and "\n" in side for side in (old, new)):
            yield f"{indent}{where}:"
            lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
            yield from (f"{indent}  {line}" for line in list(lines)[2:] if line[:2] != "@@")
        else:
            yield f"{indent}{where}: {_value(where, old)} -> {_value(where, new)}"


def _value(where: str, value: Any) -> str:
    from srlm_data.analysis.lineage.gist import shortened

    if value is None:
        return "(none)"
    return _short(str(value)) if where.startswith("inputs.") else shortened(str(value), 60)


def _short(ref: str) -> str:
    name, at, version = ref.partition("@")
    return f"{name}{at}{version[:8]}"


def _rows(found: Diff) -> Iterator[str]:
    from srlm_data.analysis.lineage.gist import gist, shortened
    from srlm_data.cli.terminal import visible
    from srlm_data.core.schema import DATASET_TYPES

    rows, dataset_type = found.rows, DATASET_TYPES[found.before.type]
    yield f"\nrows, by {dataset_type.id}"
    yield (
        f"  {rows.same:,} the same, {rows.changed:,} changed, {rows.removed:,} removed, "
        f"{rows.added:,} added"
    )
    for name, count in rows.changed_columns.items():
        yield f"  {name} changed in {count:,}"
    for mark, what in (("-", "removed"), ("+", "added")):
        for row in rows.samples[what]:
            yield f"  {mark} {row[dataset_type.id][:8]}  {visible(gist(dataset_type.name, row))}"
    for row in rows.samples["changed"]:
        for name, (old, new) in ((name, row[name]) for name in row if name != dataset_type.id):
            told = f"{shortened(str(old), 40)} -> {shortened(str(new), 40)}"
            yield f"  ~ {row[dataset_type.id][:8]}  {name}: {visible(told)}"


def _figures(title: str, shifts: Mapping[str, Shift]) -> Iterator[str]:
    if not shifts:
        return
    yield f"\n{title:<24}{'rows':>19}{'mean':>19}{'median':>19}     KS        p"
    for name, one in shifts.items():
        chance = "       -" if one.p is None else f"{one.p:8.2g}"
        distance = "    -" if one.statistic is None else f"{one.statistic:5.3f}"
        yield (
            f"  {name:<22}{_pair(one.n, ',d')}{_pair(one.mean, '.2f')}{_pair(one.median, '.3g')}"
            f"  {distance} {chance}"
        )
        for value, counts in one.values.items():
            before, after = (c / n if n else None for c, n in zip(counts, one.n, strict=True))
            yield f"    {value:<20g}{_pair(counts, ',d')}{_pair((before, after), '.1%')}"


def _states(states: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    if states:
        yield "\nstates"
        yield from (f"  {state:<22}{_pair(counts, ',d')}" for state, counts in states.items())


def _agreement(one: Agreement) -> Iterator[str]:
    yield f"\njudges, on the {one.answers:,} answers that both have scored"
    if not one.answers:
        return
    yield f"  equal scores          {_figure(one.equal, '.1%')}"
    yield f"  at most a point apart {_figure(one.within_one, '.1%')}"
    yield f"  mean difference       {_figure(one.mean_difference, '+.3f')}"
    yield f"  Spearman              {_figure(one.spearman, '.3f')}"
    yield (
        f"  same order            {_figure(one.same_order, '.1%')}, opposite "
        f"{_figure(one.opposite_order, '.1%')}, of {one.ordered:,} pairs of answers to one prompt"
    )


def _preferences(one: Preferences) -> Iterator[str]:
    yield f"\npreferences, on the {one.prompts:,} prompts that have a pair in both"
    if one.prompts:
        yield (
            f"  {one.same:,} the same pair, {one.same_chosen:,} the same chosen answer, "
            f"{one.swapped:,} swapped"
        )


def _pair(sides: tuple[Any, Any], form: str) -> str:
    return f"{_figure(sides[0], form)} -> {_figure(sides[1], form)}".rjust(19)


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
