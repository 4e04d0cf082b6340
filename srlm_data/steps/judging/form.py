"""How a judge is declared: what it is shown, on which scale it scores, and how it is read.

A judge stands in the recipe's step or in a file of its own (``judge: helpful.yaml``). Its texts and
numbers are identity, its file's name is not.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import duckdb
from pydantic import Field, ValidationInfo, field_validator, model_validator

from srlm_data.core import filesystem, templates, yaml_lines
from srlm_data.core.config import Config, Runtime, Template, base_folder, fills
from srlm_data.core.errors import DataError, RecipeError
from srlm_data.core.ids import row_id
from srlm_data.core.messages import render
from srlm_data.core.scale import POINTS, Scale
from srlm_data.core.schema import CANDIDATES
from srlm_data.steps.judging._guides import lines_of, object_of
from srlm_data.steps.judging.texts import Reading, read_choice, read_match, read_score

_NEEDS: Final = ("prompt", "response")
"""Columns that every judge is shown; other columns of the candidates are optional."""

_JudgeTemplate = Annotated[
    Template,
    fills("a judge", *_NEEDS, optional=[n for n in CANDIDATES.schema.names if n not in _NEEDS]),
]


class Criterion(Config):
    """What one of several scores is of."""

    name: str = Field(pattern=r"\pL", description="In letters; its score is read after it.")
    weight: float = Field(1, gt=0, description="Weight of the score in the mean.")


class JudgePrompt(Config):
    """What a judge is shown: what a step has that must know how judgments were asked for."""

    judge: Annotated[str | None, Runtime()] = Field(
        None, description="A YAML file beside the recipe with these settings of the judge."
    )
    template: _JudgeTemplate = Field(
        default="judge",
        validate_default=True,
        description="Prompt of the judge, with {prompt} and {response}, and optionally "
        "{reference}, {rubric} and other columns of the candidates.",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_file(cls, values: Any, info: ValidationInfo) -> Any:
        """Return the settings with those of the judge's own file, where one is named."""
        if not isinstance(values, Mapping) or values.get("judge") is None:
            return values
        settings = _read(base_folder(info), values["judge"])
        own = JudgeForm.model_fields.keys() - {"judge"}
        unknown = sorted(settings.keys() - own)
        twice = sorted(settings.keys() & values.keys())
        if unknown or twice:
            names = ", ".join(unknown or twice)
            why = "no setting of a judge" if unknown else "set in the recipe too"
            raise ValueError(f"judge '{values['judge']}': {why}: {names}")
        known = {name: settings[name] for name in settings if name in cls.model_fields}
        return {**known, **values}

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of the candidates that the template shows, besides prompt and response."""
        return tuple(sorted(self.template.placeholders - set(_NEEDS)))

    @property
    def shown(self) -> str:
        """The columns that :meth:`fill` reads, as SQL lists them."""
        return ", ".join(f"candidates.{name}" for name in (*_NEEDS, *self.columns))

    def lacks(self, row: Mapping[str, Any]) -> str | None:
        """The first column that the template shows and that is empty; None where there is none."""
        return next((name for name in self.columns if row[name] is None), None)

    def fill(self, row: Mapping[str, Any]) -> str:
        """The judge's prompt for a candidate, of which no column that it shows is empty."""
        shown = {name: str(row[name]) for name in self.columns}
        return self.template.fill(prompt=render(row["prompt"]), response=row["response"], **shown)

    def check_judgments(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Refuse the view ``judgments`` where another template made some of them."""
        wanted = row_id(self.template.text)
        query = "SELECT DISTINCT template FROM judgments WHERE template IS DISTINCT FROM $wanted"
        if others := connection.sql(query, params={"wanted": wanted}).fetchall():
            raise DataError(
                f"judgments: they must be made with the template '{self.template.name}' "
                f"({wanted}), found {[name for (name,) in others]}. Name the template of the judge "
                "step here too."
            )


class JudgeForm(JudgePrompt):
    """What a judge is shown, and how its text becomes scores."""

    scale: tuple[float, float] = Field(
        (POINTS.low, POINTS.high),
        description="Lowest and highest score (paper: 0 and 5); fractions are allowed.",
    )
    criteria: tuple[Criterion, ...] = Field(
        (), description="Names of several scores in one judgment, or names with weights."
    )
    combine: Literal["mean", "min", "max"] = Field(
        "mean", description="How the criteria's scores become one: weighted mean, min or max."
    )
    reader: Literal["line", "json", "regex", "choice"] = Field(
        "line",
        description="How a judgment is parsed: line (a score after its word), json (a field of an "
        "object), regex (the last match), choice (one of a set of words).",
    )
    field: str = Field("score", description="With json and no criteria: the field of the score.")
    regex: str | None = Field(
        None,
        description="With regex: the score is its group 'score', its first group or the match; "
        "with criteria, a group per name.",
    )
    choices: dict[str, float] = Field(
        default_factory=dict, description="With choice: the words and their scores."
    )

    @field_validator("criteria", mode="before")
    @classmethod
    def _of_names(cls, value: Any) -> Any:
        """Return criteria given as a list of names, or as names with weights, as mappings."""
        if isinstance(value, Mapping):
            return [{"name": name, "weight": weight} for name, weight in value.items()]
        if isinstance(value, list | tuple):
            return [{"name": each} if isinstance(each, str) else each for each in value]
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.on.low >= self.on.high:
            raise ValueError(f"the lower end of a scale must come first, found {list(self.scale)}")
        if self.template.name in templates.shipped() and (self.criteria or self.on != POINTS):
            raise ValueError(
                f"the shipped template '{self.template.name}' asks for one score of {POINTS}: "
                "'scale' and 'criteria' need a template of your own"
            )
        names = [criterion.name.lower() for criterion in self.criteria]
        if len(set(names)) < len(names):
            raise ValueError(f"criteria must have different names, found {names}")
        for reader, setting in (("regex", self.regex), ("choice", self.choices)):
            if (self.reader == reader) != bool(setting):
                name = "regex" if reader == "regex" else "choices"
                raise ValueError(f"'{name}' and 'reader: {reader}' belong together")
        if self.field != "score" and (self.reader != "json" or self.criteria):
            raise ValueError("'field' and 'reader: json' without criteria belong together")
        if self.reader == "choice":
            if self.criteria:
                raise ValueError("a choice is one score: 'criteria' need another reader")
            low, high = self.on
            words = {word.strip().casefold() for word in self.choices}
            if "" in words or len(words) < len(self.choices):
                raise ValueError(f"choices differ only in case, found {list(self.choices)}")
            off = [word for word, score in self.choices.items() if not low <= score <= high]
            if off:
                raise ValueError(f"choices with a score outside the scale {self.on}: {off}")
        if self.regex is not None:
            _compile(self.regex, [criterion.name for criterion in self.criteria])
        return self

    @functools.cached_property
    def on(self) -> Scale:
        """The scale of the scores."""
        return Scale(*self.scale)

    def read(self, text: str, finish_reason: str) -> list[tuple[str | None, Reading]]:
        """What is read from a judgment: the whole of it first, then criterion by criterion."""
        if not self.criteria:
            return [(None, self._read(text, finish_reason, None))]
        parts = [
            (criterion.name, self._read(text, finish_reason, criterion.name))
            for criterion in self.criteria
        ]
        return [(None, self._combine([reading for _, reading in parts])), *parts]

    def _read(self, text: str, finish_reason: str, name: str | None) -> Reading:
        if self.reader == "choice":
            return read_choice(text, finish_reason, self.choices)
        if self.reader == "regex":
            return read_match(text, finish_reason, str(self.regex), self.on, name)
        if self.reader == "json":
            field = name or self.field
            return read_score(text, finish_reason, self.on, field, keys_only=True)
        return read_score(text, finish_reason, self.on, name)

    def _combine(self, readings: Sequence[Reading]) -> Reading:
        """Return one score made of several; none where one of them is missing."""
        for criterion, reading in zip(self.criteria, readings, strict=True):
            if reading.score is None:
                return Reading(reading.state, None, f"{criterion.name}: {reading.why}")
        scores = [float(reading.score or 0) for reading in readings]
        if self.combine == "mean":
            weights = [criterion.weight for criterion in self.criteria]
            total = sum(score * weight for score, weight in zip(scores, weights, strict=True))
            score = round(total / sum(weights), 9)
        else:
            score = min(scores) if self.combine == "min" else max(scores)
        return Reading("parsed", score, f"the {self.combine} of {len(scores)} criteria")

    def constraint(self, max_tokens: int) -> dict[str, Any]:
        """Return the constraint of guided judgments, as arguments of ``SamplingConfig.sampling``.

        It allows what the reader parses: a JSON object; one of the choices; or lines of reasons
        followed by the score, the scores of the criteria, or a match of ``regex``. A reason in
        JSON has at most as many characters as tokens remain beside the rest of the object: a small
        model may not stop by itself, and the score must still come.

        A change here must bump the revision of ``Judge``: no setting of a version records it.
        """
        names = [criterion.name for criterion in self.criteria]
        if self.reader == "json":
            return {"json_schema": object_of(names or [self.field], self.on, max_tokens)}
        if self.reader == "choice":
            return {"pattern": f"({'|'.join(map(re.escape, self.choices))})"}
        if self.reader == "regex":
            own = re.sub(r"\(\?P<\w+>", "(?:", str(self.regex))  # not all engines allow names
            return {"pattern": rf"([^\n]+\n\n?)+({own})"}
        return {"pattern": lines_of(names or ["Score"], self.on)}


def _read(base: Path, name: object) -> dict[str, Any]:
    """Return the settings in a judge's file; its template is looked up beside it."""
    path = base / str(name)
    try:
        settings = yaml_lines.parse(path, filesystem.read_text(path)).data
    except ValueError as error:
        raise ValueError(f"judge '{name}': cannot be read, found '{error}'") from None
    except RecipeError as error:
        raise ValueError(f"judge {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"judge '{name}': expected a mapping of settings")
    template = settings.get("template")
    if isinstance(template, str) and template not in templates.shipped():
        settings["template"] = str((path.parent / template).resolve())
    return settings


def _compile(regex: str, criteria: Sequence[str]) -> None:
    try:
        groups = re.compile(regex).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"'regex' is not a regular expression, found '{error}'") from None
    if missing := [name for name in criteria if name not in groups]:
        raise ValueError(f"'regex' lacks the groups of the criteria {missing}: (?P<name>...)")
