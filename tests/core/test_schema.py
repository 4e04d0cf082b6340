"""Dataset types have a written form of our own: versions' names and content hashes hang on it."""

import pyarrow as pa
import pytest

from srlm_data.core.schema import DATASET_TYPES, schema_text, type_text

CALL = "struct<id: string, type: string, function: struct<name: string, arguments: string>>"
TURNS = (
    f"list<struct<role: string, content: string, tool_calls: list<{CALL}>, tool_call_id: string, "
    "name: string, reasoning_content: string, tools: string>>"
)
ANSWERED = """\
model: string?
answer_key: string?
finish_reason: string?
prompt_tokens: int32?
completion_tokens: int32?
reasoning: string?
reasoning_tokens: int32?
note: string?"""
WRITTEN = {
    "prompts": f"""\
prompt_id: string
prompt: {TURNS}
source: string
source_ids: list<string>?
{ANSWERED}
reference: string?
rubric: string?""",
    "judgments": f"""\
judgment_id: string
candidate_id: string
prompt_id: string
repeat: int32
state: string
score: float64?
text: string
template: string
{ANSWERED}
error: string?
criterion: string?
scale_low: float64?
scale_high: float64?""",
    "metrics": """\
metric_id: string
model: string
versus: string?
metric: string
value: float64?
low: float64?
high: float64?
n: int64""",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_schema_is_written_a_line_a_column(name: str) -> None:
    assert schema_text(DATASET_TYPES[name].schema) == WRITTEN[name]


def test_every_dataset_type_has_a_written_form_of_its_own() -> None:
    texts = {schema_text(dataset_type.schema) for dataset_type in DATASET_TYPES.values()}
    assert len(texts) == len(DATASET_TYPES)


def test_what_a_library_calls_the_elements_of_a_list_does_not_matter() -> None:
    parquet = pa.list_(pa.field("element", pa.string()))
    assert str(parquet) != str(pa.list_(pa.string()))
    assert type_text(parquet) == type_text(pa.list_(pa.string())) == "list<string>"


def test_a_type_that_no_dataset_type_declares_is_refused() -> None:
    with pytest.raises(TypeError, match="no canonical form"):
        type_text(pa.binary())
