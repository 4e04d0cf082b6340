"""Define each trainer's data format: the records made of rows, and the config that names them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import yaml

from srlm_data.core.messages import data_of

Turn = Mapping[str, Any]
Row = Mapping[str, Any]

_SHAREGPT: Final = {"system": "system", "user": "human", "assistant": "gpt"}


class Unfit(ValueError):
    """Raised for a row that a format cannot hold; its text is the reason of the drop."""


class Exporter(NamedTuple):
    """The files to write for a trainer and a dataset type."""

    file: str  # name of the data file; ``.json`` holds an array of records, others a record a line
    # makes a record from a prompt and its answers (``completion``, or ``chosen`` and
    # ``rejected``), or raises :class:`Unfit`; None if rows are written unchanged
    record: Callable[[list[Turn], Mapping[str, list[Turn]]], dict[str, Any]] | None
    config: Mapping[str, str] = MappingProxyType({})  # name -> text of the files beside the data
    next_command: str = ""  # the training command, to run in the folder


def _turns(turns: Sequence[Turn], *, strict: bool = True) -> list[dict[str, Any]]:
    """Return turns as dicts without empty keys; a ``strict`` format has only roles and texts."""
    copies = [{"role": turn["role"], "content": turn["content"], **data_of(turn)} for turn in turns]
    for turn in copies if strict else ():
        data = turn.keys() - {"role", "content"}
        if data or turn["role"] == "tool":
            raise Unfit("reasoning" if data == {"reasoning_content"} else "tool_turns")
    return copies


def _only(answer: Sequence[Turn]) -> dict[str, Any]:
    """Return the only turn of an answer; raise Unfit if there are several."""
    turns = _turns(answer)
    if [turn["role"] for turn in turns] != ["assistant"]:
        raise Unfit("several_replies")
    return turns[0]


def _alternating(prompt: Sequence[Turn]) -> tuple[str, list[dict[str, Any]]]:
    """Return the system text and the other turns, which must alternate and end with the user."""
    turns = _turns(prompt)
    system = turns.pop(0)["content"] if turns and turns[0]["role"] == "system" else ""
    roles = [turn["role"] for turn in turns]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise Unfit("not_alternating")
    return system, turns


def _trl(prompt: list[Turn], answers: Mapping[str, list[Turn]]) -> dict[str, Any]:
    begin = _turns(prompt, strict=False)
    tools = [turn.pop("tools") for turn in begin if "tools" in turn]
    sides = {name: _turns(turns, strict=False) for name, turns in answers.items()}
    return {"prompt": begin, **sides, **({"tools": tools[0]} if tools else {})}


def _alpaca(prompt: list[Turn], answers: Mapping[str, list[Turn]]) -> dict[str, Any]:
    system, (*before, last) = _alternating(prompt)
    texts = {name: _only(turns)["content"] for name, turns in answers.items()}
    record = {"instruction": last["content"], "input": ""}
    record |= {"output": texts.get("completion", "")} if "chosen" not in texts else texts
    if system:
        record["system"] = system
    if before:
        texts_before = [turn["content"] for turn in before]
        record["history"] = [list(pair) for pair in zip(*[iter(texts_before)] * 2, strict=True)]
    return record


def _sharegpt(prompt: list[Turn], answers: Mapping[str, list[Turn]]) -> dict[str, Any]:
    def said(turn: Turn) -> dict[str, str]:
        return {"from": _SHAREGPT[turn["role"]], "value": turn["content"]}

    system, turns = _alternating(prompt)
    begin = [{"role": "system", "content": system}] if system else []
    conversation = [said(turn) for turn in (*begin, *turns)]
    sides = {name: said(_only(answer)) for name, answer in answers.items()}
    if "completion" in sides:
        conversation.append(sides.pop("completion"))
    return {"conversations": conversation, **sides}


def _openai(prompt: list[Turn], answers: Mapping[str, list[Turn]]) -> dict[str, Any]:
    begin = _turns(prompt)
    if "chosen" in answers:
        return {
            "input": {"messages": begin},
            "preferred_output": [_only(answers["chosen"])],
            "non_preferred_output": [_only(answers["rejected"])],
        }
    # Weight 0, so that only the completion is learned, as with the other trainers here.
    before = [
        turn | {"weight": 0} if turn["role"] == "assistant" and answers else turn for turn in begin
    ]
    return {"messages": before + _turns(answers.get("completion", []))}


def _axolotl(prompt: list[Turn], answers: Mapping[str, list[Turn]]) -> dict[str, Any]:
    begin = _turns(prompt)
    if "chosen" in answers:
        return {"messages": begin, **{name: _only(turns) for name, turns in answers.items()}}
    before = [turn | {"train": False} for turn in begin]
    return {"messages": before + [turn | {"train": True} for turn in _turns(answers["completion"])]}


def _yaml(comment: str, settings: Mapping[str, Any]) -> str:
    return f"# {comment}\n" + yaml.safe_dump(dict(settings), sort_keys=False)


def _of_trl(method: str) -> Exporter:
    command = f"trl {method} --config trl.yaml"
    data = {"path": "json", "data_files": "train.jsonl", "split": "train"}
    learn: dict[str, Any] = {"beta": 0.1} if method == "dpo" else {}
    settings = {"model_name_or_path": "MODEL", "datasets": [data], **learn, "output_dir": "out"}
    return Exporter("train.jsonl", _trl, {"trl.yaml": _yaml(command, settings)}, command)


def _of_openai(method: str) -> Exporter:
    job = {"model": "MODEL", "training_file": "FILE_ID", "method": {"type": method}}
    config = {"job.json": json.dumps(job, indent=2) + "\n"}
    command = "upload train.jsonl and create a fine-tuning job with the body job.json"
    return Exporter("train.jsonl", _openai, config, command)


def _of_llamafactory(stage: str) -> Exporter:
    columns = {"messages": "conversations"}
    info: dict[str, Any] = {"file_name": "train.json", "formatting": "sharegpt", "columns": columns}
    learn: dict[str, Any] = {"mask_history": True}
    if stage == "dpo":
        columns |= {"chosen": "chosen", "rejected": "rejected"}
        info |= {"ranking": True}
        learn = {"pref_beta": 0.1}
    settings = {
        "model_name_or_path": "MODEL",
        "template": "default",
        "stage": stage,
        "do_train": True,
        "finetuning_type": "lora",
        "dataset_dir": ".",
        "dataset": "train",
        **learn,
        "output_dir": "out",
    }
    command = "llamafactory-cli train llamafactory.yaml"
    config = {
        "dataset_info.json": json.dumps({"train": info}, indent=2) + "\n",
        "llamafactory.yaml": _yaml(command, settings),
    }
    return Exporter("train.json", _sharegpt, config, command)


def _of_axolotl(method: str) -> Exporter:
    fields = {"type": "chat_template", "field_messages": "messages"}
    if method == "dpo":
        fields["type"] += ".default"
        fields |= {"field_chosen": "chosen", "field_rejected": "rejected"}
    else:
        fields |= {"message_field_training": "train"}
    source = {"path": "train.jsonl", "ds_type": "json", **fields}
    learn = {"rl": "dpo"} if method == "dpo" else {}
    whole = {"base_model": "MODEL", **learn, "datasets": [source], "output_dir": "out"}
    command = "axolotl train axolotl.yaml"
    return Exporter("train.jsonl", _axolotl, {"axolotl.yaml": _yaml(command, whole)}, command)


EXPORTERS: Final[Mapping[str, Mapping[str, Exporter]]] = {
    "trl": {
        "examples": _of_trl("sft"),
        "pairs": _of_trl("dpo"),
        "prompts": Exporter("train.jsonl", _trl),
    },
    "alpaca": dict.fromkeys(("examples", "pairs", "prompts"), Exporter("train.json", _alpaca)),
    "sharegpt": dict.fromkeys(("examples", "pairs", "prompts"), Exporter("train.json", _sharegpt)),
    "openai": {
        "examples": _of_openai("supervised"),
        "pairs": _of_openai("dpo"),
        "prompts": Exporter("train.jsonl", _openai),
    },
    "llamafactory": {"examples": _of_llamafactory("sft"), "pairs": _of_llamafactory("dpo")},
    "axolotl": {"examples": _of_axolotl("sft"), "pairs": _of_axolotl("dpo")},
}
"""Format -> dataset type -> exporter. Candidates are written like examples."""
