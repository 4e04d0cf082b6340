"""vLLM as it is installed: slow to import, so these stand apart."""

import json
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine_requests import GREEDY, WARM, ask, texts
from srlm_data.core.errors import EngineError
from srlm_data.core.templates import Template
from srlm_data.engines.cache import cached_engine
from srlm_data.engines.cache.response_cache import ResponseCache
from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Completion, Engine, Request, Sampling
from srlm_data.engines.settings import TransformersEngine, VllmEngine
from srlm_data.steps.judgments import Judge
from tiny import tiny_model

pytestmark = pytest.mark.slow

SETTINGS = VllmEngine(max_num_seqs=8, kv_cache_memory_bytes=64 << 20)


@pytest.fixture(scope="module", autouse=True)
def library() -> None:
    """Import what takes ten seconds, in the one process that runs these tests."""
    pytest.importorskip("vllm")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine(model: Path) -> Iterator[Engine]:
    opened = open_engine(SETTINGS, str(model), "digest")
    yield opened
    opened.close()


def test_every_request_is_answered_once_and_in_bounded_numbers(engine: Engine) -> None:
    pulled = 0

    def counted() -> Iterator[Request]:
        nonlocal pulled
        for request in ask(60):
            pulled += 1
            yield request

    done = []
    for completion in engine.generate(counted()):
        done.append(completion)
        assert pulled - len(done) <= 16
    assert len(texts(done)) == len(done) == 60
    assert {completion.finish_reason for completion in done} <= {"stop", "length"}
    assert engine.model == "digest"


class Places:
    """An engine of vLLM's with so many places, which counts those that a step leaves empty."""

    def __init__(self, places: int) -> None:
        self.vllm_config = SimpleNamespace(
            model_config=SimpleNamespace(max_model_len=512, model="m"),
            scheduler_config=SimpleNamespace(max_num_seqs=places),
        )
        self.engine_core = None
        self.given_out = False
        self.steps = self.empty = 0
        self._places = places
        self._queue: deque[list[Any]] = deque()
        self._running: list[list[Any]] = []

    def add_request(self, key: str, prompt: Any, parameters: Any) -> None:
        self._queue.append([key, 1 + sum(prompt["prompt_token_ids"]) % 7])  # key, steps to its end

    def step(self) -> list[Any]:
        while self._queue and len(self._running) < self._places:
            self._running.append(self._queue.popleft())
        if not self.given_out:  # at the end places must stay empty
            self.empty += self._places - len(self._running)
        self.steps += 1
        for running in self._running:
            running[1] -= 1
        ended = [key for key, left in self._running if left == 0]
        self._running = [running for running in self._running if running[1]]
        answer = SimpleNamespace(text="yes", finish_reason="stop", token_ids=[1])
        return [
            SimpleNamespace(
                request_id=key,
                outputs=[answer],
                prompt_token_ids=[1],
                num_cached_tokens=0,
                metrics=None,
            )
            for key in ended
        ]

    def abort_request(self, keys: list[str]) -> None:
        raise AssertionError("nothing was left")


def test_no_place_is_ever_empty_while_requests_are_left(
    engine: Engine, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not between batches, and not between the windows in which kept answers are looked up."""
    from transformers import AutoTokenizer

    from srlm_data.engines.backends.vllm import Vllm

    monkeypatch.setattr(cached_engine, "LOOKAHEAD", 7)
    places = Places(4)
    inner = Vllm(places, AutoTokenizer.from_pretrained(model), "m")
    asked = ask(200)

    def source(requests: list[Request]) -> Iterator[Request]:
        yield from requests
        places.given_out = True

    with ResponseCache(tmp_path, "step", "m") as answers:
        (tmp_path / "journal").mkdir()
        known = cached_engine.CachedEngine(lambda: inner, answers, lambda _: None)
        assert len(list(known.generate(asked[::3]))) == 67
        answers.flush()
        places.given_out, places.steps, places.empty = False, 0, 0
        rest = cached_engine.CachedEngine(lambda: inner, answers, lambda _: None)
        assert len(list(rest.generate(source(asked)))) == 200
        assert (rest.usage.calls, rest.usage.reused) == (133, 67)
    assert places.steps > 100
    assert places.empty == 0


def test_texts_do_not_depend_on_order_or_on_what_was_asked_before(engine: Engine) -> None:
    asked = ask(40)
    expected = texts(engine.generate(asked))
    assert texts(engine.generate(asked[::-1])) == expected
    assert texts(engine.generate(asked[:1]))["r0"] == expected["r0"]


def test_greedy_answers_are_those_of_the_other_engine(engine: Engine, model: Path) -> None:
    other = open_engine(TransformersEngine(), str(model), "digest")

    def seen(done: Completion) -> tuple[object, ...]:
        whole = done.text.rstrip("\N{REPLACEMENT CHARACTER}")  # random bytes can end mid-character
        return whole, done.finish_reason, done.prompt_tokens, done.completion_tokens

    asked = ask(20, GREEDY)
    theirs = {done.request.id: seen(done) for done in other.generate(asked)}
    assert {done.request.id: seen(done) for done in engine.generate(asked)} == theirs
    text = max((done[0] for done in theirs.values()), key=lambda found: len(str(found)))
    stopping = ask(20, Sampling(0.0, 1.0, 24, stop=(str(text)[5:8],)))
    theirs = {done.request.id: seen(done) for done in other.generate(stopping)}
    assert {done.request.id: seen(done) for done in engine.generate(stopping)} == theirs


def test_a_shared_beginning_is_computed_once(engine: Engine) -> None:
    rubric = "Review the question and the response, then give points of five. " * 12
    asked = [
        Request(f"{i}", ({"role": "user", "content": f"{rubric} {i}"},), WARM, i) for i in range(12)
    ]
    assert sum(done.cached_tokens > 0 for done in engine.generate(asked)) > 0


def test_the_chat_template_is_applied_once(engine: Engine, model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    for done in engine.generate(ask(10)):
        turns = [dict(turn) for turn in done.request.messages]
        text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        assert text.count(tokenizer.bos_token) == 1
        assert done.prompt_tokens == len(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_a_pattern_holds_every_answer_however_many_are_under_way(engine: Engine) -> None:
    done = list(engine.generate(ask(48, Sampling(1.0, 1.0, 24, pattern="Score: [0-5]"))))
    assert len(done) == 48
    assert all(re.fullmatch("Score: [0-5]", one.text) for one in done)
    assert {one.finish_reason for one in done} == {"stop"}


def test_an_object_of_json_has_what_its_schema_asks_for_and_no_more_space(engine: Engine) -> None:
    template = Template("mine", "{prompt}{response}")
    schema = Judge(template=template, reader="json", scale=(0, 10)).constraint(24)
    done = list(engine.generate(ask(8, Sampling(1.0, 1.0, 128, **schema))))
    objects = [json.loads(one.text, strict=False) for one in done]
    assert all(list(one) == ["reason", "score"] for one in objects)
    assert {one["score"] for one in objects} <= set(range(11))
    around = [re.sub('"reason": ?"(\\\\.|[^"\\\\])*"', "", one.text) for one in done]
    assert all(len(text) <= len('{, "score": 10}') for text in around)


def test_a_pattern_that_is_none_fails_alone(engine: Engine) -> None:
    bad = Request("bad", ask(1)[0].messages, Sampling(1.0, 1.0, 8, pattern="(["), 1)
    done = {one.request.id: one for one in engine.generate([bad, *ask(3)])}
    assert "vLLM refused it" in str(done["bad"].error)
    assert {done[f"r{i}"].finish_reason for i in range(3)} <= {"stop", "length"}


def test_the_time_in_the_queue_is_told(engine: Engine) -> None:
    waited = [one.queue_seconds for one in engine.generate(ask(40))]
    assert min(waited) >= 0
    assert max(waited) > 0


def test_prompts_that_are_too_long_fail_alone(engine: Engine) -> None:
    text = "one two three " * 400
    long = [Request(f"long{i}", ({"role": "user", "content": text},), WARM, 1) for i in range(40)]
    done = {completion.request.id: completion for completion in engine.generate([*long, *ask(3)])}
    assert len(done) == 43
    assert "the longest sequence is 512" in str(done["long0"].error)
    assert {done[f"r{i}"].finish_reason for i in range(3)} <= {"stop", "length"}


def test_stopping_early_leaves_nothing_behind(engine: Engine) -> None:
    stream = engine.generate(ask(60))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    done = list(engine.generate(ask(5)))
    assert sorted(completion.request.id for completion in done) == [f"r{i}" for i in range(5)]


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be loaded"):
        open_engine(SETTINGS, str(tmp_path), "digest")
