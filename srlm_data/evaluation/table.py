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

# metric -> label, factor, decimals; in the order of the rows.
ROWS: Final = {
    "leaderboard.win_rate": ("AlpacaEval win %", 1, 2),
    "leaderboard.length_controlled_winrate": ("AlpacaEval length-controlled win %", 1, 2),
    "leaderboard.avg_length": ("AlpacaEval mean length", 1, 0),
    "pairwise_accuracy": ("pairwise accuracy %", 100, 1),
    "five_best": ("5-best %", 100, 1),
    "exact_match": ("exact match %", 100, 1),
    "spearman": ("Spearman", 1, 3),
    "kendall_tau": ("Kendall tau", 1, 3),
    "parse_rate": ("parsed judgments %", 100, 1),
    "unscored_replies": ("replies without a score %", 100, 1),
    "constant_scores": ("prompts of equal scores %", 100, 1),
    "mean_score": ("mean score", 1, 2),
    "modal_score": ("modal score", 1, 1),
    "modal_share": ("share of the modal score %", 100, 1),
    "human_agreement": ("agreement with people %", 100, 1),
    "human_accuracy": ("agreement where people prefer one %", 100, 1),
    "human_kappa": ("Cohen's kappa with people", 1, 3),
    "human_alpha": ("Krippendorff's alpha, judge and people", 1, 3),
    "people_alpha": ("Krippendorff's alpha, people alone", 1, 3),
    "labels": ("labels", 1, 0),
    "labels_wanted": ("more labels wanted", 1, 0),
    "answer_mean_score": ("answers: mean score", 1, 2),
    "answer_modal_score": ("answers: modal score", 1, 1),
    "answer_modal_share": ("answers: share of the modal score %", 100, 1),
    "characters": ("answers: characters", 1, 1),
    "words": ("answers: words", 1, 1),
    "tokens": ("answers: tokens", 1, 1),
    "cut_off": ("answers: cut off %", 100, 1),
    "distinct_1": ("answers: distinct-1", 1, 3),
    "distinct_2": ("answers: distinct-2", 1, 3),
    "identical_answers": ("answers: identical %", 100, 1),
}
DUEL: Final = {
    "wins": ("wins %", 100, 1),
    "ties": ("ties %", 100, 1),
    "losses": ("losses %", 100, 1),
    "win_rate": ("win rate %", 100, 1),
    "win_rate_at_equal_length": ("at equal length (estimate) %", 100, 1),
    "unjudged": ("unjudged %", 100, 1),
}


def paper_table(
    metrics: Iterable[Rows], names: Mapping[str, str], *, intervals: bool = True
) -> str:
    """The metrics as text: one column a model, then one line for every two models that met.

    Args:
        metrics: datasets of the dataset type ``metrics``.
        names: model digest -> the name to show, in the order of the columns. A model without a name
            comes after them, under what it is called, a digest under its first 12 characters.
        intervals: show the intervals, as ``[low, high]``.

    Raises:
        DataError: two rows give different figures for one metric of one model, so that the table
            cannot say which is meant.
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
    # A figure against a baseline elsewhere is the model's own, in a row for each baseline; only a
    # duel is between two columns.
    single = {key: row for key, row in cells.items() if key[2] not in DUEL}
    others = sorted(
        {name for _, _, name in single if name not in ROWS and not name.startswith("leaderboard.")}
    )
    rows = ROWS | {name: (name, 1, 3) for name in others}
    models = _in_order(names, {model for model, _, name in single if name in rows})
    main = [["", *(_label(names, model) for model in models)]]
    for name, form in rows.items():
        baselines = sorted({versus or "" for _, versus, of in single if of == name})
        for baseline in baselines:
            of = f" v {_label(names, baseline)}" if baseline and len(baselines) > 1 else ""
            figures = (
                _cell(single.get((model, baseline or None, name)), form, intervals)
                for model in models
            )
            main.append([form[0] + of, *figures])
    met = {(model, versus) for model, versus, name in cells if versus and name in DUEL}
    order = _in_order(names, {model for pair in met for model in pair})
    duels = [["head to head", *(form[0] for form in DUEL.values()), "prompts"]]
    for model, versus in sorted(met, key=lambda duel: (order.index(duel[1]), order.index(duel[0]))):
        judged = cells.get((model, versus, "win_rate"))
        duels.append(
            [
                f"{_label(names, model)} v {_label(names, versus)}",
                *(_cell(cells.get((model, versus, n)), f, intervals) for n, f in DUEL.items()),
                str(judged["n"]) if judged else "",
            ]
        )
    return "\n\n".join(_aligned(table) for table in (main, duels) if len(table) > 1)


def _in_order(names: Mapping[str, str], models: set[str]) -> list[str]:
    named = [model for model in names if model in models]
    return named + sorted(models.difference(names))


def _label(names: Mapping[str, str], model: str) -> str:
    is_digest = re.fullmatch(r"[0-9a-f]{16,}", model) is not None
    return names.get(model, model[:12] if is_digest else model)


def _cell(row: Mapping[str, Any] | None, form: tuple[str, int, int], intervals: bool) -> str:
    if row is None or row["value"] is None:
        return "-"
    _, factor, decimals = form
    value, low, high = (
        None if row[name] is None else f"{row[name] * factor:.{decimals}f}"
        for name in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}]" if intervals and low is not None else str(value)


def _aligned(table: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(map(str.rjust, row[1:], widths[1:]))]).rstrip()
        for row in table
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
