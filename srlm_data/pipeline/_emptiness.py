"""Refuses versions without rows: a step that makes no rows from some input has failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from srlm_data.core.errors import DataError
from srlm_data.core.schema import MODELS
from srlm_data.pipeline.recipe import Dataset
from srlm_data.store import Manifest

_ADVICE: Final = {
    "alone": "Raise 'n' of the step that answers",
    "copied_context": "The model repeats its examples: use another template or a larger model",
    "cut_off": "Raise 'max_tokens'",
    "duplicate": "Raise the temperature, or use other rows",
    "empty": "Ask the model by hand: its chat template or 'stop' may end every answer at once",
    "equal_scores": "The judge does not distinguish answers: use another one, or more repeats",
    "error": "Fix the cause of the failed requests",
    "fewer_than_two_scored": "Check the states of the judgments: the template or 'max_tokens' "
    "may not fit the judge",
    "identical_texts": "Raise the temperature of the answers",
    "margin_too_small": "Lower 'min_margin'",
    "only_reasoning": "Ask for less reasoning or none, or turn off the server's parser of it",
    "not_novel": "Raise 'max_similarity', or show other examples",
    "other_language": "Set 'lang' to the language of the rows",
    "unranked": "Use rows that people have ranked",
}
"""Drop reason -> advice, for the reasons that can leave a step without any rows."""

_OUTSIDE: Final = "Check the records, and set 'format' or 'columns'"


def refuse_empty(dataset: Dataset, manifest: Manifest, reads: Iterable[Manifest]) -> None:
    """Refuse a version without rows, unless the recipe allows it or it was made of nothing."""
    sources = [read for read in reads if read.rows and read.type != MODELS.name]
    if manifest.rows or dataset.allow_empty:
        return
    if dataset.inputs and not (sources or manifest.drops):
        return
    of = f" from {', '.join(source.counted for source in sources)}" if sources else ""
    why, advice = "", "Check what the step reads and its settings"
    thought = int(manifest.cost.get("only_reasoning", 0))
    if not dataset.inputs:
        why = ", because there is no record"
    if manifest.drops:
        reason, count = max(manifest.drops.items(), key=lambda drop: drop[1])
        why = f"; {count:,} of {sum(manifest.drops.values()):,} were dropped as '{reason}'"
        cause = "only_reasoning" if thought and reason == "empty" else reason
        advice = _ADVICE.get(cause, advice) if dataset.inputs else _OUTSIDE
        examples = manifest.notes.get("dropped", {}).get(reason)
        if examples and not dataset.inputs:
            why += f", the first at {examples[0]['where']}"
    if thought:
        why += f", and {thought:,} answers are reasoning alone"
    raise DataError(
        f"{dataset.name}: made no {manifest.type}{of}{why}. {advice}; if an empty result is right, "
        "set 'allow_empty: true'."
    )
