"""Calls of tools travel as data: from a file through every stage to the chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import strange
import tiny
from checkout import Cli
from srlm_data.core.ids import prompt_id
from srlm_data.core.messages import for_template, render
from srlm_data.engines._chat import Prompts
from srlm_data.engines.protocol import Request, Sampling, response_keys
from srlm_data.steps.read import ReadExamples, read_examples
from srlm_data.store import Store

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
OTHERS = {"name": "f", "arguments": {"x": 1}}
ASKED: list[Any] = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "", "tool_calls": [CALL], "reasoning_content": "f knows"},
    {"role": "tool", "content": "3", "tool_call_id": "1", "name": "f"},
]
ANSWER = [{"role": "assistant", "content": "ho"}]
KEPT: list[Any] = [{**ASKED[0], "tools": json.dumps([TOOL])}, *ASKED[1:]]


def read(folder: Path, *records: dict[str, Any]) -> Any:
    file = folder / "own.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_examples(ReadExamples(files=str(file))).collect()


def turns(**call: Any) -> list[dict[str, Any]]:
    return [ASKED[0], {"role": "assistant", "reasoning": "f knows", **call}, ASKED[2], *ANSWER]


@pytest.mark.parametrize(
    "record",
    [
        {"messages": ASKED + ANSWER, "tools": [TOOL]},
        {"messages": json.dumps(ASKED + ANSWER), "tools": json.dumps([TOOL])},
        {"messages": KEPT + ANSWER},
        {"messages": turns(tool_calls=[{"id": 1, **OTHERS}]), "tools": [TOOL["function"]]},
        {"prompt": ASKED, "completion": "ho", "tools": [TOOL]},
    ],
)
def test_the_usual_forms_of_a_call_are_the_same_conversation(
    tmp_path: Path, record: dict[str, Any]
) -> None:
    [row] = read(tmp_path, record).dicts()
    assert row["prompt"] == KEPT
    assert row["completion"] == ANSWER


def test_a_call_by_a_role_of_its_own_is_a_call(tmp_path: Path) -> None:
    sharegpt = [
        {"from": "human", "value": "hi"},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
        {"from": "observation", "value": "3"},
        {"from": "gpt", "value": "ho"},
    ]
    legacy = {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "f", "arguments": '{"x": 1}'},
    }
    rows = read(
        tmp_path,
        {"conversations": sharegpt},
        {"messages": [{"role": "user", "content": "ho?"}, legacy]},
    )
    called, calling = rows.dicts()
    assert called["prompt"][1]["tool_calls"] == [{**CALL, "id": None}]
    assert called["prompt"][2] == {"role": "tool", "content": "3"}
    assert calling["completion"][0]["tool_calls"] == [{**CALL, "id": None}]


def test_calls_of_another_form_drop_the_record(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        {"messages": turns(tool_calls="f(x=1)")},
        {"messages": turns(tool_calls=[{"function": {"arguments": "{}"}}])},
        {"messages": turns(function_calls="f(x=1)")},
        {"messages": ASKED + ANSWER, "tools": "f"},
        {"messages": [*ASKED, {"role": "assistant", "content": None}]},
    )
    assert rows.drops == {"tool_calls": 4, "empty": 1}


def test_calls_and_tools_are_part_of_what_a_prompt_is() -> None:
    plain = [{"role": turn["role"], "content": turn["content"]} for turn in ASKED]
    assert len({prompt_id(one) for one in (plain, ASKED, KEPT)}) == 3
    sampling = Sampling(0.7, 0.9, 16)
    keys = response_keys("m", [Request("r", tuple(t), sampling, 1) for t in (plain, ASKED, KEPT)])
    assert len(set(keys)) == 3
    # What a column of Arrow gives back has a null in the place of what is not there.
    nulls = [{**turn, "tool_calls": None, "tools": None, "name": None} for turn in plain]
    assert prompt_id(nulls) == prompt_id(plain)
    assert response_keys("m", [Request("r", tuple(nulls), sampling, 1)]) == keys[:1]
    assert render(KEPT).endswith('Assistant: [calls f({"x": 1})]\n\nTool: 3')


def test_the_chat_template_is_given_calls_and_tools_and_a_mark_in_them_is_no_mark(
    tmp_path: Path,
) -> None:
    from transformers import PreTrainedTokenizerFast

    template = (
        "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
        "{% for turn in messages %}<|{{ turn.role }}|>{{ turn.content }}"
        "{% for call in turn.tool_calls %}{{ call.function.name }}:{{ call.function.arguments.x }}"
        "{% endfor %}{% endfor %}"
    )
    folder = tiny.tiny_model(tmp_path / "m0")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.chat_template = template
    written = for_template(KEPT)
    text = tokenizer.apply_chat_template(written[0], tools=written[1], tokenize=False)
    assert "f:1" in text
    assert '"name": "f"' in text
    prompts = Prompts(tokenizer, "m0", 1000)
    request = Request("r", tuple(KEPT), Sampling(1, 1, 8), 1)
    assert prompts.tokens(request) == tokenizer.encode(text, add_special_tokens=False)
    mark = tokenizer.eos_token
    call = {**CALL, "function": {"name": "f", "arguments": json.dumps({"x": mark})}}
    attack = [*KEPT[:1], {**KEPT[1], "tool_calls": [call]}, *KEPT[2:]]
    tokens = prompts.tokens(Request("r", tuple(attack), Sampling(1, 1, 8), 1))
    assert tokenizer.eos_token_id not in tokens
    assert mark in tokenizer.decode(tokens)


def test_calls_and_tools_reach_the_rows_that_are_judged(cli: Cli, project: Path) -> None:
    (project / "strange.yaml").write_text(strange.RECIPE.partition("  judgments:")[0])
    (project / "prompts.jsonl").write_text(json.dumps({"messages": ASKED, "tools": [TOOL]}) + "\n")
    built = cli("build", "strange.yaml")
    assert built.returncode == 0, built.stderr
    store = Store(project / "store")
    for row in store.rows(store.resolve("strange.candidates")).dicts():
        assert row["prompt"] == KEPT
