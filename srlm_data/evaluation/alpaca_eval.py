"""files of AlpacaEval -> metrics: judgments that were made elsewhere (paper, section 3.2).

AlpacaEval leaves ``model_outputs.json`` (``instruction``, ``output``, ``generator``) and
``annotations.json`` (``instruction``, ``generator_1`` the baseline, ``generator_2`` the model,
``preference``) for each model. A preference is between 1, the baseline is better, and 2, the model
is; 1.5 (and 0, in old files) is a draw; null, or any other number, is no judgment.
"""

from __future__ import annotations

import csv
import json
import math
import statistics
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from srlm_data.core.config import Config, Source
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Drops, Metrics, Rows
from srlm_data.core.schema import METRICS
from srlm_data.evaluation._bootstrap import exact, metric
from srlm_data.evaluation._length_control import Annotated, predict_at_equal_length


class ReadLeaderboard(Config):
    """Which files are read."""

    model_outputs: Source = Field(description="AlpacaEval's model_outputs.json of the model.")
    annotations: Source = Field(description="AlpacaEval's annotations.json of the same model.")
    baselines: Source | None = Field(
        None,
        description="AlpacaEval's df_gamed.csv: annotations of a baseline that writes more and one "
        "that writes less. With it the length-controlled win rate is computed.",
    )
    difficulties: Source | None = Field(
        None,
        description="AlpacaEval's instruction_difficulty.csv; unset: those in 'baselines'.",
    )

    @model_validator(mode="after")
    def _both_files(self) -> Self:
        if self.difficulties is not None and self.baselines is None:
            raise ValueError("'difficulties' is read with 'baselines': give both files")
        return self


def read_leaderboard(config: ReadLeaderboard) -> Metrics:
    """Compute the leaderboard's columns for one model from AlpacaEval's own files.

    Gives, for the model (``model``) against the baseline (``versus``), each named ``leaderboard.``
    and the leaderboard's column: ``win_rate``, ``standard_error`` and ``discrete_win_rate`` **in
    percent**, as the leaderboard shows them; ``n_wins``, ``n_wins_base``, ``n_draws``, ``n_total``;
    ``avg_length`` in whole characters, cut off, not rounded, where an instruction whose output is
    missing because it was empty counts as 0; and ``length_controlled_winrate`` in percent, with
    ``lc_standard_error``, where ``baselines`` are given (computed as AlpacaEval does, arXiv
    2404.04475, section 3) or the annotations carry its ``glm_preference``. The annotations must be
    in AlpacaEval's order, by which the difficulties are numbered.

    Drops: ``no_preference``, ``out_of_range`` (neither 0 nor between 1 and 2).

    Raises:
        DataError: a file is not such a list, the files are of different models, an annotation is of
            an instruction that the model did not answer, or nothing was judged.
        MissingError: ``baselines`` are given, and scikit-learn is not installed.
    """
    outputs = _records(config.model_outputs.path, ("instruction", "output", "generator"))
    texts = ("instruction", "generator_1", "generator_2")
    annotations = _records(config.annotations.path, texts, "preference")
    where = config.annotations.path.name
    model, baseline = (_only(where, annotations, side) for side in ("generator_2", "generator_1"))
    author = _only(config.model_outputs.path.name, outputs, "generator")
    if author != model:
        raise DataError(
            f"{where}: the annotations are of '{model}', the outputs of '{author}'. "
            "Give both files of one model."
        )
    answered = {row["instruction"] for row in outputs}
    missing = [row for row in annotations if row["instruction"] not in answered]
    unknown = {row["instruction"] for row in missing if row.get("output_2", "unknown")}
    lengths = [len(row["output"]) for row in outputs]
    lengths += [0] * len({row["instruction"] for row in missing})
    if unknown:
        raise DataError(
            f"{where}: {len(unknown)} instructions have no output, such as "
            f"'{min(unknown)[:60]}'. Give the outputs that were annotated."
        )
    drops = Drops()
    preferences = []
    for number, row in enumerate(annotations, 1):
        preference = _number(where, number, row, "preference")
        share = _share(preference)
        if not math.isnan(share):
            preferences.append(share)
        else:
            reason = "no_preference" if preference is None else "out_of_range"
            drops.add(reason, f"{where}: {number}", row)
    if not preferences:
        raise DataError(f"{where}: nothing was judged, found {dict(drops)}. Annotate it first.")
    if config.baselines is not None:
        controlled = _length_controlled(config, annotations)
    else:
        found = [_number(where, n, row, "glm_preference") for n, row in enumerate(annotations, 1)]
        controlled = [value for value in found if value is not None]
    total = len(preferences)
    columns: dict[str, float | None] = {
        "win_rate": 100 * statistics.fmean(preferences),
        "standard_error": _standard_error(preferences),
        "n_wins": sum(preference > 0.5 for preference in preferences),
        "n_wins_base": sum(preference < 0.5 for preference in preferences),
        "n_draws": sum(preference == 0.5 for preference in preferences),
        "n_total": total,
        "discrete_win_rate": 100 * statistics.fmean(map(_discrete, preferences)),
        "avg_length": int(statistics.fmean(lengths)),
    }
    if controlled:
        columns["length_controlled_winrate"] = 100 * statistics.fmean(controlled)
        columns["lc_standard_error"] = _standard_error(controlled)
    rows = [
        metric(model, baseline, f"leaderboard.{column}", exact(value, total))
        for column, value in columns.items()
    ]
    return Rows.stream(METRICS, rows, drops=drops)


def _length_controlled(config: ReadLeaderboard, annotations: list[dict[str, Any]]) -> list[float]:
    """What AlpacaEval's regression predicts for each annotation at equal length."""
    gamed, difficulties = _gamed(config)
    where = config.annotations.path.name
    texts = [
        [_text(where, number, row, key) for key in ("output_1", "output_2")]
        for number, row in enumerate(annotations, 1)
    ]
    if not set(range(len(texts))) <= difficulties.keys():
        raise DataError(
            f"{where}: {len(texts)} annotations, and difficulties of {len(difficulties)} "
            "instructions. Give the difficulties of the instructions that were annotated."
        )
    shorter = np.array([len(first) - len(second) for first, second in texts], float)
    spread = shorter.std(ddof=1) if len(shorter) > 1 else 0
    if not spread:
        raise DataError(
            f"{where}: all outputs are as much longer as one another, so their length explains "
            "nothing. Leave out 'baselines'."
        )
    preferences = np.array([_share(row["preference"]) for row in annotations], float)
    model = Annotated(
        preferences, shorter / spread, np.array([difficulties[n] for n in range(len(texts))], float)
    )
    return [float(value) for value in predict_at_equal_length(model, gamed)]


def _gamed(config: ReadLeaderboard) -> tuple[Annotated, dict[int, float]]:
    """The annotations of the gamed baselines, and the difficulty of each instruction."""
    assert config.baselines is not None
    wanted = ("preference", "index", "std_delta_len", "instruction_difficulty")
    table = _columns(config.baselines.path, wanted)
    numbers = [int(number) for number in table["index"]]
    difficulties = dict(
        zip(reversed(numbers), reversed(table["instruction_difficulty"]), strict=True)
    )
    if config.difficulties is not None:
        of_instructions = _columns(config.difficulties.path, ("", "instruction_difficulty"))
        numbered = zip(of_instructions[""], of_instructions["instruction_difficulty"], strict=True)
        difficulties = {int(number): difficulty for number, difficulty in numbered}
    columns = (table["preference"], table["std_delta_len"], table["instruction_difficulty"])
    return Annotated(*(np.array(column, float) for column in columns)), difficulties


def _columns(file: Path, wanted: tuple[str, ...]) -> dict[str, list[float]]:
    """Some columns of numbers of a CSV file."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
        return {column: [float(row[column]) for row in rows] for column in wanted}
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(
            f"{file.name}: columns of numbers {[name or 'the index' for name in wanted]} are "
            f"wanted, found '{error}'. Give the file that AlpacaEval publishes."
        ) from None


def _share(preference: float | None) -> float:
    """A preference from 0 to 1, NaN where nothing was preferred; 0 is a draw."""
    if preference is None or not (preference == 0 or 1 <= preference <= 2):
        return math.nan
    return 0.5 if preference == 0 else preference - 1


def _standard_error(values: list[float]) -> float | None:
    if len(values) < 2:
        return None
    return 100 * statistics.stdev(values) / math.sqrt(len(values))


def _discrete(preference: float) -> float:
    return preference if preference == 0.5 else float(preference > 0.5)


def _records(file: Path, texts: tuple[str, ...], *others: str) -> list[dict[str, Any]]:
    """The objects of a file, each with some texts and some other fields."""
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
        missing = [
            key for key in (*texts, *others) if not isinstance(record, dict) or key not in record
        ]
        if missing:
            raise DataError(
                f"{file.name}: entry {number} has no {missing}. Give a file that AlpacaEval wrote."
            )
        for key in texts:
            _text(file.name, number, record, key)
    return records


def _text(where: str, position: int, record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise DataError(
            f"{where}: entry {position} has '{key}' {str(value)[:40]}, a text is wanted. "
            "Give a file that AlpacaEval wrote."
        )
    return value


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
