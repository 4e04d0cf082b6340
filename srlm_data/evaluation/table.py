"""One table in the form of the paper's: the models in columns, the metrics in rows.

Reads rows of the dataset type ``metrics`` and nothing else, so it shows the figures of any step, a
user's own among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from srlm_data.core.errors import DataError
from srlm_data.core.rows import Rows
from srlm_data.core.yaml_data import data_beside

_FORMS: Final[dict[str, dict[str, tuple[str, int, int]]]] = data_beside(__file__, "table.yaml")
ROWS, DUEL = _FORMS["rows"], _FORMS["duel"]
"""Metric -> label, factor, decimals; of one model, and of two."""


def paper_table(metrics: Iterable[Rows], names: Mapping[str, str]) -> str:
    """The metrics as text: one column a model, then one line for every two models that met.

    Args:
        metrics: datasets of the dataset type ``metrics``.
        names: model digest -> the name to show, in the order of the columns. A model without a name
            comes after them, under what it is called, a digest under its first 12 characters.
    """
    cells: dict[tuple[str, str | None, str], dict[str, Any]] = {}
    for dataset in metrics:
        for row in dataset.dicts():
            key = (row["model"], row["versus"], row["metric"])
            if cells.setdefault(key, row) != row:
                raise DataError(
                    f"evaluation table: '{row['metric']}' of '{_label(names, row['model'])}' has "
                    f"two figures, found {cells[key]['value']} and {row['value']}. "
                    "Show one dataset of each kind."
                )
    # A figure against an outside baseline is the model's own, in a row per baseline; only the duel
    # metrics are between two columns.
    single = {key: row for key, row in cells.items() if key[2] not in DUEL}
    others = sorted({name for *_, name in single if not name.startswith("leaderboard.")})
    rows = {name: (name, 1, 3) for name in others} | ROWS
    rows = {name: rows[name] for name in (*ROWS, *rows)}
    models = _in_order(names, {model for model, _, name in single if name in rows})
    main = [["", *(_label(names, model) for model in models)]]
    for name, form in rows.items():
        baselines = sorted({versus or "" for _, versus, of in single if of == name})
        for baseline in baselines:
            of = f" v {_label(names, baseline)}" if baseline and len(baselines) > 1 else ""
            shown = (single.get((model, baseline or None, name)) for model in models)
            main.append([form[0] + of, *(_cell(row, form) for row in shown)])
    met = {(model, versus) for model, versus, name in cells if versus and name in DUEL}
    order = _in_order(names, {model for pair in met for model in pair})
    duels = [["head to head", *(form[0] for form in DUEL.values()), "prompts"]]
    for model, versus in sorted(met, key=lambda duel: (order.index(duel[1]), order.index(duel[0]))):
        judged = cells.get((model, versus, "win_rate"))
        shares = (_cell(cells.get((model, versus, n)), f) for n, f in DUEL.items())
        label = f"{_label(names, model)} v {_label(names, versus)}"
        duels.append([label, *shares, str(judged["n"]) if judged else ""])
    return "\n\n".join(_aligned(table) for table in (main, duels) if len(table) > 1)


def _in_order(names: Mapping[str, str], models: set[str]) -> list[str]:
    named = [model for model in names if model in models]
    return named + sorted(models.difference(names))


def _label(names: Mapping[str, str], model: str) -> str:
    is_digest = re.fullmatch(r"[0-9a-f]{16,}", model) is not None
    return names.get(model, model[:12] if is_digest else model)


def _cell(row: Mapping[str, Any] | None, form: tuple[str, int, int]) -> str:
    if row is None or row["value"] is None:
        return "-"
    _, factor, decimals = form
    value, low, high = (
        "" if row[name] is None else f"{row[name] * factor:.{decimals}f}"
        for name in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}]" if low else value


def _aligned(table: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(map(str.rjust, row[1:], widths[1:]))]).rstrip()
        for row in table
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
