"""Thousands of hostile files, command lines and answers: a sentence each, none hangs or bursts.

What is tried is drawn from the corpus below by the numbers from 0 on, so that a finding is tried
again by its number alone. ``SRLM_FUZZ=100 pytest tests/fuzz/test_strangers.py`` tries all:
10,000 manifests, 10,000 recipes, 3,000 seeds, 3,000 command lines and 500 server answers; a
hundredth of it, and ten answers, is tried by default. All run in this process, through the
functions that the commands call (the command lines through the program's own ``main``).
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import os
import random
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pydantic
import pytest
import yaml

import toy
from api_server import completion, serve
from checkout import ROOT
from srlm_data.cli import main
from srlm_data.core import checked_json
from srlm_data.core.errors import SrlmError
from srlm_data.engines import _server_faults
from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Request, Sampling
from srlm_data.engines.settings import OpenaiEngine
from srlm_data.pipeline.plan import plan
from srlm_data.pipeline.recipe import load
from srlm_data.pipeline.registry import STEPS
from srlm_data.pipeline.signature import read_signature
from srlm_data.store import Store, manifests

SHARE = int(os.environ.get("SRLM_FUZZ", "1"))
HANGS_AFTER = 30
GROWS_BY = 2 << 20  # KiB
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

# The corpus: what strangers write in the place of anything --------------------------------------

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    10**20,
    10**400,
    -0.0,
    1e308,
    float("inf"),
    float("nan"),
    "",
    " ",
    "a",
    "..",
    "../../x",
    "/etc/passwd",
    "\0",
    "\x1b[2J",
    "\u202e",
    "\ud800",
    "\ufeff",
    "a" * 100_000,
    "%s%n{0}{x}",
    "{{ 7 * 7 }}",
    "'; DROP TABLE x; --",
    "${HOME}",
    "~",
    "2001-99-99",
    "latest",
    "toy.pairs",
    "toy.pairs@0",
    "hub:a/b@main",
    "os:system",
    "x:y",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"a": {"b": {"c": []}}},
    ["a"] * 1000,
    "Score: 5",
    "</response>",
    "\U0001f469\u200d\U0001f680",
    "e\u0301" * 500,
    "\r\n",
    "true",
    "0x10",
    "1_000",
    "1e999",
    ".inf",
]
BYTES = [
    b"\xff",
    b"\xfe\xff",
    b"\x00",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"{",
    b"[",
    b'"',
    b"\\ud800",
    b"\r",
    b"[" * 5000,
    b'{"a":' * 3000,
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!python/object:os.system ",
    b"\t",
    b": ",
    b"? ",
    b"- ",
    b"|\n",
    b"#",
    b"NaN",
    b"1e400",
    b"\xef\xbb\xbf",
    b"9" * 5000,
]
KEYS = [
    "sha256",
    "format",
    "name",
    "version",
    "step",
    "n",
    "files",
    "model",
    "role",
    "content",
    "x",
]


def spoil(value: Any, chance: random.Random) -> Any:
    """Return a tree with something in it replaced, taken away, added or moved."""
    value = copy.deepcopy(value)
    inner = value
    while isinstance(inner, dict | list) and inner:
        place = chance.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if chance.random() < 0.4 or not isinstance(inner[place], dict | list):
            what = chance.random()
            if what < 0.7:
                inner[place] = copy.deepcopy(chance.choice(VALUES))
            elif what < 0.8:
                del inner[place]
            elif isinstance(inner, dict):
                inner[chance.choice(KEYS)] = inner[place]
            else:
                inner += inner[: chance.randrange(4)]
            break
        inner = inner[place]
    return value


def spoil_bytes(data: bytes, chance: random.Random) -> bytes:
    """Return a file with a few bytes inserted, removed, repeated or exchanged."""
    for _ in range(chance.randint(1, 4)):
        a, b = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        b = min(b, a + 200)
        data = chance.choice(
            [
                data[:a] + chance.choice(BYTES) + data[a:],
                data[:a] + data[b:],
                data[:b] + data[a:b] + data[b:],
                data[:a] + bytes([chance.randrange(256)]) + data[a + 1 :],
            ]
        )
    return data


def hung(number: int, frame: FrameType | None) -> NoReturn:
    raise TimeoutError(f"it took over {HANGS_AFTER} s")


@contextlib.contextmanager
def bounded(findings: list[str], what: str) -> Iterator[None]:
    """Note what is tried where it raises anything, or hangs; an expected error has a sentence."""
    signal.signal(signal.SIGALRM, hung)
    signal.alarm(HANGS_AFTER)
    try:
        yield
    except (SrlmError, pydantic.ValidationError) as error:
        if not str(error).strip():
            findings.append(f"{what}: no sentence")
    except Exception as error:  # noqa: BLE001 - that it is raised is the finding
        findings.append(f"{what}: {type(error).__name__}: {error!s:.2000}")
    finally:
        signal.alarm(0)


@pytest.fixture
def findings() -> Iterator[list[str]]:
    """Gather what is found, and refuse it at the end, and a process that has grown by much."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: list[str] = []
    yield found
    assert not found, "\n".join(found[:50])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWS_BY


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe and its store, which is the working folder."""
    toy.publish_pairs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> tuple[int, str]:
    """Run the program in this process; return its exit code, and what it says to the terminal."""
    streams = sys.stdin, sys.stdout, sys.stderr, sys.argv, sys.excepthook
    handlers = list(logging.getLogger("srlm_data").handlers)
    output, messages = io.BytesIO(), io.BytesIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(b""))
    sys.stdout, sys.stderr = io.TextIOWrapper(output), io.TextIOWrapper(messages)
    sys.argv = ["srlm-data", *words]
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        text = (output.getvalue() + messages.getvalue()).decode(errors="replace")
        sys.stdin, sys.stdout, sys.stderr, sys.argv, sys.excepthook = streams
        logging.getLogger("srlm_data").handlers[:] = handlers
    return int(str(code or 0)), text


LOOKS = [
    ["log", "toy.pairs"],
    ["show", "toy.pairs"],
    ["ls"],
    ["cost"],
    ["lineage", "toy.pairs"],
    ["gc"],
]


def test_manifests_of_strangers(built: Path, findings: list[str]) -> None:
    store = Store(built / "store")
    manifest = store.resolve("toy.pairs")
    file = store.folder(manifest.name, manifest.version) / "manifest.json"
    original = file.read_bytes()
    tree = checked_json.loads(original)
    taken = 0
    for number in range(100 * SHARE):
        chance = random.Random(number)
        with bounded(findings, f"manifest {number}"):
            if chance.random() < 0.2:
                data = spoil_bytes(original, chance)
            else:
                spoiled = tree
                for _ in range(chance.randint(1, 3)):
                    spoiled = spoil(spoiled, chance)
                if not isinstance(spoiled, dict):
                    continue
                head = json.dumps(spoiled, indent=2).removesuffix("\n}").encode()
                data = head + checked_json._after(head)
            try:
                manifests.parse(data)
            except ValueError:
                continue
            taken += 1
            file.write_bytes(data)
            code, text = run(*LOOKS[taken % len(LOOKS)])
            assert code in (0, 3, 4), text
            assert "Traceback" not in text
            assert "\x1b" not in text
    assert taken > SHARE


def test_recipes_of_strangers(tmp_path: Path, findings: list[str]) -> None:
    texts = [file.read_bytes() for file in sorted((ROOT / "recipes").glob("*.yaml"))]
    trees = [yaml.safe_load(text) for text in texts]
    store = Store(tmp_path / "store")
    file = tmp_path / "mine.yaml"
    for number in range(100 * SHARE):
        chance = random.Random(number)
        place = chance.randrange(len(texts))
        if chance.random() < 0.5:
            data = spoil_bytes(texts[place], chance)
        else:
            data = json.dumps(spoil(spoil(trees[place], chance), chance)).encode()
        with bounded(findings, f"recipe {number}"):
            file.write_bytes(data)
            plan(load(file), store)
    assert not store.root.exists()


TREE = {
    "message_tree_id": "t",
    "prompt": {
        "message_id": "m",
        "role": "prompter",
        "text": "Why?",
        "lang": "en",
        "rank": None,
        "replies": [
            {
                "message_id": "r",
                "parent_id": "m",
                "role": "assistant",
                "text": "So.",
                "lang": "en",
                "rank": 0,
                "replies": [],
            }
        ],
    },
}
RECORDS: list[Any] = [
    {"prompt": "Why?", "response": "So.", "chosen": "So.", "rejected": "No."},
    {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]},
    {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
    {"instruction": "Why?", "input": "", "output": "So."},
    {"question": "Why?", "answer": "So.", "score": 4, "lang": "en"},
    {"prompt": [{"role": "user", "content": "Why?"}], "completion": "So.", "label": True},
    {"prompt": "Why?", "responses": ["So.", "No."], "ranks": [1, 2]},
    TREE,
]
READERS = ["read_prompts", "read_examples", "read_pairs", "read_messages"]


def test_seeds_of_strangers(tmp_path: Path, findings: list[str]) -> None:
    readers = [read_signature(name, STEPS[name]) for name in READERS]
    for number in range(30 * SHARE):
        chance = random.Random(number)
        lines = [json.dumps(chance.choice(RECORDS)).encode() for _ in range(4)]
        place = chance.randrange(4)
        if chance.random() < 0.3:
            lines[place] = spoil_bytes(lines[place], chance)
        else:
            lines[place] = json.dumps(spoil(chance.choice(RECORDS), chance)).encode()
        file = tmp_path / chance.choice(["a.jsonl", "a.jsonl", "a.json", "a.csv", "a.tsv"])
        file.write_bytes(b"\n".join(lines))
        reader = chance.choice(readers)
        with bounded(findings, f"seed {number}"):
            config = reader.config.model_validate(
                {"files": [file.name]}, context={"base": tmp_path}
            )
            reader.function(config).table()
        file.unlink()


COMMANDS = [
    "ls",
    "show",
    "log",
    "cost",
    "sql",
    "diff",
    "lineage",
    "verify",
    "tag",
    "rm",
    "gc",
    "plan",
    "steps",
    "export",
    "report",
    "build",
    "eval",
    "publish",
    "review",
    "nonsense",
    "",
]
WORDS = [
    "toy.pairs",
    "toy.pairs@published",
    "toy.candidates",
    "toy",
    "toy.yaml",
    "--json",
    "-n",
    "1",
    "--help",
    "-o",
    "out.csv",
    "/dev/full",
    "--format",
    "csv",
    "--query",
    "scores",
    "-f",
    "--limit",
    "3",
    "--down",
    "--to",
    "trl",
    "--quarantine",
    "--delete",
    "--dry-run",
    "--engine",
    "--seed",
    "SELECT 1",
    "FROM toy.pairs",
    "--recipes",
    ".",
    "--store",
    "--no-preflight",
    "--allow-env",
    "store",
    "--max-time",
    "1h",
    "--exit-code",
    "--",
    "-",
    "a" * 5000,
    "../..",
    "1e99",
    "-1",
    "99999999999999999999",
]


def test_command_lines_with_raw_bytes(built: Path, findings: list[str]) -> None:
    for number in range(30 * SHARE):
        chance = random.Random(number)
        words = [chance.choice(COMMANDS)]
        for _ in range(chance.randrange(5)):
            word = chance.choice(WORDS).encode()
            if chance.random() < 0.3:
                word = bytes(chance.randrange(1, 256) for _ in range(chance.randrange(1, 12)))
            elif chance.random() < 0.2:
                word = spoil_bytes(word, chance).replace(b"\0", b"")
            words.append(os.fsdecode(word))
        with bounded(findings, f"command line {number}: {words}"):
            code, text = run(*words)
            assert code != 1, text
            assert code == 0 or text.strip()
            assert "Traceback" not in text
            assert "\x1b" not in text
    assert run("verify")[0] in (0, 4)


def test_answers_of_a_server(monkeypatch: pytest.MonkeyPatch, findings: list[str]) -> None:
    pytest.importorskip("openai")
    monkeypatch.setattr(_server_faults, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(_server_faults, "LONGEST_PAUSE", 0.001)
    monkeypatch.setenv("FUZZ_API_KEY", "nobody's")
    with serve() as api:
        for number in range(5 * SHARE + 5 * (SHARE == 1)):
            chance = random.Random(number)
            body = spoil(spoil(completion("a b"), chance), chance)
            data = json.dumps(body).encode()
            if chance.random() < 0.4:
                data = spoil_bytes(data, chance)
            code = chance.choice([200, 200, 200, 200, 400, 404, 429, 500, 302, 204])
            headers = chance.choice([{}, {}, {"Retry_After": "0"}, {"X_Odd": "\x80\xff"}])
            api.always = lambda handler, c=code, d=data, h=headers: handler.raw(c, d, **h)
            settings = OpenaiEngine(
                base_url=api.address,
                api_key_env="FUZZ_API_KEY",
                retries=1,
                timeout=10,
                patience=0.5,
            )
            with bounded(findings, f"answer {number}"):
                engine = open_engine(settings, "served", "d", "1")
                try:
                    request = Request(
                        "r", ({"role": "user", "content": "?"},), Sampling(1, 1, 8), 0
                    )
                    [got] = engine.generate([request])
                    assert got.finish_reason in ("stop", "length", "error")
                finally:
                    engine.close()
