"""The tokens of rows, as TRL would make them, many rows at a time.

TRL's own preparation copies all columns once a pass, and has three passes or four. Here a file is
read once, in batches, and what is written is what the trainer reads, and nothing else. A test holds
the tokens, labels and drops against TRL's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from datasets.utils import tqdm
from transformers import PreTrainedTokenizerBase
from trl.data_utils import common_prefix_length

from srlm_data.core.errors import TrainingError

BATCH: Final = 512
"""Rows that are tokenized together."""

FULL: Final = "the prompt fills max_length"
EQUAL: Final = "chosen and rejected are equal once cut to max_length"
CHANGED: Final = (
    "the template writes the end of a prompt otherwise once an answer follows; it is left out"
)

_IGNORED: Final = -100  # the label of a token that the loss does not see
_IDS: Final = pa.list_(pa.int32())

Row = dict[str, list[int]]
Texts = dict[str, list[Any]]


@dataclass(frozen=True)
class Method:
    """What a trainer reads, and how it is made.

    Attributes:
        revision: bumped by hand when the same rows would give other tokens.
        reads: columns of conversations.
        schema: of the tokens.
        rows: gives the tokens of a batch of texts, up to a length, and counts drops and notes.
    """

    name: str
    revision: int
    reads: tuple[str, ...]
    schema: pa.Schema
    rows: Callable[[_Tokenizer, Texts, int, Counter[str], Counter[str]], Iterator[Row]]

    def identity(self, data: str, tokenizer: str, limit: int) -> dict[str, Any]:
        """All that decides the tokens of a file."""
        libraries = {name: version(name) for name in ("transformers", "tokenizers")}
        return {
            "method": self.name,
            "revision": self.revision,
            "data": data,
            "tokenizer": tokenizer,
            "max_length": limit,
            "libraries": libraries,
        }

    def batches(
        self,
        file: Path,
        tokenizer: PreTrainedTokenizerBase,
        limit: int,
        drops: Counter[str],
        notes: Counter[str],
    ) -> Iterator[pa.RecordBatch]:
        """The tokens of a Parquet file.

        Raises:
            TrainingError: it cannot be read, or has no such columns of conversations.
        """
        spoken = _Tokenizer(tokenizer)
        for batch in _read(file, self.reads):
            rows = self.rows(spoken, batch.to_pydict(), limit, drops, notes)
            yield pa.RecordBatch.from_pylist(list(rows), schema=self.schema)


class _Tokenizer:
    """Conversations to tokens, by the chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    def prompts(self, conversations: list[Any]) -> list[list[int]]:
        """Tokens up to where the answer begins."""
        return self._ids(conversations, add_generation_prompt=True)

    def answered(self, prompts: list[Any], answers: list[Any]) -> list[list[int]]:
        """Tokens of prompts with their answers."""
        return self._ids([[*one, *other] for one, other in zip(prompts, answers, strict=True)])

    def _ids(self, conversations: list[Any], **how: Any) -> list[list[int]]:
        made = self._tokenizer.apply_chat_template(
            conversations,
            tokenize=True,
            return_dict=True,
            tokenizer_kwargs={"return_attention_mask": False},
            **how,
        )
        ids: list[list[int]] = made["input_ids"]
        return ids


def _examples(
    tokens: _Tokenizer, texts: Texts, limit: int, drops: Counter[str], notes: Counter[str]
) -> Iterator[Row]:
    prompts = tokens.prompts(texts["prompt"])
    whole = tokens.answered(texts["prompt"], texts["completion"])
    for prompt, ids in zip(prompts, whole, strict=True):
        start = _shared(prompt, ids)
        if start < len(prompt):
            notes[CHANGED] += 1
        if start >= min(limit, len(ids)):
            drops[FULL] += 1
            continue
        labels = [_IGNORED] * start + ids[start:]
        yield {"input_ids": ids[:limit], "labels": labels[:limit]}


def _pairs(
    tokens: _Tokenizer, texts: Texts, limit: int, drops: Counter[str], notes: Counter[str]
) -> Iterator[Row]:
    prompts = tokens.prompts(texts["prompt"])
    chosen = tokens.answered(texts["prompt"], texts["chosen"])
    rejected = tokens.answered(texts["prompt"], texts["rejected"])
    for prompt, good, bad in zip(prompts, chosen, rejected, strict=True):
        start = min(_shared(prompt, good), _shared(prompt, bad))
        if start < len(prompt):
            notes[CHANGED] += 1
        if start >= limit:
            drops[FULL] += 1
        elif good[:limit] == bad[:limit]:
            drops[EQUAL] += 1
        else:  # cut by TRL, when it puts batches together
            yield {
                "prompt_ids": prompt[:start],
                "chosen_ids": good[start:],
                "rejected_ids": bad[start:],
            }


SFT: Final = Method(
    "sft", 1, ("prompt", "completion"), pa.schema({"input_ids": _IDS, "labels": _IDS}), _examples
)
DPO: Final = Method(
    "dpo",
    1,
    ("prompt", "chosen", "rejected"),
    pa.schema({"prompt_ids": _IDS, "chosen_ids": _IDS, "rejected_ids": _IDS}),
    _pairs,
)


def _shared(prompt: list[int], whole: list[int]) -> int:
    """How many tokens both begin with: as good as always the whole prompt."""
    same = whole[: len(prompt)] == prompt
    return len(prompt) if same else int(common_prefix_length(prompt, whole))


def _read(file: Path, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(file) as parquet:
            for column in columns:
                _refuse_other_than_conversations(file, parquet.schema_arrow, column)
            # Group by group: a batch over several would be as large as all of them.
            bar = tqdm(desc=f"Tokenizing {file.name}", total=parquet.metadata.num_rows, unit="row")
            with bar:
                for group in range(parquet.num_row_groups):
                    wanted = {"row_groups": [group], "columns": list(columns)}
                    for batch in parquet.iter_batches(BATCH, **wanted):
                        yield batch
                        bar.update(batch.num_rows)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(
            f"{file}: it cannot be read, found '{error}'. 'srlm-data verify' looks after a store."
        ) from None


def _refuse_other_than_conversations(file: Path, schema: pa.Schema, column: str) -> None:
    if column not in schema.names:
        raise TrainingError(
            f"{file}: the column '{column}' is wanted, found {', '.join(schema.names)}. "
            "Name data for this method."
        )
    kind = schema.field(column).type
    turns = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
    fields = {turns.field(i).name for i in range(turns.num_fields)}
    if turns is kind or not {"role", "content"} <= fields:
        raise TrainingError(
            f"{file}: '{column}' must be conversations, lists of role and content, found {kind}. "
            "Write each text as one turn."
        )
