"""The rows that are trained on: read, checked, and without those that TRL could not learn from."""

from __future__ import annotations

import glob
import json
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
from srlm_data.core.thinking import split_reasoning

LOST: Final = "the chat template leaves out the reasoning"
FULL: Final = "the prompt fills max_length"
EQUAL: Final = "chosen and rejected are equal once cut to max_length"


def prepare(
    files: list[Path],
    answers: tuple[str, ...],
    tokenizer: PreTrainedTokenizerBase,
    limit: int,
    cache: Path,
    drops: Drops,
) -> datasets.Dataset:
    """Return ``prompt`` and ``answers`` of Parquet files, without the rows that do not fit.

    TRL cuts a prompt and its answer to ``limit`` tokens; ``drops`` takes what does not fit then.
    ``datasets`` prepares the rows in ``cache``.
    """
    columns = ["prompt", *answers]
    if not sum(_count_conversations(file, columns) for file in files):
        raise TrainingError(f"'{files[0]}': there are no rows. Name data that has some.")
    with PartialState().main_process_first():
        rows = datasets.Dataset.from_parquet(
            [glob.escape(str(file.absolute())) for file in files],  # it takes names for patterns
            columns=columns,
            cache_dir=str(cache),
        )
        rows = rows.map(
            _for_template,
            batched=True,
            features=datasets.Features(
                {
                    **dict.fromkeys(columns, datasets.List(datasets.Json())),
                    "tools": datasets.Value("string"),
                }
            ),
            desc="Reading turns",
        )
        try:
            reasons = rows.map(
                _explain_misfits,
                fn_kwargs={"tokenizer": tokenizer, "limit": limit},
                batched=True,
                remove_columns=columns,
                desc="Measuring rows",
            )["reason"]
        except TemplateError as error:
            raise TrainingError(
                f"'{files[0]}': the chat template refuses a conversation, found '{error}'. "
                "Set system: fold (sft), or name another chat_template."
            ) from None
    for place, reason in enumerate(reasons):
        if reason:
            drops.add(reason, f"row {place + 1}", rows[place])
    fitting = [place for place, reason in enumerate(reasons) if not reason]
    if not fitting:
        advice = "Name another chat_template" if LOST in drops else "Raise max_length"
        raise TrainingError(f"no row is left to train on, dropped {dict(drops)}. {advice}.")
    return rows.select(fitting)


def _for_template(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return conversations as chat templates take them, and the tools of each as TRL does."""
    return {
        **{name: [for_template(turns)[0] for turns in column] for name, column in rows.items()},
        "tools": [turns[0].get("tools") if turns else None for turns in rows["prompt"]],
    }


def _explain_misfits(
    rows: dict[str, list[Any]], tokenizer: PreTrainedTokenizerBase, limit: int
) -> dict[str, list[str]]:
    """Return why each row cannot be trained on, an empty text for one that can.

    TRL cuts a row to ``max_length``: nothing of an answer may be left then, and nothing that tells
    two answers apart. TRL leaves the first kind out and counts nothing, and trains on the second.
    Some templates leave out what stands in an answer before ``</think>``.
    """

    def write(conversations: list[Any], **options: Any) -> list[str]:
        return [
            tokenizer.apply_chat_template(
                turns, tools=json.loads(tools) if tools else None, tokenize=False, **options
            )
            for turns, tools in zip(conversations, rows["tools"], strict=True)
        ]

    def encode(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
        return ids

    prompts = encode(write(rows["prompt"], add_generation_prompt=True))
    answered: list[list[list[int]]] = []
    lost: set[int] = set()
    for name in [name for name in rows if name not in ("prompt", "tools")]:
        answers = rows[name]
        texts = write(
            [prompt + answer for prompt, answer in zip(rows["prompt"], answers, strict=True)]
        )
        for place, (answer, text) in enumerate(zip(answers, texts, strict=True)):
            reasoning, _ = split_reasoning(answer[-1]["content"], opened=False)
            if reasoning and reasoning.partition("\n")[0] not in text:
                lost.add(place)
        answered.append(encode(texts))
    reasons = []
    for place, (prompt, *wholes) in enumerate(zip(prompts, *answered, strict=True)):
        start = min(common_prefix_length(prompt, whole) for whole in wholes)
        cut = [whole[:limit] for whole in wholes]
        if place in lost:
            reasons.append(LOST)
        elif start >= limit or (len(wholes) == 1 and start >= len(wholes[0])):
            reasons.append(FULL)
        elif len(wholes) > 1 and cut[0] == cut[1]:
            reasons.append(EQUAL)
        else:
            reasons.append("")
    return {"reason": reasons}


def _count_conversations(file: Path, columns: list[str]) -> int:
    """Return how many rows a file has."""
    try:
        schema, rows = pq.read_schema(file), int(pq.read_metadata(file).num_rows)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(
            f"{file}: it cannot be read ({error}). 'srlm-data verify' looks after a store."
        ) from None
    for column in columns:
        if column not in schema.names:
            raise TrainingError(
                f"{file}: the column '{column}' is wanted, found {', '.join(schema.names)}. "
                "Name data for this method."
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
