"""The row shape of each dataset type, and the rules that hold for its rows.

    messages -> ift, ranked -> prompts -> candidates -> judgments -> pairs -> models

What gives an answer a score without judging it, or works on its judgments, makes ``scores``.
What people say of two answers that they were shown is ``labels``.

A dataset type is an Arrow schema, the column that identifies a row, the columns that name its
parents, and checks written as SQL conditions. A commit runs the checks; a row that breaks
one never reaches a version.

Conversations are lists of ``{role, content}``, the form that chat templates and TRL take.
They are the one list that rows hold, with the ids of a prompt's sources: everything
that is repeated (candidates, judgments) is one row each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NotRequired, TypedDict

import pyarrow as pa


class Message(TypedDict):
    """One turn of a conversation: ``role`` is system, user, assistant or tool.

    What else a chat template may read is left out where there is none. The tools that may be called
    stand in the first turn, so that a conversation is never without them.
    """

    role: str
    content: str
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]
    reasoning_content: NotRequired[str]
    tools: NotRequired[str]


_FUNCTION: Final = pa.struct([("name", pa.string()), ("arguments", pa.string())])
_TOOL_CALL: Final = pa.struct([("id", pa.string()), ("type", pa.string()), ("function", _FUNCTION)])
CONVERSATION: Final = pa.list_(
    pa.struct(
        [
            ("role", pa.string()),
            ("content", pa.string()),
            ("tool_calls", pa.list_(_TOOL_CALL)),  # arguments are JSON, as OpenAI has them
            ("tool_call_id", pa.string()),
            ("name", pa.string()),
            ("reasoning_content", pa.string()),
            ("tools", pa.string()),  # JSON
        ]
    )
)

STATES: Final = ("parsed", "unparsed", "out_of_range", "truncated", "error")
"""What became of a judgment. Only ``parsed`` has a score; every other state keeps its text."""

COMPARISON_STATES: Final = ("parsed", "unparsed", "truncated", "error", "unscored", "identical")
"""What became of a comparison. ``identical`` answers are a tie that nobody was asked about;
``unscored`` ones had no score to compare. Only ``parsed`` and ``identical`` name a winner."""


@dataclass(frozen=True)
class DatasetType:
    """What the rows of a dataset are.

    Attributes:
        name: the dataset type's plural noun.
        schema: the declared Arrow schema; rows are cast to it on write.
        id: the column that identifies a row: unique, never null, derived from content.
        parents: column -> dataset type; each non-null value must be an id of an input of that
            type.
        checks: sentence -> SQL condition that must be true of every row.
        order: the columns that a version's rows are sorted by, then by id. Answers come back as
            they finish; the order of a version must not hang on that, for training follows it.
        content: the columns that decide a version's content hash, where not all of them do.
        remarks: columns that never decide it: two rows that differ in them alone are equal.
        part: a column that says of which part of another row a row is; null in a whole one. Steps
            and figures read whole rows.
    """

    name: str
    schema: pa.Schema
    id: str
    parents: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    part: str = ""

    @property
    def hashed(self) -> list[str]:
        """The columns that decide a version's content hash."""
        return [name for name in self.content or self.schema.names if name not in self.remarks]

    def __hash__(self) -> int:
        return hash(self.name)


def _schema(**columns: pa.DataType) -> pa.Schema:
    """A schema whose columns are nullable only where the type is wrapped by ``_maybe``."""
    return pa.schema(
        [
            kind.with_name(name)
            if isinstance(kind, pa.Field)
            else pa.field(name, kind, nullable=False)
            for name, kind in columns.items()
        ]
    )


def _maybe(kind: pa.DataType) -> pa.Field:
    return pa.field("", kind, nullable=True)


_SCALARS: Final = {
    pa.string(): "string",
    pa.bool_(): "bool",
    pa.int32(): "int32",
    pa.int64(): "int64",
    pa.float64(): "float64",
}


def type_text(kind: pa.DataType) -> str:
    """Return an Arrow type in our own words: what the library prints may change with its release.

    Raises:
        TypeError: no dataset type declares such a column.
    """
    if pa.types.is_list(kind):
        return f"list<{type_text(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {type_text(field.type)}' for field in kind)}>"
    if kind not in _SCALARS:
        raise TypeError(
            f"a column of type {kind} has no canonical form; no dataset type declares one"
        )
    return _SCALARS[kind]


def schema_text(schema: pa.Schema) -> str:
    """Return a schema in our own words, a line a column; ``?`` follows the type of a nullable one.

    It is part of versions' names, so it never changes for the same columns.

    Raises:
        TypeError: no dataset type declares such a column.
    """
    return "\n".join(
        f"{field.name}: {type_text(field.type)}{'?' if field.nullable else ''}" for field in schema
    )


_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int32(), pa.float64(), pa.bool_()

# What every model-made row keeps of the answer that it came from; null for human rows.
_ANSWERED: Final = {
    "model": _maybe(_TEXT),  # digest of the model that wrote the row
    "answer_key": _maybe(_TEXT),  # the request in the answer store
    "finish_reason": _maybe(_TEXT),  # stop, length or error
    "prompt_tokens": _maybe(_INT),
    "completion_tokens": _maybe(_INT),
    "reasoning": _maybe(_TEXT),  # what a thinking model wrote before the answer, never judged
    "reasoning_tokens": _maybe(_INT),  # of completion_tokens, those of the reasoning
    "note": _maybe(_TEXT),  # what was not as asked: a seed not sent, another name of the model
}

# What comes with a prompt and is for its judge.
_GIVEN: Final = {
    "reference": _maybe(_TEXT),  # a right answer
    "rubric": _maybe(_TEXT),  # a checklist that answers to this prompt are judged by
}

# What a score lies on; null where nobody says.
_SCALE: Final = {"scale_low": _maybe(_FLOAT), "scale_high": _maybe(_FLOAT)}
_ON_SCALE: Final = {
    "a score lies on its scale": (
        "score IS NULL OR (score >= coalesce(scale_low, score) "
        "AND score <= coalesce(scale_high, score))"
    ),
}

MESSAGES: Final = DatasetType(
    "messages",
    _schema(
        message_id=_TEXT, parent_id=_maybe(_TEXT), tree_id=_TEXT, role=_TEXT, text=_TEXT,
        lang=_maybe(_TEXT), rank=_maybe(_INT), review_result=_maybe(_BOOL), deleted=_BOOL,
        synthetic=_BOOL,
    ),
    id="message_id",
    order=("tree_id",),
    checks={"a role is prompter or assistant": "role IN ('prompter', 'assistant')"},
)  # fmt: skip

EXAMPLES: Final = DatasetType(
    "examples",
    _schema(
        example_id=_TEXT, kind=_TEXT, prompt=CONVERSATION, completion=CONVERSATION,
        prompt_id=_TEXT, source_id=_maybe(_TEXT), score=_maybe(_FLOAT),
    ),
    id="example_id",
    checks={
        "a kind is ift or eft": "kind IN ('ift', 'eft')",
        "a prompt and a completion are not empty": "len(prompt) > 0 AND len(completion) > 0",
    },
)  # fmt: skip

PROMPTS: Final = DatasetType(
    "prompts",
    _schema(
        prompt_id=_TEXT, prompt=CONVERSATION, source=_TEXT, source_ids=_maybe(pa.list_(_TEXT)),
        **_ANSWERED, **_GIVEN,
    ),
    id="prompt_id",
    remarks=("note",),
    checks={"a prompt is not empty": "len(prompt) > 0"},
)  # fmt: skip

CANDIDATES: Final = DatasetType(
    "candidates",
    _schema(
        candidate_id=_TEXT, prompt_id=_TEXT, prompt=CONVERSATION, response=_TEXT,
        sample=_INT, source=_TEXT, rank=_maybe(_INT), split=_maybe(_TEXT), **_ANSWERED, **_GIVEN,
    ),
    id="candidate_id",
    remarks=("note",),
    order=("prompt_id", "sample"),
    parents={"prompt_id": "prompts"},
    checks={
        "a source is human or model": "source IN ('human', 'model')",
        "a model's answer names its model": "source = 'human' OR model IS NOT NULL",
        "a split is train, eval or absent": "split IS NULL OR split IN ('train', 'eval')",
    },
)  # fmt: skip

JUDGMENTS: Final = DatasetType(
    "judgments",
    _schema(
        judgment_id=_TEXT, candidate_id=_TEXT, prompt_id=_TEXT, repeat=_INT, state=_TEXT,
        score=_maybe(_FLOAT), text=_TEXT, template=_TEXT, **_ANSWERED,
        error=_maybe(_TEXT),  # why the request failed
        criterion=_maybe(_TEXT),  # of which the score is; null: the judgment, all criteria combined
        **_SCALE,
    ),
    id="judgment_id",
    remarks=("error", "note"),
    part="criterion",
    order=("prompt_id", "candidate_id", "repeat"),
    parents={"candidate_id": "candidates"},
    checks={
        f"a state is one of {', '.join(STATES)}": f"state IN {STATES}",
        "a score exists exactly when the state is parsed": (
            "(state = 'parsed') = (score IS NOT NULL)"
        ),
        **_ON_SCALE,
    },
)  # fmt: skip

SCORES: Final = DatasetType(
    "scores",
    _schema(
        score_id=_TEXT, candidate_id=_TEXT, prompt_id=_TEXT,
        score=_maybe(_FLOAT),  # null where nothing could be said of the answer
        method=_TEXT,  # what gave it: wins, elo, expected, intrinsic, or a user's own
        model=_maybe(_TEXT),  # digest of the model whose preference it is
        reference=_maybe(_TEXT),  # digest of the model that it is measured against
        details=_maybe(_TEXT),  # what the score was made from, as JSON
        **_SCALE,
    ),
    id="score_id",
    order=("prompt_id", "candidate_id"),
    parents={"candidate_id": "candidates"},
    checks=_ON_SCALE,
)  # fmt: skip

COMPARISONS: Final = DatasetType(
    "comparisons",
    _schema(
        comparison_id=_TEXT, prompt_id=_TEXT, first_id=_TEXT, second_id=_TEXT, first_model=_TEXT,
        second_model=_TEXT, swapped=_BOOL, state=_TEXT, winner=_maybe(_TEXT),
        first_score=_maybe(_FLOAT), second_score=_maybe(_FLOAT), first_length=_INT,
        second_length=_INT, text=_TEXT, template=_TEXT, **_ANSWERED,
        error=_maybe(_TEXT),  # why the request failed
    ),
    id="comparison_id",
    remarks=("error", "note"),
    order=("prompt_id", "swapped"),
    parents={"first_id": "candidates", "second_id": "candidates"},
    checks={
        f"a state is one of {', '.join(COMPARISON_STATES)}": f"state IN {COMPARISON_STATES}",
        "a winner is first, second or tie": (
            "winner IS NULL OR winner IN ('first', 'second', 'tie')"
        ),
        "a winner exists exactly when the state is parsed or identical": (
            "(state IN ('parsed', 'identical')) = (winner IS NOT NULL)"
        ),
    },
)  # fmt: skip

PAIRS: Final = DatasetType(
    "pairs",
    _schema(
        pair_id=_TEXT, prompt_id=_TEXT, prompt=CONVERSATION, chosen=CONVERSATION,
        rejected=CONVERSATION, chosen_id=_TEXT, rejected_id=_TEXT, chosen_score=_maybe(_FLOAT),
        rejected_score=_maybe(_FLOAT), margin=_maybe(_FLOAT), model=_maybe(_TEXT),
    ),
    id="pair_id",
    order=("prompt_id",),
    parents={"chosen_id": "candidates", "rejected_id": "candidates"},
    checks={
        "chosen and rejected differ": "chosen <> rejected AND chosen_id <> rejected_id",
        "the chosen answer scores higher": "margin IS NULL OR margin > 0",
    },
)  # fmt: skip

MODELS: Final = DatasetType(
    "models",
    _schema(
        model=_TEXT, base=_maybe(_TEXT), reference=_maybe(_TEXT), method=_TEXT, location=_TEXT,
        parameters=_maybe(pa.int64()), examples=_maybe(pa.int64()), dropped=_maybe(pa.int64()),
        steps=_maybe(pa.int64()), loss=_maybe(_FLOAT), seconds=_maybe(_FLOAT),
    ),
    id="model",
    checks={"a method is known": "method IN ('checkpoint', 'sft', 'dpo')"},
    content=("model",),
)  # fmt: skip

METRICS: Final = DatasetType(
    "metrics",
    _schema(
        metric_id=_TEXT, model=_TEXT, versus=_maybe(_TEXT), metric=_TEXT, value=_maybe(_FLOAT),
        low=_maybe(_FLOAT), high=_maybe(_FLOAT), n=pa.int64(),
    ),
    id="metric_id",
)  # fmt: skip

CHOICES: Final = ("first", "second", "tie", "skip")
"""What a person may say of two answers, in the order shown; ``skip`` says nothing of them."""

LABELS: Final = DatasetType(
    "labels",
    _schema(
        label_id=_TEXT,  # one for a person and two answers
        prompt_id=_TEXT,
        first_id=_TEXT,  # the answer that was shown first
        second_id=_TEXT,
        pair_id=_maybe(_TEXT),  # null where answers were reviewed and not pairs
        choice=_TEXT,
        person=_TEXT,
        labelled_at=_TEXT,  # ISO 8601, UTC
        seconds=_maybe(_FLOAT),  # from the moment that the answers were shown
        note=_maybe(_TEXT),
        reviewed=_TEXT,  # the version that was opened
    ),
    id="label_id",
    order=("labelled_at", "person"),
    parents={"pair_id": "pairs", "first_id": "candidates", "second_id": "candidates"},
    checks={
        f"a choice is one of {', '.join(CHOICES)}": f"choice IN {CHOICES}",
        "two answers were shown": "first_id <> second_id",
        "time does not run backwards": "seconds IS NULL OR seconds >= 0",
    },
)

DATASET_TYPES: Final = {
    dataset_type.name: dataset_type
    for dataset_type in (
        MESSAGES, EXAMPLES, PROMPTS, CANDIDATES, JUDGMENTS, SCORES, COMPARISONS, PAIRS, MODELS,
        METRICS, LABELS,
    )
}  # fmt: skip
