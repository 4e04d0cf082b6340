"""Coverage-guided fuzzing of what reads strangers' text, with atheris (libFuzzer).

    python tests/fuzz/fuzz.py judge -runs=100000
    python tests/fuzz/fuzz.py recipe -max_total_time=120

A target may end in an expected error (a sentence for the user); anything else that is raised, and
anything that a target asserts, is a finding: libFuzzer writes the input into the current folder.
Whatever libFuzzer takes (-runs, -max_total_time, -timeout, a corpus folder) may follow the target.
"""

from __future__ import annotations

import json
import math
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["srlm_data"]):
    from srlm_data.analysis.query import _TOKEN
    from srlm_data.core import templates, yaml_lines
    from srlm_data.core.errors import RecipeError, SrlmError
    from srlm_data.core.rows import Drops, Rows
    from srlm_data.core.schema import COMPARISON_STATES, MESSAGES, STATES
    from srlm_data.pipeline.recipe import load
    from srlm_data.steps.judging.texts import read_score, read_verdict
    from srlm_data.steps.read import open_assistant
    from srlm_data.steps.read._conversations import read_turns
    from srlm_data.steps.read._values import RecordDropError
    from srlm_data.steps.self_instruct._lists import new_prompts

FINISHES: Final = ("stop", "length", "error")
JUDGE: Final = templates.load("judge")
FOLDER: Final = Path(tempfile.mkdtemp(prefix="srlm-data-fuzz-"))


def judge(data: bytes) -> None:
    """What a model wrote: as a judgment, a comparison, an answer and a list of prompts."""
    fuzzed = atheris.FuzzedDataProvider(data)
    finish = fuzzed.PickValueInList(list(FINISHES))
    text = fuzzed.ConsumeUnicode(sys.maxsize)
    verdict = read_score(text, finish)
    assert verdict.state in STATES
    assert (verdict.score is None) == (verdict.state != "parsed")
    assert verdict.score is None or (0 <= verdict.score <= 5 and math.isfinite(verdict.score))
    state, winner = read_verdict(text, finish)
    assert state in COMPARISON_STATES
    assert winner in ({"a", "b", "tie"} if state == "parsed" else {None})
    filled = JUDGE.fill(prompt=text, response=text)
    assert len(re.findall(r"<\s*/\s*response\s*>", filled, re.IGNORECASE)) == 1
    for prompt in new_prompts(text, ["What is shown?"]):
        assert prompt.text.strip()


def recipe(data: bytes) -> None:
    """The bytes of a YAML file."""
    file = FOLDER / "mine.yaml"
    file.write_bytes(data)
    try:
        load(file)
    except RecipeError as error:
        assert error.problems
    try:
        yaml_lines.read(file)
    except RecipeError as error:
        assert str(error)


def tree(data: bytes) -> None:
    """A line of a file: an Open Assistant tree, a flat message, or a conversation."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        turns = read_turns(record, "user")
    except RecordDropError:
        turns = []
    for turn in turns:
        assert turn["role"] in ("system", "user", "assistant", "tool")
        turn["content"].encode()
    if not isinstance(record, dict):
        return
    try:
        rows = list(open_assistant.messages_of(record, Drops(), "line"))
    except RecordDropError:
        return
    Rows.of(MESSAGES, rows).table()


def sql(data: bytes) -> None:
    """A query, whose version names are rewritten and whose strings and comments are not."""
    text = atheris.FuzzedDataProvider(data).ConsumeUnicodeNoSurrogates(sys.maxsize)
    named: list[str] = []

    def name(match: re.Match[str]) -> str:
        if match["recipe"] is None:
            return match[0]
        named.append(match[0])
        assert re.fullmatch(r"\w+\.\w+@\w+", match[0], re.ASCII)
        return "\0"

    rewritten = _TOKEN.sub(name, text)
    assert text.count("\0") + len(named) == rewritten.count("\0")
    for quote in ("'", '"', "$$"):
        inside = f"{quote}{text.replace(quote[0], '')} a.b@c{quote}"
        assert _TOKEN.sub(name, inside) == inside


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "judge": judge, "recipe": recipe, "tree": tree, "sql": sql,
}  # fmt: skip
WORDS: Final = {
    "judge": [
        "Score:",
        "**Score:** 4/5",
        "Verdict: [[A]]",
        "tie",
        " out of ",
        "</response>",
        "\uff1a",
        "\uff15",
        "\u2212",
        "3.5",
        "1. ",
        "Answer:",
        "{response}",
        "&lt;",
        "\u0665",
    ],
    "recipe": [
        "datasets:",
        "step: ",
        "checkpoint",
        "sql",
        "engine: ",
        "{kind: vllm}",
        "inputs: ",
        "query: ",
        "a: {",
        "!!int ",
        "!!timestamp ",
        "&a ",
        "*a",
        "<<: ",
        "\t",
        "? ",
        "seed: ",
        "hub: a/b@" + "0" * 40,
        ".inf",
        "2001-01-01",
        "os:sep",
        "path: ",
        "answer",
        "judge",
    ],
    "tree": [
        '"message_tree_id"',
        '"prompt"',
        '"message_id"',
        '"text"',
        '"role"',
        '"prompter"',
        '"assistant"',
        '"replies"',
        '"rank"',
        '"parent_id"',
        '"lang"',
        '"messages"',
        '"content"',
        "null",
        "true",
        "1e400",
        "NaN",
        '"\\ud800"',
        '"user"',
        ": ",
        "[{",
        "}]",
    ],
    "sql": ["iter1.pairs@3f2a", "e'", "\\'", "''", "/*", "*/", "--", "$a$", "$$", "SELECT ", '""'],
}


def main() -> None:
    """Fuzz the target that the command line names, from words of its language."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        sys.exit(f"usage: python {sys.argv[0]} {'|'.join(TARGETS)} [-runs=N] [-max_total_time=S]")
    target = atheris.instrument_func(TARGETS[name])
    dictionary = FOLDER / "words.txt"
    dictionary.write_text(
        "".join(
            '"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n'
            for word in WORDS[name]
        )
    )

    def one(data: bytes) -> None:
        try:
            target(data)
        except SrlmError as error:  # a sentence, but not where the target expects one
            raise AssertionError(f"an error in the wrong place: {error}") from error

    options = [f"-dict={dictionary}", "-timeout=10", "-rss_limit_mb=4096", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
