"""The rows that are trained on: read, checked, and without those that TRL could not learn from."""

from __future__ import annotations

import glob
import json
import os
from pathlib import Path
from typing import Any, Final

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from accelerate import PartialState
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from trl.data_utils import common_prefix_length

from srlm_data.core.errors import TrainingError
from srlm_data.core.messages import for_template
from srlm_data.core.rows import Drops
from srlm_data.models.training import Training

LOST: Final = "the chat template leaves out a part of the answer"
UNKNOWN: Final = "the model has no embedding of its tokens"
FULL: Final = "the prompt fills max_length"
EQUAL: Final = "chosen and rejected are equal once cut to max_length"


def prepare(
    files: list[Path],
    answers: tuple[str, ...],
    tokenizer: PreTrainedTokenizerBase,
    settings: Training,
    limit: int,
    vocabulary: int,
    cache: Path,
    drops: Drops,
    notes: dict[str, str],
) -> datasets.Dataset:
    """Return ``prompt`` and ``answers`` of Parquet files, without the rows that do not fit.

    TRL cuts a prompt and its answer to ``limit`` tokens; ``drops`` takes what does not fit then,
    and what has tokens other than the model's ``vocabulary``. ``notes`` takes sentences about the
    others. ``datasets`` prepares the rows in ``cache``.
    """
    columns = ["prompt", *answers]
    if not sum(_count_conversations(file, columns) for file in files):
        raise TrainingError(f"'{files[0]}': there are no rows. Name data that has some.")
    with PartialState().main_process_first():
        rows = datasets.Dataset.from_parquet(
            [glob.escape(str(file.absolute())) for file in files],  # it reads names as patterns
            columns=columns,
            cache_dir=str(cache),
        )
        rows = rows.map(
            _for_template,
            batched=True,
            fn_kwargs={"options": settings.chat_template_kwargs or {}},
            features=datasets.Features(
                {
                    **dict.fromkeys(columns, datasets.List(datasets.Json())),
                    "tools": datasets.Value("string"),
                    "chat_template_kwargs": datasets.Json(),
                }
            ),
            desc="Reading turns",
        )
        try:
            limits = {"limit": limit, "vocabulary": vocabulary}
            measured = rows.map(
                _explain_misfits,
                fn_kwargs={"tokenizer": tokenizer, **limits},
                batched=True,
                remove_columns=columns,
                desc="Measuring rows",
            )
        except (TemplateError, LookupError, TypeError, ValueError) as error:  # templates are code
            raise TrainingError(
                f"'{files[0]}': the chat template refuses a conversation, found '{error}'. "
                "Set system: fold (sft), or name another chat_template."
            ) from None
    reasons = measured["reason"]
    for place, reason in enumerate(reasons):
        if reason:
            drops.add(reason, f"row {place + 1}", rows[place])
    fitting = [place for place, reason in enumerate(reasons) if not reason]
    is_bounded = limit < settings.max_length
    longer = "The model has no more positions" if is_bounded else "Raise max_length"
    if not fitting:
        advice = "Name another chat_template" if LOST in drops else longer
        raise TrainingError(f"no row is left to train on, dropped {dict(drops)}. {advice}.")
    if cut := sum(measured.select(fitting)["cut"]):
        notes["answers_cut"] = (
            f"{cut:,} of {len(fitting):,} rows are cut to {limit:,} tokens, and their answers are "
            f"trained without an end. {longer}."
        )
    if difference := _compare_beginnings(rows[fitting[:1]], tokenizer, answers[0]):
        notes["answers_begin"] = difference
    return rows.select(fitting)


def _for_template(rows: dict[str, list[Any]], options: dict[str, Any]) -> dict[str, list[Any]]:
    """Return conversations as chat templates take them, and the arguments that TRL passes on."""
    return {
        **{name: [for_template(turns)[0] for turns in column] for name, column in rows.items()},
        "tools": [turns[0].get("tools") if turns else None for turns in rows["prompt"]],
        "chat_template_kwargs": [options] * len(rows["prompt"]),
    }


def _write(
    rows: dict[str, list[Any]], tokenizer: PreTrainedTokenizerBase, answers: str | None = None
) -> list[str]:
    """Return prompts as the template writes them: up to the answer's beginning, or with answers."""
    columns = [rows["prompt"], rows["tools"], rows["chat_template_kwargs"]]
    endings = rows[answers] if answers else [[]] * len(rows["prompt"])
    return [
        tokenizer.apply_chat_template(
            prompt + ending,
            tools=json.loads(tools) if tools else None,
            add_generation_prompt=answers is None,
            tokenize=False,
            **options,
        )
        for prompt, tools, options, ending in zip(*columns, endings, strict=True)
    ]


def _explain_misfits(
    rows: dict[str, list[Any]], tokenizer: PreTrainedTokenizerBase, limit: int, vocabulary: int
) -> dict[str, list[Any]]:
    """Return for each row the reason not to train on it, empty if none, and whether it is cut.

    TRL cuts a row to ``max_length``, which may leave nothing of an answer, or make two answers
    equal. TRL drops rows of the first kind without counting them, and trains on the second kind.
    Some templates leave out what stands in an answer before ``</think>``, or the tools it calls.
    """

    def encode(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
        return ids

    answered: list[list[list[int]]] = []
    lost: set[int] = set()
    for name in [name for name in ("completion", "chosen", "rejected") if name in rows]:
        texts = _write(rows, tokenizer, name)
        for place, (answer, text) in enumerate(zip(rows[name], texts, strict=True)):
            written = "".join(text.split())  # templates strip answers and their reasoning
            if not all("".join(words.split()) in written for words in _words(answer)):
                lost.add(place)
        answered.append(encode(texts))
    reasons, cut = [], []
    for place, (prompt, *wholes) in enumerate(
        zip(encode(_write(rows, tokenizer)), *answered, strict=True)
    ):
        start = min(common_prefix_length(prompt, whole) for whole in wholes)
        parts = [whole[:limit] for whole in wholes]
        cut.append(parts != wholes)
        if place in lost:
            reasons.append(LOST)
        elif start >= limit or (len(wholes) == 1 and start >= len(wholes[0])):
            reasons.append(FULL)
        elif len(wholes) > 1 and parts[0] == parts[1]:
            reasons.append(EQUAL)
        elif max(map(max, parts)) >= vocabulary:
            reasons.append(UNKNOWN)
        else:
            reasons.append("")
    return {"reason": reasons, "cut": cut}


def _words(answer: list[dict[str, Any]]) -> list[str]:
    """Return what an answer says, and the names of the tools that it calls."""
    calls = [call["function"]["name"] for turn in answer for call in turn.get("tool_calls") or ()]
    return [*(turn["content"] or "" for turn in answer), *calls]


def _compare_beginnings(
    rows: dict[str, list[Any]], tokenizer: PreTrainedTokenizerBase, answers: str
) -> str | None:
    """Return a note if a template begins answers differently in training and in generation."""
    [asked], [text] = _write(rows, tokenizer), _write(rows, tokenizer, answers)
    start = len(os.path.commonprefix([asked, text]))
    before, words, _ = text[start:].partition(_words(rows[answers][0])[0].strip() or text)
    ends = [repr(end.strip()) for end in (asked[start:], before)]
    if not words or ends[0] == ends[1]:
        return None
    generation, training = ("nothing" if end == "''" else end for end in ends)
    return (
        f"the chat template begins answers with {generation} in generation and with {training} in "
        "training. Set chat_template_kwargs, such as {enable_thinking: false}, or name another "
        "chat_template."
    )


def _count_conversations(file: Path, columns: list[str]) -> int:
    """Return how many rows a file has; raise if a column does not hold conversations."""
    try:
        schema, rows = pq.read_schema(file), int(pq.read_metadata(file).num_rows)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(
            f"{file}: it cannot be read ({error}). 'srlm-data verify' checks a store."
        ) from None
    for column in columns:
        if column not in schema.names:
            raise TrainingError(
                f"{file}: the column '{column}' is missing, found {', '.join(schema.names)}. Name "
                "data for this method."
            )
        kind = schema.field(column).type
        turns = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
        fields = {turns.field(place).name for place in range(turns.num_fields)}
        if turns is kind or not {"role", "content"} <= fields:
            raise TrainingError(
                f"{file}: '{column}' must be conversations, lists of role and content, found "
                f"{kind}. Write each text as one turn."
            )
    return rows
