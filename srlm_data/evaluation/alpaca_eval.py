"""files of AlpacaEval -> metrics: judgments that were made elsewhere (paper, section 3.2).

AlpacaEval leaves ``model_outputs.json`` (``instruction``, ``output``, ``generator``) and
``annotations.json`` (``instruction``, ``generator_1`` the baseline, ``generator_2`` the model,
``preference``) for each model. A preference is between 1, the baseline is better, and 2, the model
is; 1.5 (and 0, in old files) is a draw; null, or any other number, is no judgment.
"""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

from pydantic import Field

from srlm_data.core.config import Config, Source
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Drops, Metrics, Rows
from srlm_data.core.schema import METRICS
from srlm_data.evaluation._bootstrap import exact, metric


class ReadLeaderboard(Config):
    """Which files are read."""

    model_outputs: Source = Field(description="AlpacaEval's model_outputs.json of the model.")
    annotations: Source = Field(description="AlpacaEval's annotations.json of the same model.")


def read_leaderboard(config: ReadLeaderboard) -> Metrics:
    """Compute the leaderboard's columns for one model from AlpacaEval's own files.

    Gives, for the model (``model``) against the baseline (``versus``), each named ``leaderboard.``
    and the leaderboard's column: ``win_rate``, ``standard_error`` and ``discrete_win_rate`` **in
    percent**, as the leaderboard shows them; ``n_wins``, ``n_wins_base``, ``n_draws``, ``n_total``;
    ``avg_length`` in whole characters, cut off, not rounded; and ``length_controlled_winrate`` in
    percent where the annotations carry the leaderboard's own ``glm_preference``.

    Drops: ``no_preference``, ``out_of_range`` (neither 0 nor between 1 and 2).

    Raises:
        DataError: a file is not such a list, the files are of different models, an annotation is of
            an instruction that the model did not answer, or nothing was judged.
    """
    outputs = _records(config.model_outputs.path, ("instruction", "output", "generator"))
    wanted = ("instruction", "generator_1", "generator_2", "preference")
    annotations = _records(config.annotations.path, wanted)
    where = config.annotations.path.name
    model, baseline = (_only(where, annotations, side) for side in ("generator_2", "generator_1"))
    author = _only(config.model_outputs.path.name, outputs, "generator")
    if author != model:
        raise DataError(
            f"{where}: the annotations are of '{model}', the outputs of '{author}'. "
            "Give both files of one model."
        )
    unknown = {row["instruction"] for row in annotations} - {row["instruction"] for row in outputs}
    if unknown:
        raise DataError(
            f"{where}: {len(unknown)} instructions have no output, such as "
            f"'{min(unknown)[:60]}'. Give the outputs that were annotated."
        )
    drops = Drops()
    preferences = []
    for number, row in enumerate(annotations, 1):
        preference = _number(where, number, row, "preference")
        if preference is None:
            drops.add("no_preference", f"{where}: {number}", row)
        elif preference == 0:
            preferences.append(0.5)
        elif 1 <= preference <= 2:
            preferences.append(preference - 1)
        else:
            drops.add("out_of_range", f"{where}: {number}", row)
    if not preferences:
        raise DataError(f"{where}: nothing was judged, found {dict(drops)}. Annotate it first.")
    controlled = [_number(where, n, row, "glm_preference") for n, row in enumerate(annotations, 1)]
    known = [value for value in controlled if value is not None]
    total = len(preferences)
    columns: dict[str, float | None] = {
        "win_rate": 100 * statistics.fmean(preferences),
        "standard_error": (
            100 * statistics.stdev(preferences) / math.sqrt(total) if total > 1 else None
        ),
        "n_wins": sum(preference > 0.5 for preference in preferences),
        "n_wins_base": sum(preference < 0.5 for preference in preferences),
        "n_draws": sum(preference == 0.5 for preference in preferences),
        "n_total": total,
        "discrete_win_rate": 100 * statistics.fmean(map(_discrete, preferences)),
        "avg_length": int(statistics.fmean(len(row["output"]) for row in outputs)),
        **({"length_controlled_winrate": 100 * statistics.fmean(known)} if known else {}),
    }
    rows = [
        metric(model, baseline, f"leaderboard.{column}", exact(value, total))
        for column, value in columns.items()
    ]
    return Rows.stream(METRICS, rows, drops=drops)


def _discrete(preference: float) -> float:
    return preference if preference == 0.5 else float(preference > 0.5)


def _records(file: Path, wanted: tuple[str, ...]) -> list[dict[str, Any]]:
    try:
        records = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file.name}: it is not JSON, found '{error}'. Give a file that AlpacaEval wrote."
        ) from None
    if not isinstance(records, list) or not records:
        raise DataError(
            f"{file.name}: a list of objects is wanted, found {str(records)[:40]}. "
            "Give a file that AlpacaEval wrote."
        )
    for number, record in enumerate(records, 1):
        missing = [key for key in wanted if not isinstance(record, dict) or key not in record]
        if missing:
            raise DataError(
                f"{file.name}: entry {number} has no {missing}. Give a file that AlpacaEval wrote."
            )
    return records


def _only(where: str, records: list[dict[str, Any]], key: str) -> str:
    found = sorted({str(record[key]) for record in records})
    if len(found) > 1:
        raise DataError(
            f"{where}: '{key}' must be one model, found {found[:5]}. Give one file a model."
        )
    return found[0]


def _number(where: str, position: int, record: dict[str, Any], key: str) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(
            f"{where}: entry {position} has '{key}' {value!r}, a number or null is wanted. "
            "Give a file that AlpacaEval wrote."
        )
    return None if math.isnan(value) else float(value)
