"""What is fast stays fast: ratios within one process, with bounds that only a clear loss breaks.

``benchmarks/data_side.py`` measures; this guards. Both sides take turns, the best of several times
counts, and it is the processor's time, so that a busy machine changes neither.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from rapidfuzz import process
from rapidfuzz.distance import Indel

from benchmarks.data import novelty as prompts
from benchmarks.data import pairs
from benchmarks.data.measure import BENCHMARKS
from srlm_data.core.ids import row_id
from srlm_data.engines.cache._index import Index
from srlm_data.engines.cache.response_cache import ResponseCache
from srlm_data.engines.keys import KEY_DIGITS
from srlm_data.engines.protocol import Completion, Request, Sampling, response_keys
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.steps._novelty import Novelty
from srlm_data.steps._words import words
from srlm_data.store import Store

pytestmark = pytest.mark.slow


def ratio(ours: Callable[[], object], other: Callable[[], object], times: int = 5) -> float:
    """The best time of ours over the best time of the other; both are run once before."""

    def seconds(work: Callable[[], object]) -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    seconds(ours), seconds(other)
    turns = [(seconds(ours), seconds(other)) for _ in range(times)]
    return min(one for one, _ in turns) / min(two for _, two in turns)


def sift(texts: list[str]) -> list[bool]:
    return list(map(Novelty(0.7).take, texts))


def test_novelty_is_far_faster_than_comparing_every_pair() -> None:
    texts = prompts.texts(2_000)

    def every_pair() -> None:
        numbers: dict[str, str] = {}
        coded = [
            "".join(numbers.setdefault(word, chr(len(numbers))) for word in words(text))
            for text in texts[:500]  # a quarter of them, a sixteenth of the pairs
        ]
        process.cdist(coded, coded, scorer=Indel.normalized_similarity, score_cutoff=0.7)

    assert ratio(lambda: sift(texts), every_pair, 3) < 16 / 2


def test_novelty_grows_slower_than_the_square_where_pools_are_usual() -> None:
    texts = prompts.texts(2_400)
    # Eight times the prompts: 64 times the time where every pair is compared.
    assert ratio(lambda: sift(texts), lambda: sift(texts[:300]), 3) < 24


def requests(count: int) -> list[Request]:
    messages = ({"role": "user", "content": "How does a ship find its way at night? " * 40},)
    return [Request(str(n), messages, Sampling(0.7, 0.9, 512), n) for n in range(count)]


def test_a_key_costs_no_more_than_writing_its_request_as_json() -> None:
    def as_json() -> None:
        for request in requests(500):
            payload = json.dumps(["m", request.messages, 0.7, 0.9, 512, [], request.seed])
            hashlib.blake2b(payload.encode(), digest_size=16).hexdigest()

    def ours() -> None:
        for request in requests(500):
            for _ in range(3):  # looked up, kept, written into the row
                response_keys("m", [request])

    assert ratio(ours, as_json, 20) < 1.5


def test_an_answer_is_found_among_sixteen_times_as_many_in_hardly_more_time() -> None:
    def keys(start: int, stop: int) -> pa.Array:
        hashes = (hashlib.blake2b(b"%d" % number).hexdigest() for number in range(start, stop))
        return pa.array([one[:KEY_DIGITS] for one in hashes])

    def index(count: int) -> Index:
        known = Index()
        for start in range(0, count, 5_000):
            known.add(keys(start, start + 5_000), start)
        return known

    few, many, wanted = index(25_000), index(400_000), keys(-4096, 0)
    assert ratio(lambda: many.places(wanted), lambda: few.places(wanted)) < 16 / 3


def test_an_id_costs_no_more_than_its_json() -> None:
    parts = [("judgment", f"candidate {n}", "model", n, "text " * 40) for n in range(5_000)]

    def as_json() -> None:
        for one in parts:
            hashlib.blake2b(json.dumps(one).encode(), digest_size=16).hexdigest()

    assert ratio(lambda: [row_id(*one) for one in parts], as_json) < 1.5


def test_the_journal_keeps_answers_in_what_writing_json_takes(tmp_path: Path) -> None:
    asked = requests(10_000)
    done = [Completion(one, "some words of an answer " * 10, "stop", 30, 60) for one in asked]
    response_keys("m", asked)

    def ours() -> None:
        with ResponseCache(tmp_path, "step", "m") as answers:
            for completion in done:
                answers.add(completion)

    def as_json() -> None:
        with (tmp_path / "answers.jsonl").open("w") as file:
            for completion in done:
                row = [completion.request.key, completion.text, "stop", 30, 60, 0, "step"]
                file.write(json.dumps(row) + "\n")

    assert ratio(ours, as_json, 3) < 1.5


def test_a_build_takes_a_few_times_what_a_plain_script_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("echo", "peers"):
        monkeypatch.syspath_prepend(str(BENCHMARKS / folder))
    plain_echo = importlib.import_module("plain_echo")
    text = (BENCHMARKS / "echo" / "echo.yaml").read_text().replace("20000", "1000")
    (tmp_path / "echo.yaml").write_text(text)
    fresh = (tmp_path / str(number) for number in itertools.count())

    def ours() -> None:
        build(load(tmp_path / "echo.yaml"), Store(next(fresh)))

    def plain() -> None:
        (folder := next(fresh)).mkdir()
        plain_echo.main(folder, 1000)

    assert ratio(ours, plain, 2) < 5


def test_pairs_take_about_what_a_query_by_hand_takes(tmp_path: Path) -> None:
    folder = str(tmp_path)
    pairs.write(folder, 10_000)
    assert pairs.ours(folder) == pairs.by_hand(folder, pairs.BY_HAND_THE_SAME)
    by_hand = ratio(
        lambda: pairs.ours(folder), lambda: pairs.by_hand(folder, pairs.BY_HAND_THE_SAME), 3
    )
    assert by_hand < 3
