"""The cost estimate of a plan: calls of models, tokens read and tokens written.

Tokens are measured where possible: an answer is taken to have as many as in an earlier version of
the dataset, or of another one that the same step made, scaled by how long the prompts are now. Only
where there is no such version are they guessed, from the length of templates and texts and from the
longest answer that is allowed. The bounds in the plan itself are not changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from srlm_data.core import database
from srlm_data.core.config import Lengths
from srlm_data.core.schema import DATASET_TYPES, DatasetType
from srlm_data.engines.sampling import SamplingConfig
from srlm_data.pipeline.plan import Estimate, Planned
from srlm_data.pipeline.recipe import Key
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph

CHARACTERS_PER_TOKEN: Final = 4.0
"""For English text; used where the store has no version to measure."""

_SAMPLE: Final = 2048
"""Rows to measure texts in. Versions are sorted by id, a hash: the first rows are fair samples."""


_NOTHING: Final = Estimate(calls=0.0, prompt_tokens=0.0, completion_tokens=0.0)
"""The estimate of a dataset that is built already."""


def estimate(planned: Iterable[Planned], store: Store) -> list[Planned]:
    """Return a plan with an estimate of every dataset in it."""
    estimator = _Estimator(store)
    return [replace(each, estimate=estimator.estimate(each)) for each in planned]


@dataclass
class _Estimator:
    """Estimates a plan in order, and remembers the rows of each dataset and their length."""

    store: Store
    rows: dict[Key, float | None] = field(default_factory=dict)
    texts: dict[Key, Manifest | Lengths | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._graph = Graph(self.store)
        self._latest = self.store.latest()
        self._latest.sort(key=lambda manifest: str(manifest.provenance.get("at")), reverse=True)

    def estimate(self, planned: Planned) -> Estimate:
        """Return the estimate of a dataset whose inputs have been estimated."""
        key = planned.dataset.key
        if planned.manifest and not planned.is_missing:
            self.rows[key], self.texts[key] = planned.manifest.rows, planned.manifest
            return _NOTHING
        before = self._before(planned)
        if planned.dataset.engine:
            estimated = self._of_model(planned, before)
        else:
            estimated = Estimate(self._rows(planned, before))
        self.rows[key] = estimated.rows
        self.texts[key] = self._texts(planned, before, estimated)
        price = planned.dataset.engine.price if planned.dataset.engine else None
        read, written = estimated.prompt_tokens, estimated.completion_tokens
        if price and read is not None and written is not None:
            return replace(estimated, money=price.of(read, written))
        return estimated

    def _before(self, planned: Planned) -> Manifest | None:
        """Return the version to measure: the dataset's latest, else the latest of its step."""
        step, name = planned.dataset.step, planned.dataset.name
        alike = [
            version
            for version in self._latest
            if version.rows and version.identity.get("step") == step.name
        ]
        if not planned.dataset.engine:  # other datasets of, say, a SQL step are unrelated
            return next((version for version in alike if version.name == name), None)
        answered = filter(_answers, alike)
        return min(answered, key=lambda version: version.name != name, default=None)

    def _rows(self, planned: Planned, before: Manifest | None) -> float | None:
        """Return the estimated rows of a step that asks no model."""
        counts = self._counts(planned)
        expected = planned.dataset.config.expected(counts).rows
        if planned.dataset.step.name == "limit":
            return expected
        first = next(iter(counts.values()), None)
        parents = self._parents(before)
        if before and parents and first is not None:
            was = parents[0][1].rows
            return before.rows * first / was if was else None
        if expected is None:
            return before.rows if before and not counts else first
        return expected

    def _counts(self, planned: Planned) -> dict[str, int | None]:
        rows = {name: self.rows.get(read.key) for name, read in planned.dataset.inputs.items()}
        return {name: None if count is None else round(count) for name, count in rows.items()}

    def _of_model(self, planned: Planned, before: Manifest | None) -> Estimate:
        config = planned.dataset.config
        expected = config.expected(self._counts(planned))
        if expected.calls is None or expected.rows is None:
            return Estimate()
        calls, rows = float(expected.calls), float(expected.rows)
        if before and config.calls_are_fewest:
            calls *= max(1.0, _answers(before) / before.rows)
        elif before:
            rows = min(rows, calls * before.rows / _answers(before))
        if planned.action == "retry" and planned.manifest:
            calls = float(planned.manifest.failed)
        characters = config.prompt_characters(self._lengths(planned))
        most = config.sampling().limit if isinstance(config, SamplingConfig) else None
        if before is None:
            read = characters / CHARACTERS_PER_TOKEN * calls if characters is not None else None
            return Estimate(rows, calls, read, most and most * calls)
        read = before.cost["prompt_tokens"] / _answers(before)
        written = before.cost["completion_tokens"] / _answers(before)
        was = self._characters_of(planned, before)
        if characters and was:
            read *= characters / was
        written = min(written, most or written)
        return Estimate(rows, calls, read * calls, written * calls, before.name)

    def _parents(self, manifest: Manifest | None) -> list[tuple[str, Manifest]]:
        """Return the inputs of a version that still exist, with the parameters that read them."""
        parents = self._graph.parents(manifest) if manifest else []
        return [(parent.parameter, parent.manifest) for parent in parents if parent.manifest]

    def _lengths(self, planned: Planned) -> dict[str, Lengths]:
        """Return how long the texts are that each parameter reads."""
        reads = {name: self.texts.get(read.key) for name, read in planned.dataset.inputs.items()}
        return {name: self._measured(texts) for name, texts in reads.items() if texts is not None}

    def _measured(self, texts: Manifest | Lengths) -> Lengths:
        return texts if isinstance(texts, Lengths) else _lengths(self.store, texts)

    def _characters_of(self, planned: Planned, before: Manifest) -> float | None:
        """Return an earlier version's characters per prompt; its template may have been another."""
        lengths = {
            parameter: _lengths(self.store, parent) for parameter, parent in self._parents(before)
        }
        config = planned.dataset.config
        characters = config.prompt_characters(lengths)
        now, then = config.identity().get("template"), before.identity["config"].get("template")
        if characters is not None and isinstance(now, dict) and isinstance(then, dict):
            characters += len(then["text"]) - len(now["text"])
        return characters

    def _texts(
        self, planned: Planned, before: Manifest | None, estimated: Estimate
    ) -> Lengths | None:
        """Return how long the texts of a dataset's rows will be; None if that is unknown."""
        first = next(iter(self._lengths(planned).values()), None)
        if before is not None and before.name == planned.dataset.name:
            was = self._measured(before)
            parents = self._parents(before)
            then = _lengths(self.store, parents[0][1]) if parents else None
            longer = first.prompt / then.prompt if first and then and then.prompt else 1.0
            return Lengths(was.prompt * longer, was.response)
        if first is None:
            return None
        if before is not None:
            return Lengths(first.prompt, self._measured(before).response)
        if estimated.calls and estimated.completion_tokens:
            written = estimated.completion_tokens / estimated.calls * CHARACTERS_PER_TOKEN
            return Lengths(first.prompt, written)
        return first


def _answers(manifest: Manifest) -> float:
    """Return how many answers of a model a version was made from."""
    return manifest.cost.get("calls", 0) + manifest.cost.get("reused", 0)


def _lengths(store: Store, manifest: Manifest) -> Lengths:
    """Return the mean characters of the texts in a version's rows."""
    dataset_type = DATASET_TYPES[manifest.type]
    with database.viewing(rows=store.rows(manifest)) as connection:
        prompt, response = (
            _mean(dataset_type, columns)
            for columns in (("prompt",), ("response", "completion", "text"))
        )
        [means] = connection.execute(
            f"SELECT {prompt}, {response} FROM (FROM rows LIMIT {_SAMPLE}) AS rows"
        ).fetchall()
    return Lengths(*(float(mean or 0.0) for mean in means))


def _mean(dataset_type: DatasetType, columns: Iterable[str]) -> str:
    """Return SQL for the mean length of the first of these columns that a dataset type has."""
    for name in columns:
        if name in dataset_type.schema.names:
            text = str(dataset_type.schema.field(name).type) == "string"
            whole = f"list_sum(list_transform({name}, lambda turn: length(turn.content)))"
            return f"avg({f'length({name})' if text else whole})"
    return "0"
