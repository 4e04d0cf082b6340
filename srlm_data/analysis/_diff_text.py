"""Format a diff as text, for a terminal or a notebook."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from srlm_data.analysis.lineage.gist import gist, short, shortened
from srlm_data.core.schema import DATASET_TYPES

if TYPE_CHECKING:
    from srlm_data.analysis._diff import Cause, Diff
    from srlm_data.analysis._distribution_diff import Agreement, DistributionDiff, Preferences


def lines_of(diff: Diff) -> Iterator[str]:
    """Yield the text line by line; texts of rows are not escaped."""
    for side in (diff.before, diff.after):
        yield f"{side.ref}  {side.counted}"
    if diff.equal:
        yield "the rows are the same"
    if diff.causes:
        yield "\nwhy"
        for cause in diff.causes:
            yield from _cause(cause)
    if diff.environment:
        yield "\nmade with (which decides no row)"
        yield from _changes(diff.environment, "  ")
    if diff.columns:
        yield "\ncolumns"
        yield from _changes(diff.columns, "  ")
    if diff.equal:
        return
    yield from _rows(diff)
    yield from _distributions("scores", diff.scores)
    yield from _states(diff.states)
    yield from _distributions("lengths, in characters", diff.lengths)
    if diff.agreement:
        yield from _agreement(diff.agreement)
    if diff.preferences:
        yield from _preferences(diff.preferences)


def _cause(cause: Cause) -> Iterator[str]:
    if cause.parameters:
        way = ", which read ".join(cause.parameters)
        yield f"  read {way}: {short(cause.before)} -> {short(cause.after)}"
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
    if value is None:
        return "(none)"
    return short(str(value)) if where.startswith("inputs.") else shortened(str(value), 60)


def _rows(diff: Diff) -> Iterator[str]:
    rows, dataset_type = diff.rows, DATASET_TYPES[diff.before.type]
    yield f"\nrows, by {dataset_type.id}"
    yield (
        f"  {rows.same:,} the same, {rows.changed:,} changed, {rows.removed:,} removed, "
        f"{rows.added:,} added"
    )
    for name, count in rows.changed_columns.items():
        yield f"  {name} changed in {count:,}"
    for mark, what in (("-", "removed"), ("+", "added")):
        for row in rows.samples[what]:
            yield f"  {mark} {row[dataset_type.id][:8]}  {gist(dataset_type.name, row)}"
    for row in rows.samples["changed"]:
        for name, (old, new) in ((name, row[name]) for name in row if name != dataset_type.id):
            change = f"{shortened(str(old), 40)} -> {shortened(str(new), 40)}"
            yield f"  ~ {row[dataset_type.id][:8]}  {name}: {change}"


def _distributions(title: str, distributions: Mapping[str, DistributionDiff]) -> Iterator[str]:
    if not distributions:
        return
    yield f"\n{title:<24}{'rows':>19}{'mean':>19}{'median':>19}     KS        p"
    for name, diff in distributions.items():
        chance = "       -" if diff.p is None else f"{diff.p:8.2g}"
        distance = "    -" if diff.statistic is None else f"{diff.statistic:5.3f}"
        sides = _pair(diff.n, ",d") + _pair(diff.mean, ".2f") + _pair(diff.median, ".3g")
        yield f"  {name:<22}{sides}  {distance} {chance}"
        for value, counts in diff.values.items():
            before, after = (c / n if n else None for c, n in zip(counts, diff.n, strict=True))
            yield f"    {value:<20g}{_pair(counts, ',d')}{_pair((before, after), '.1%')}"


def _states(states: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    if states:
        yield "\nstates"
        yield from (f"  {state:<22}{_pair(counts, ',d')}" for state, counts in states.items())


def _agreement(agreement: Agreement) -> Iterator[str]:
    yield f"\njudges, on the {agreement.answers:,} answers that both have scored"
    if not agreement.answers:
        return
    yield f"  equal scores          {_figure(agreement.equal, '.1%')}"
    yield f"  at most a point apart {_figure(agreement.within_one, '.1%')}"
    yield f"  mean difference       {_figure(agreement.mean_difference, '+.3f')}"
    yield f"  Spearman              {_figure(agreement.spearman, '.3f')}"
    yield (
        f"  same order            {_figure(agreement.same_order, '.1%')}, opposite "
        f"{_figure(agreement.opposite_order, '.1%')}, of {agreement.ordered:,} pairs of answers "
        "to one prompt"
    )


def _preferences(preferences: Preferences) -> Iterator[str]:
    yield f"\npreferences, on the {preferences.prompts:,} prompts that have a pair in both"
    if preferences.prompts:
        yield (
            f"  {preferences.same:,} the same pair, {preferences.same_chosen:,} the same chosen "
            f"answer, {preferences.swapped:,} swapped"
        )


def _pair(sides: tuple[Any, Any], form: str) -> str:
    return f"{_figure(sides[0], form)} -> {_figure(sides[1], form)}".rjust(19)


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
