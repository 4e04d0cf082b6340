"""Forms of data that people publish, through the real command line: what becomes of each.

Every form is written down by what its publisher calls it, with the rows or the drops that a careful
reader expects.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from checkout import Cli
from srlm_data.core.errors import DataError
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.steps.read import ReadPrompts, read_prompts
from srlm_data.store import Store

Q, GOOD, BAD = "What is tea?", "A drink.", "Rum."


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def human(text: str) -> dict[str, str]:
    return {"from": "human", "value": text}


def gpt(text: str) -> dict[str, str]:
    return {"from": "gpt", "value": text}


SYSTEM = {"role": "system", "content": "Be brief."}
EARLIER = [user("Hi"), said("Hello")]
HH = f"\n\nHuman: {Q}\n\nAssistant:"


class Form(NamedTuple):
    """A record, and what must become of it: a row by ``fields``, or a drop under a reason."""

    name: str
    record: dict[str, Any]
    prompt: list[dict[str, str]] | None = None
    dropped: str | None = None
    scores: tuple[float | None, float | None] = (None, None)
    settings: Mapping[str, Any] = MappingProxyType({})


ASKED = [user(Q)]

PAIRS = [
    Form("pku_saferlhf", {"prompt": Q, "response_0": BAD, "response_1": GOOD,
                          "is_response_0_safe": True, "better_response_id": 1,
                          "safer_response_id": 0}, ASKED),
    Form("pku_tie", {"prompt": Q, "response_0": BAD, "response_1": GOOD,
                     "better_response_id": -1}, dropped="no_winner"),
    Form("arena", {"question_id": "1", "model_a": "x", "model_b": "y", "winner": "model_b",
                   "conversation_a": [user(Q), said(BAD)], "conversation_b": [user(Q), said(GOOD)],
                   "turn": 1, "language": "English"}, ASKED),
    Form("arena_tie", {"winner": "tie (bothbad)", "conversation_a": [user(Q), said(BAD)],
                       "conversation_b": [user(Q), said(GOOD)]}, dropped="no_winner"),
    Form("arena_55k", {"prompt": json.dumps([Q]), "response_a": json.dumps([GOOD]),
                       "response_b": json.dumps([BAD]), "winner_model_a": 1, "winner_model_b": 0,
                       "winner_tie": 0}, ASKED),
    Form("arena_55k_tie", {"prompt": json.dumps([Q]), "response_a": json.dumps([GOOD]),
                           "response_b": json.dumps([BAD]), "winner_model_a": 0,
                           "winner_model_b": 0, "winner_tie": 1}, dropped="no_winner"),
    Form("shp", {"post_id": "1", "history": Q, "human_ref_A": BAD, "human_ref_B": GOOD,
                 "labels": 0, "score_A": 2, "score_B": 8, "score_ratio": 4.0}, ASKED,
         scores=(8.0, 2.0)),
    Form("webgpt", {"question": {"dataset": "eli5", "id": "1", "full_text": Q}, "answer_0": BAD,
                    "answer_1": GOOD, "score_0": -0.5, "score_1": 0.5, "tokens_0": {}}, ASKED,
         scores=(0.5, -0.5)),
    Form("webgpt_tie", {"question": {"full_text": Q}, "answer_0": BAD, "answer_1": GOOD,
                        "score_0": 0.0, "score_1": 0.0}, dropped="no_winner"),
    Form("helpsteer2_preference", {"prompt": Q, "response_1": BAD, "response_2": GOOD,
                                   "preference_strength": 2}, ASKED),
    Form("helpsteer3", {"context": EARLIER + ASKED, "response1": GOOD, "response2": BAD,
                        "overall_preference": -3}, EARLIER + ASKED),
    Form("helpsteer3_equal", {"context": ASKED, "response1": GOOD, "response2": BAD,
                              "overall_preference": 0}, dropped="no_winner"),
    Form("prometheus", {"instruction": Q, "response_A": GOOD, "response_B": BAD,
                        "preference": "A"}, ASKED),
    Form("own_two_answers", {"q": Q, "left": GOOD, "right": BAD, "better": "left"}, ASKED,
         settings={"columns": {"prompt": "q", "first": "left", "second": "right",
                               "winner": "better"}}),
    Form("nectar", {"prompt": f"{HH} ", "turns": 1, "num_responses": 3, "good_natured": True,
                    "answers": [{"answer": "So so.", "model": "x", "rank": 2.0},
                                {"answer": GOOD, "model": "y", "rank": 1.0},
                                {"answer": BAD, "model": "z", "rank": 3.0}]}, ASKED),
    Form("capybara", {"source": "Airoboros", "conversation": [{"input": Q, "output": GOOD}],
                      "prompt": ASKED, "chosen": [user(Q), said(GOOD)],
                      "rejected": [user(Q), said(BAD)], "rating_chosen": 5, "rating_rejected": 4,
                      "chosen_model": "", "new_generations": [BAD]}, ASKED, scores=(5.0, 4.0)),
    Form("orpo_mix", {"source": "x", "chosen": [user(Q), said(GOOD)], "question": "",
                      "rejected": [user(Q), said(BAD)], "prompt": Q}, ASKED),
    Form("ultrafeedback_binarized", {"prompt": Q, "prompt_id": "9", "chosen": [user(Q), said(GOOD)],
                                     "rejected": [user(Q), said(BAD)],
                                     "messages": [user(Q), said(GOOD)], "score_chosen": 8.5,
                                     "score_rejected": 6.0}, ASKED, scores=(8.5, 6.0)),
    Form("ultrafeedback", {"source": "evol", "instruction": Q, "models": ["x", "y"],
                           "completions": [
                               {"model": "x", "response": BAD, "overall_score": 3.0,
                                "fine-grained_score": 4.0, "annotations": {"honesty": {}}},
                               {"model": "y", "response": GOOD, "overall_score": 8.0,
                                "fine-grained_score": 2.0}]}, ASKED, scores=(8.0, 3.0)),
    Form("ultrafeedback_fine_grained", {"instruction": Q, "completions": [
        {"response": BAD, "fine-grained_score": 2.25},
        {"response": GOOD, "fine-grained_score": 4.75}]}, ASKED, scores=(4.75, 2.25)),
    Form("argilla_cleaned", {"source": "x", "prompt": Q, "chosen": [user(Q), said(GOOD)],
                             "chosen-rating": 5.0, "chosen-model": "x",
                             "rejected": [user(Q), said(BAD)], "rejected-rating": 2.0}, ASKED,
         scores=(5.0, 2.0)),
    Form("distilabel_orca", {"system": "Be brief.", "input": Q, "generations": [BAD, GOOD],
                             "rating": [3.0, 9.0], "order": ["rejected", "chosen"]},
         [SYSTEM, *ASKED], scores=(9.0, 3.0)),
    Form("intel_orca", {"system": "Be brief.", "question": Q, "chosen": GOOD, "rejected": BAD},
         [SYSTEM, *ASKED]),
    Form("llama_factory", {"conversations": [human(Q)], "chosen": gpt(GOOD), "rejected": gpt(BAD)},
         ASKED),
    Form("llama_factory_alpaca", {"instruction": "What is", "input": "tea?", "chosen": GOOD,
                                  "rejected": BAD}, [user("What is\n\ntea?")]),
    Form("llama_factory_ranking", {"instruction": Q, "input": "", "output": [GOOD, BAD]}, ASKED),
    Form("axolotl", {"messages": [SYSTEM, *ASKED], "chosen": said(GOOD), "rejected": said(BAD)},
         [SYSTEM, *ASKED]),
    Form("openai_preference", {"input": {"messages": [SYSTEM, *ASKED], "tools": [],
                                         "parallel_tool_calls": True},
                               "preferred_output": [said(GOOD)],
                               "non_preferred_output": [said(BAD)]}, [SYSTEM, *ASKED]),
    Form("skywork", {"chosen": [user(Q), said(GOOD)], "rejected": [user(Q), said(BAD)],
                     "source": "x"}, ASKED),
    Form("hh_rlhf", {"chosen": f"{HH} {GOOD}", "rejected": f"{HH} {BAD}"}, ASKED),
    Form("ultrainteract", {"trajectory": [{"from": "user", "value": Q}], "chosen": GOOD,
                           "rejected": BAD}, ASKED),
    Form("json_texts", {"prompt": json.dumps(ASKED), "chosen": json.dumps([said(GOOD)]),
                        "rejected": json.dumps([said(BAD)])}, ASKED),
    Form("margin_below_zero", {"prompt": Q, "chosen": GOOD, "rejected": BAD, "margin": -1.0},
         dropped="not_better"),
    Form("another_prompt", {"prompt": "Who?", "chosen": [user(Q), said(GOOD)],
                            "rejected": [user(Q), said(BAD)]}, dropped="prompt_differs"),
    Form("null_side", {"prompt": Q, "chosen": GOOD, "rejected": None}, dropped="empty"),
]  # fmt: skip

EXAMPLES = [
    Form("alpaca_history", {"instruction": Q, "input": "", "output": GOOD,
                            "history": [["Hi", "Hello"]]}, EARLIER + ASKED),
    Form("alpaca_history_text", {"instruction": Q, "output": GOOD,
                                 "history": json.dumps([["Hi", "Hello"]])}, EARLIER + ASKED),
    Form("dolly", {"instruction": "What is", "context": "tea?", "response": GOOD,
                   "category": "qa"}, [user("What is\n\ntea?")]),
    Form("open_orca", {"id": "1", "system_prompt": "Be brief.", "question": Q, "response": GOOD},
         [SYSTEM, *ASKED]),
    Form("lima", {"conversations": [Q, GOOD], "source": "stackexchange"}, ASKED),
    Form("sharegpt_system", {"id": "1", "conversations": [human(Q), gpt(GOOD)],
                             "system": "Be brief."}, [SYSTEM, *ASKED]),
    Form("sharegpt_user_assistant", {"conversations": [{"from": "user", "value": Q},
                                                       {"from": "assistant", "value": GOOD}]},
         ASKED),
    Form("sharegpt_starts_with_gpt", {"conversations": [gpt("Hello"), human(Q), gpt(GOOD)]},
         [said("Hello"), *ASKED]),
    Form("moss", {"conversation": [{"human": "Hi", "assistant": "Hello"},
                                   {"human": Q, "assistant": GOOD}]}, EARLIER + ASKED),
    Form("ultrachat", {"prompt": "Hi", "prompt_id": "9",
                       "messages": [*EARLIER, user(Q), said(GOOD)]}, EARLIER + ASKED),
    Form("wildchat", {"conversation": [{**user(Q), "country": "DE", "toxic": False},
                                       {**said(GOOD), "country": None}], "turn": 1}, ASKED),
    Form("magpie", {"instruction": Q, "response": GOOD,
                    "conversations": [human(Q), gpt(GOOD)]}, ASKED),
    Form("gsm8k", {"question": Q, "answer": GOOD}, ASKED),
    Form("math", {"problem": Q, "level": "1", "solution": GOOD}, ASKED),
    Form("gemini", {"contents": [{"role": "user", "parts": [{"text": Q}]},
                                 {"role": "model", "parts": [{"text": GOOD}]}]}, ASKED),
    Form("openai_weights", {"messages": [user(Q), {**said(GOOD), "weight": 1}],
                            "parallel_tool_calls": False}, ASKED),
    Form("messages_as_text", {"messages": json.dumps([user(Q), said(GOOD)])}, ASKED),
    Form("parts", {"messages": [{"role": "user", "content": [{"type": "text", "text": Q}]},
                                said(GOOD)]}, ASKED),
    Form("picture", {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": Q}]},
        said(GOOD)]}, dropped="content_not_text"),
    Form("tool_use_part", {"messages": [user(Q), {"role": "assistant", "content": [
        {"type": "tool_use", "name": "f", "input": {}}]}]}, dropped="content_not_text"),
    Form("ends_with_user", {"messages": [user(Q)]}, dropped="no_answer"),
    Form("narrator", {"messages": [{"role": "narrator", "content": Q}, said(GOOD)]},
         dropped="unknown_role"),
    Form("null_turn", {"messages": [user(Q), {"role": "assistant", "content": None}]},
         dropped="empty"),
    Form("a_number", {"prompt": 5, "completion": GOOD}, dropped="not_text"),
    Form("an_object", {"prompt": {"question_body": Q}, "completion": GOOD}, dropped="not_text"),
    Form("kto_good", {"prompt": Q, "completion": GOOD, "label": True}, ASKED),
    Form("kto_bad", {"prompt": Q, "completion": GOOD, "label": False}, dropped="labelled_bad"),
    Form("kto_turns", {"conversations": [human(Q), gpt(GOOD)], "kto_tag": True}, ASKED),
    Form("half_a_character", {"prompt": Q, "completion": "\ud83d"}, dropped="invalid_unicode"),
]  # fmt: skip


def row(form: Form, kind: str) -> dict[str, Any]:
    if kind == "examples":
        return {"prompt": form.prompt, "completion": [said(GOOD)]}
    chosen, rejected = form.scores
    return {
        "prompt": form.prompt, "chosen": [said(GOOD)], "rejected": [said(BAD)],
        "chosen_score": chosen, "rejected_score": rejected,
    }  # fmt: skip


def build_rows(cli: Cli, folder: Path, datasets: dict[str, Any]) -> Store:
    recipe = folder / "forms.yaml"
    recipe.write_text(yaml.safe_dump({"datasets": datasets}))
    built = cli("build", recipe)
    assert built.returncode == 0, built.stderr
    return Store(folder / "store")


@pytest.mark.slow
def test_forms_that_people_publish_become_the_rows_that_a_careful_reader_expects(
    cli: Cli, project: Path
) -> None:
    forms = [("pairs", form) for form in PAIRS] + [("examples", form) for form in EXAMPLES]
    datasets = {}
    for kind, form in forms:
        (project / f"{form.name}.jsonl").write_text(json.dumps(form.record) + "\n")
        datasets[form.name] = {
            "step": f"read_{kind}", "files": f"{form.name}.jsonl", "allow_empty": True,
            **form.settings,
        }  # fmt: skip
    store = build_rows(cli, project, datasets)
    wrong = []
    for kind, form in forms:
        manifest = store.resolve(f"forms.{form.name}")
        wanted = (
            [row(form, kind)] if form.prompt else [],
            {form.dropped: 1} if form.dropped else {},
        )
        rows = [
            {name: one[name] for name in row(form, kind)} for one in store.rows(manifest).dicts()
        ]
        if (rows, manifest.drops) != wanted:
            wrong.append((form.name, rows, manifest.drops))
    assert wrong == []


LINE = b'{"prompt": "caf\xc3\xa9\\nnoir"}\n'
TEXT = "caf\u00e9\nnoir"
CSV = b'id,prompt\n1,"caf\xc3\xa9\nnoir"\n'


def zst(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


def parquet(values: pa.Array) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"prompt": values}), sink)
    return sink.getvalue()


def semicolons() -> bytes:
    file = io.StringIO()
    csv.writer(file, delimiter=";").writerows([["id", "prompt"], ["1", TEXT], ["2", "b, c"]])
    return file.getvalue().encode()


CONTAINERS: dict[str, tuple[bytes, list[str]]] = {
    "quoted_newlines.csv": (CSV + b'2,"say ""hi"", then"\n', [TEXT, 'say "hi", then']),
    "windows.csv": (CSV.replace(b"\n1,", b"\r\n1,")[:-1] + b"\r\n2,b\r\n", [TEXT, "b"]),
    "mark.csv": (codecs.BOM_UTF8 + b'prompt\n"caf\xc3\xa9\nnoir"\n', [TEXT]),
    "excel.csv": (b'prompt\r\n"caf\xc3\xa9\nnoir"\r\nb\r\n', [TEXT, "b"]),
    "old_mac.csv": (b"id,prompt\r1,b\r2,c\r", ["b", "c"]),
    "index.csv": (b",prompt\n0,b\n1,c\n", ["b", "c"]),
    "semicolons.csv": (semicolons(), [TEXT, "b, c"]),
    "asides.csv": (b"prompt\nb; c\nd; e\n", ["b; c", "d; e"]),
    "one_column.csv": (b"prompt\n5\nNA\n007\n", ["5", "NA", "007"]),
    "wide.tsv": (b'id\tprompt\n1\t"caf\xc3\xa9\nnoir"\n2\ta, b\n', [TEXT, "a, b"]),
    "mark.tsv.gz": (gzip.compress(codecs.BOM_UTF8 + b"prompt\tid\nb\t1\n"), ["b"]),
    "mark.jsonl": (codecs.BOM_UTF8 + LINE, [TEXT]),
    "windows.jsonl": (LINE.replace(b"}\n", b"}\r\n") * 2 + b"\r\n", [TEXT]),
    "LOUD.JSONL.GZ": (gzip.compress(LINE), [TEXT]),
    "members.jsonl.gz": (gzip.compress(LINE) + gzip.compress(b'{"prompt": "b"}'), [TEXT, "b"]),
    "frames.ndjson.zst": (zst(LINE) + zst(b'{"prompt": "b"}\n'), [TEXT, "b"]),
    "array.json.zst": (zst(b"[" + LINE + b', {"prompt": "b"}]'), [TEXT, "b"]),
    "mark.json": (codecs.BOM_UTF8 + b"[" + LINE + b"]", [TEXT]),
    "spread.json": (b'{\n "prompt": "b"\n}\n{\n "prompt": "c"\n}\n', ["b", "c"]),
    "one.json": (b'{"prompt": "b"}', ["b"]),
    "codes.parquet": (parquet(pa.array([TEXT, "b", TEXT]).dictionary_encode()), [TEXT, "b"]),
    "large.parquet": (parquet(pa.array([TEXT], pa.large_string())), [TEXT]),
    "packed.parquet.gz": (gzip.compress(parquet(pa.array([TEXT]))), [TEXT]),
}
"""A file's name, what is in it, and the prompts that must come out of it."""


@pytest.mark.slow
def test_files_as_they_come_are_read(cli: Cli, project: Path) -> None:
    datasets = {}
    for name, (data, _) in CONTAINERS.items():
        (project / name).write_bytes(data)
        datasets[name.lower().replace(".", "_")] = {"step": "read_prompts", "files": name}
    mixed = project / "mixed"
    (mixed / "deep" / "er").mkdir(parents=True)
    (mixed / ".cache").mkdir()
    files = {
        "a.jsonl": LINE, "deep/b.csv": b"prompt\nb\n",
        "deep/er/c.jsonl.zst": zst(b'{"prompt": "c"}'),
        "README.md": b"# hello", "deep/photo.png": b"\x89PNG", ".cache/d.jsonl": b"broken",
        "dataset_infos.json": b"{}",
    }  # fmt: skip
    for name, data in files.items():
        (mixed / name).write_bytes(data)
    datasets["mixed"] = {"step": "read_prompts", "files": "mixed"}
    datasets["pattern"] = {"step": "read_prompts", "files": "mixed/**/*.[cj]s*v*"}
    wanted = {name.lower().replace(".", "_"): texts for name, (_, texts) in CONTAINERS.items()}
    wanted |= {"mixed": [TEXT, "b", "c"], "pattern": ["b"]}
    store = build_rows(cli, project, datasets)
    read = {}
    for name in datasets:
        rows = store.rows(store.resolve(f"forms.{name}")).dicts()
        read[name] = sorted(one["prompt"][0]["content"] for one in rows)
    assert read == {name: sorted(texts) for name, texts in wanted.items()}


REFUSED: dict[str, tuple[bytes, str]] = {
    "latin.jsonl": ('{"prompt": "caf\u00e9"}\n'.encode("latin-1"), "in UTF-8"),
    "latin.csv": ("prompt\ncaf\u00e9\n".encode("latin-1"), "not utf-8"),
    "wide.jsonl": ('{"prompt": "b"}\n'.encode("utf-16"), "this is text in UTF-16"),
    "unmarked.jsonl": ('{"prompt": "b"}\n'.encode("utf-16-le"), "this is text in UTF-16"),
    "wide.csv": ("prompt\nb\n".encode("utf-16"), "this is text in UTF-16"),
    "twice.jsonl.gz": (gzip.compress(gzip.compress(LINE)), "this is gzip"),
    "twice.jsonl.zst": (zst(zst(LINE)), "this is Zstandard"),
    "zipped.jsonl": (b"PK\x03\x04....", "a ZIP archive"),
    "cut.jsonl.gz": (gzip.compress(LINE * 1000)[:-20], "cannot be read on after"),
    "cut.json": (b"[" + LINE + b', {"prompt": "b', "cannot be read on after|JSON"),
    "cut.parquet": (parquet(pa.array([TEXT]))[:-9], "cannot be read on after"),
    "keys.jsonl": (LINE + b'{"prompt": "b", "prompt": "c"}\n', ":2: .*'prompt' stands twice"),
    "keys.json": (b'[{"prompt": "b", "prompt": "c"}]', "record 1: .*'prompt' stands twice"),
    "keys.csv": (b"prompt,prompt\nb,c\n", "'prompt' stands twice"),
    "uneven.csv": (b"id,prompt\n1,b\n2,c,d,e\n3,f\n", "Line: 3, Expected Number of Columns: 2"),
    "open_quote.csv": (b'id,prompt\n1,"open\n2,b\n', "Line: 2, .*unterminated quote"),
    "wrapped.json": (b'{"data": [{"prompt": "b"}]}', r"no column 'prompt', found \['data'\]"),
    "page.csv": (b"<!DOCTYPE html><html>", "an HTML page"),
    "pointer.parquet": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
}
"""A file's name, what is in it, and what the one sentence about it says."""


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read_is_told_in_one_sentence(tmp_path: Path, name: str) -> None:
    data, sentence = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    rows = read_prompts(ReadPrompts.model_validate({"files": str(tmp_path / name)}))
    with pytest.raises(DataError, match=sentence) as refused:
        rows.count()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.jsonl", b""), ("empty.csv", b""), ("blank.json", b"\n\n"), ("array.json", b"[]"),
        ("header.tsv", b"prompt\tid\n"),
    ],
)  # fmt: skip
def test_a_file_without_records_is_no_dataset(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    recipe, store = tmp_path / "forms.yaml", Store(tmp_path / "store")
    recipe.write_text(f"datasets:\n  rows: {{step: read_prompts, files: {name}}}\n")
    with pytest.raises(DataError, match="rows: no prompts came, for no record is there"):
        build(load(recipe), store)
    recipe.write_text(recipe.read_text().replace("}", ", allow_empty: true}"))
    assert build(load(recipe), store)["forms.rows"].rows == 0
