"""files of AlpacaEval -> metrics: judgments that were made elsewhere (paper, section 3.2).

AlpacaEval leaves ``model_outputs.json`` (``instruction``, ``output``, ``generator``) and
``annotations.json`` (``instruction``, ``generator_1`` the baseline, ``generator_2`` the model,
``preference``) for each model. A preference is between 1, the baseline is better, and 2, the model
is; 1.5 (and 0, in old files) is a draw; null, or any other number, is no judgment.
"""

from __future__ import annotations

import csv
import math
import statistics
from pathlib import Path
from typing import Annotated, Self, TypeVar

import numpy as np
import pydantic
from pydantic import Field, model_validator

from srlm_data.core.config import Config, Source
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Drops, Metrics, Rows
from srlm_data.core.schema import METRICS
from srlm_data.evaluation._bootstrap import Array, exact, metric
from srlm_data.evaluation._length_control import Annotated as Annotations
from srlm_data.evaluation._length_control import predict_at_equal_length


class _Output(pydantic.BaseModel):
    instruction: str
    output: str
    generator: str


class _Annotation(pydantic.BaseModel):
    instruction: str
    generator_1: str
    generator_2: str
    preference: float | None
    output_1: str | None = None
    output_2: str | None = None
    glm_preference: float | None = None


_Record = TypeVar("_Record")
_OUTPUTS = pydantic.TypeAdapter(Annotated[list[_Output], Field(min_length=1)])
_ANNOTATIONS = pydantic.TypeAdapter(Annotated[list[_Annotation], Field(min_length=1)])


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
        None, description="AlpacaEval's instruction_difficulty.csv; unset: those in 'baselines'."
    )

    @model_validator(mode="after")
    def _both_files(self) -> Self:
        if self.difficulties is not None and self.baselines is None:
            raise ValueError("'difficulties' and 'baselines' belong together: give both files")
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
    """
    outputs = _read(config.model_outputs.path, _OUTPUTS)
    annotations = _read(config.annotations.path, _ANNOTATIONS)
    where = config.annotations.path.name
    model = _only(where, {row.generator_2 for row in annotations})
    baseline = _only(where, {row.generator_1 for row in annotations})
    author = _only(config.model_outputs.path.name, {row.generator for row in outputs})
    if author != model:
        raise DataError(
            f"{where}: the annotations are of '{model}', the outputs of '{author}'. "
            "Give both files of one model."
        )
    missing = {row.instruction: row for row in annotations}
    for output in outputs:
        missing.pop(output.instruction, None)
    unknown = [
        instruction
        for instruction, row in missing.items()
        if row.output_2 or "output_2" not in row.model_fields_set
    ]
    if unknown:
        raise DataError(
            f"{where}: {len(unknown)} instructions have no output, such as "
            f"'{min(unknown)[:60]}'. Give the outputs that were annotated."
        )
    drops = Drops()
    shares = []
    for number, row in enumerate(annotations, 1):
        share = _share(row.preference)
        if not math.isnan(share):
            shares.append(share)
        else:
            absent = row.preference is None or math.isnan(row.preference)
            reason = "no_preference" if absent else "out_of_range"
            drops.add(reason, f"{where}: {number}", row.model_dump())
    if not shares:
        raise DataError(f"{where}: nothing was judged, found {dict(drops)}. Annotate it first.")
    if config.baselines is not None:
        controlled = _length_controlled(config, annotations)
    else:
        glm = [row.glm_preference for row in annotations]
        controlled = [value for value in glm if value is not None and not math.isnan(value)]
    columns: dict[str, float | None] = {
        "win_rate": 100 * statistics.fmean(shares),
        "standard_error": _standard_error(shares),
        "n_wins": sum(share > 0.5 for share in shares),
        "n_wins_base": sum(share < 0.5 for share in shares),
        "n_draws": sum(share == 0.5 for share in shares),
        "n_total": len(shares),
        "discrete_win_rate": 100 * statistics.fmean(np.sign(np.array(shares) - 0.5) / 2 + 0.5),
        "avg_length": sum(len(row.output) for row in outputs) // (len(outputs) + len(missing)),
    }
    if controlled:
        columns["length_controlled_winrate"] = 100 * statistics.fmean(controlled)
        columns["lc_standard_error"] = _standard_error(controlled)
    rows = [
        metric(model, baseline, f"leaderboard.{column}", exact(value, len(shares)))
        for column, value in columns.items()
    ]
    return Rows.stream(METRICS, rows, drops=drops)


def _length_controlled(config: ReadLeaderboard, annotations: list[_Annotation]) -> list[float]:
    """Return what AlpacaEval's regression predicts for each annotation at equal length."""
    assert config.baselines is not None
    where = config.annotations.path.name
    learned = ("preference", "std_delta_len", "instruction_difficulty")
    numbers, gamed = "index", _columns(config.baselines.path, ("index", *learned))
    table = gamed
    if config.difficulties is not None:
        numbers = ""  # pandas wrote the index without a name
        table = _columns(config.difficulties.path, (numbers, "instruction_difficulty"))
    known = dict(zip(map(int, table[numbers]), table["instruction_difficulty"], strict=True))
    difficulties = [known.get(number) for number in range(len(annotations))]
    if None in difficulties:
        raise DataError(
            f"{where}: {len(annotations)} annotations, and difficulties of {len(known)} "
            "instructions. Give the difficulties of the instructions that were annotated."
        )
    if any(None in (row.output_1, row.output_2) for row in annotations):
        raise DataError(
            f"{where}: an annotation has no 'output_1' or 'output_2', whose lengths are compared. "
            "Give a file that AlpacaEval wrote."
        )
    lengths = [len(row.output_1 or "") - len(row.output_2 or "") for row in annotations]
    shorter = np.array(lengths, float)
    spread = shorter.std(ddof=1) if len(shorter) > 1 else 0
    if not spread:
        raise DataError(
            f"{where}: all outputs differ from their baselines by the same length, so length "
            "explains nothing. Remove 'baselines'."
        )
    shares = np.array([_share(row.preference) for row in annotations], float)
    model = Annotations(shares, shorter / spread, np.array(difficulties, float))
    equal = predict_at_equal_length(model, Annotations(*(gamed[name] for name in learned)))
    return [float(value) for value in equal]


def _columns(file: Path, wanted: tuple[str, ...]) -> dict[str, Array]:
    """Return the wanted columns of a CSV file, as numbers."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
        return {column: np.array([float(row[column]) for row in rows]) for column in wanted}
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(
            f"{file.name}: expected columns of numbers {[name or 'the index' for name in wanted]}, "
            f"found '{error}'. Give the file that AlpacaEval publishes."
        ) from None


def _share(preference: float | None) -> float:
    """Return AlpacaEval's preference as a share from 0 to 1, NaN if there is none; 0 is a draw."""
    if preference is None or not (preference == 0 or 1 <= preference <= 2):
        return math.nan
    return 0.5 if preference == 0 else preference - 1


def _standard_error(values: list[float]) -> float | None:
    if len(values) < 2:
        return None
    return 100 * statistics.stdev(values) / math.sqrt(len(values))


def _read(file: Path, records: pydantic.TypeAdapter[list[_Record]]) -> list[_Record]:
    """Return the objects of a file."""
    try:
        return records.validate_json(file.read_bytes(), strict=True)
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False)[0]
    if fault["type"] == "json_invalid":
        sentence = f"it is not JSON, found '{fault['ctx']['error']}'"
    elif len(fault["loc"]) < 2:
        sentence = f"expected a list of objects, found {str(fault['input'])[:40]}"
    else:
        value = "" if fault["type"] == "missing" else f" {fault['input']!r:.40}"
        sentence = (
            f"entry {int(fault['loc'][0]) + 1} has '{fault['loc'][1]}'{value}: {fault['msg']}"
        )
    raise DataError(f"{file.name}: {sentence}. Give a file that AlpacaEval wrote.")


def _only(where: str, names: set[str]) -> str:
    if len(names) > 1:
        raise DataError(
            f"{where}: expected one model, found {sorted(names)[:5]}. Give one file a model."
        )
    return names.pop()
