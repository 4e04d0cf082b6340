"""What was ever answered is not asked again, and what comes back is on disk within a moment."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from fakes import FakeEngine
from srlm_data.core.errors import EngineError, StoreError
from srlm_data.engines.cache import _writer, cached_engine
from srlm_data.engines.cache.cached_engine import CachedEngine, Usage
from srlm_data.engines.cache.journal import seal_journals
from srlm_data.engines.cache.response_cache import ResponseCache
from srlm_data.engines.protocol import Completion, Request, Sampling


def requests(*seeds: int) -> list[Request]:
    return [
        Request(f"r{seed}", ({"role": "user", "content": "hi"},), Sampling(0.7, 0.9, 16), seed)
        for seed in seeds
    ]


def generate(
    root: Path, asked: Iterable[Request], engine: FakeEngine | None
) -> tuple[list[Completion], Usage]:
    """Ask through a store's answers; without an engine, starting one fails the test."""

    def open_engine() -> FakeEngine:
        assert engine is not None, "the engine was started"
        return engine

    with ResponseCache(root, "step", "fake") as answers:
        recording = CachedEngine(open_engine, answers, lambda usage: None)
        done = list(recording.generate(iter(asked)))
    seal_journals(root)
    return done, recording.usage


def echo(request: Request) -> str:
    return f"answer {request.seed}"


def texts(done: list[Completion]) -> dict[str, str]:
    return {completion.request.id: completion.text for completion in done}


def test_only_what_was_never_answered_is_asked(tmp_path: Path) -> None:
    generate(tmp_path, requests(1, 2, 3), FakeEngine(echo))
    engine = FakeEngine(echo)
    done, usage = generate(tmp_path, requests(2, 3, 4, 5), engine)
    assert [one.seed for one in engine.asked] == [4, 5]
    assert texts(done) == {f"r{seed}": f"answer {seed}" for seed in (2, 3, 4, 5)}
    assert (usage.calls, usage.reused) == (2, 2)


def test_the_engine_is_not_started_when_everything_is_known(tmp_path: Path) -> None:
    generate(tmp_path, requests(1, 2), FakeEngine(echo))
    done, usage = generate(tmp_path, requests(1, 2), None)
    assert len(done) == 2
    assert usage.cost()["calls"] == 0


def test_marks_that_a_recipe_declares_are_split_off_whatever_engine_answered(
    tmp_path: Path,
) -> None:
    asked = requests(1)
    asked[0].sampling = asked[0].sampling._replace(reasoning_marks=("<muse>", "</muse>"))
    done, _ = generate(tmp_path, asked, FakeEngine(lambda request: "<muse>Hm.</muse>Yes."))
    assert (done[0].reasoning, done[0].text) == ("Hm.", "Yes.")


def test_known_and_unknown_answers_mix_over_any_number_of_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_engine, "LOOKAHEAD", 3)
    generate(tmp_path, requests(*range(0, 20, 2)), FakeEngine(echo))
    engine = FakeEngine(echo)
    done, usage = generate(tmp_path, requests(*range(20)), engine)
    assert sorted(one.seed for one in engine.asked) == list(range(1, 20, 2))
    assert texts(done) == {f"r{seed}": f"answer {seed}" for seed in range(20)}
    assert len(done) == 20
    assert (usage.calls, usage.reused) == (10, 10)


def test_requests_are_pulled_as_the_engine_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_engine, "LOOKAHEAD", 5)
    pulled = 0

    def source() -> Iterator[Request]:
        nonlocal pulled
        for request in requests(*range(1000)):
            pulled += 1
            yield request

    with ResponseCache(tmp_path, "step", "fake") as answers:
        recording = CachedEngine(lambda: FakeEngine(echo), answers, lambda usage: None)
        next(recording.generate(source()))
    assert pulled <= 5


def test_known_answers_are_given_out_before_more_are_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_engine, "LOOKAHEAD", 5)
    generate(tmp_path, requests(*range(1, 999)), FakeEngine(echo))
    pulled = given = 0

    def source() -> Iterator[Request]:
        nonlocal pulled
        for request in requests(*range(1000)):
            pulled += 1
            yield request

    engine = FakeEngine(echo)
    with ResponseCache(tmp_path, "step", "fake") as answers:
        recording = CachedEngine(lambda: engine, answers, lambda usage: None)
        for _ in recording.generate(source()):
            given += 1
            assert pulled <= given + 3 * 5
    assert (given, sorted(one.seed for one in engine.asked)) == (1000, [0, 999])


def test_what_another_build_answers_meanwhile_is_not_asked(tmp_path: Path) -> None:
    engine = FakeEngine(echo, window=1)

    def slow(requests: Iterable[Request]) -> Iterator[Request]:
        """Before the second request goes out, another build answers nearly all of them."""
        source = iter(requests)
        yield next(source)
        with ResponseCache(tmp_path, "step", "fake") as answers:
            other = CachedEngine(lambda: FakeEngine(echo), answers, lambda usage: None)
            list(other.generate(requests_of_both[:90]))
            time.sleep(1.1 * cached_engine.LOOK_SECONDS)
            yield from source

    class Slow(FakeEngine):
        def generate(
            self, requests: Iterable[Request], *, total: int | None = None
        ) -> Iterator[Completion]:
            return super().generate(slow(requests), total=total)

    requests_of_both = requests(*range(100))
    engine = Slow(echo, window=1)
    done, usage = generate(tmp_path, requests_of_both, engine)
    assert sorted(one.seed for one in engine.asked) == [0, *range(90, 100)]
    assert texts(done) == {f"r{seed}": f"answer {seed}" for seed in range(100)}
    assert (usage.calls, usage.reused) == (11, 89)


def test_a_failed_request_is_given_on_and_asked_again_the_next_time(tmp_path: Path) -> None:
    def failing(request: Request) -> str | Completion:
        if request.seed == 2:
            return Completion(request, "", "error", 0, 0, error="time-out")
        return echo(request)

    done, usage = generate(tmp_path, requests(1, 2, 3), FakeEngine(failing))
    assert [one.request.seed for one in done if one.finish_reason == "error"] == [2]
    assert usage.failed == 1
    engine = FakeEngine(echo)
    generate(tmp_path, requests(1, 2, 3), engine)
    assert [one.seed for one in engine.asked] == [2]


def test_requests_that_ask_the_same_share_a_known_answer(tmp_path: Path) -> None:
    (one,) = requests(1)
    twin = Request("twin", one.messages, one.sampling, one.seed)
    generate(tmp_path, [one], FakeEngine(echo))
    done, _ = generate(tmp_path, [one, twin], None)
    assert texts(done) == {"r1": "answer 1", "twin": "answer 1"}


def test_an_answer_is_on_disk_in_a_moment_however_long_the_next_one_takes(tmp_path: Path) -> None:
    found: list[int] = []

    class Batches(FakeEngine):
        """Three answers at once, and then a batch that takes its time."""

        def generate(
            self, requests: Iterable[Request], *, total: int | None = None
        ) -> Iterator[Completion]:
            asked = list(requests)
            for request in asked:
                yield Completion(request, "text", "stop", 1, 1)
            end = time.monotonic() + 60  # the disk may be slow, and this batch is slower
            with ResponseCache(tmp_path, "another process", "fake") as other:
                while time.monotonic() < end and found[-1:] != [3]:
                    found.append(len(other.find(asked)))
                    time.sleep(_writer.FLUSH_SECONDS / 4)

    generate(tmp_path, requests(1, 2, 3), Batches(echo))
    assert found[-1] == 3


def test_what_came_before_an_engine_failed_is_kept(tmp_path: Path) -> None:
    def breaking(request: Request) -> str:
        if request.seed == 5:
            raise EngineError("engine: it is gone. Build again.")
        return echo(request)

    with pytest.raises(EngineError):
        generate(tmp_path, requests(*range(10)), FakeEngine(breaking, window=1))
    engine = FakeEngine(echo)
    generate(tmp_path, requests(*range(10)), engine)
    assert [one.seed for one in engine.asked] == [5, 6, 7, 8, 9]


def test_a_journal_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="the system refuses, found 'No space left on device'"):
        generate(tmp_path, requests(1), FakeEngine(echo))


def test_usage_counts_tokens_of_new_and_known_answers_and_time_of_new_ones(tmp_path: Path) -> None:
    _, first = generate(tmp_path, requests(1, 2), FakeEngine(echo))
    _, second = generate(tmp_path, requests(1, 2), None)
    assert first.completion_tokens == second.completion_tokens == 4
    assert first.seconds > 0
    assert second.seconds == 0


def test_retries_and_time_in_the_queue_are_those_of_new_answers(tmp_path: Path) -> None:
    def slow(request: Request) -> Completion:
        return Completion(request, "text", "stop", 5, 2, retries=2, queue_seconds=0.5)

    _, first = generate(tmp_path, requests(1, 2), FakeEngine(slow))
    assert (first.retries, first.queue_seconds, first.new_completion_tokens) == (4, 1.0, 4)
    _, second = generate(tmp_path, requests(1, 2), None)
    assert (second.retries, second.queue_seconds, second.new_completion_tokens) == (0, 0.0, 0)


def test_starting_the_engine_is_not_answering(tmp_path: Path) -> None:
    def open_engine() -> FakeEngine:
        time.sleep(0.3)
        return FakeEngine(echo)

    with ResponseCache(tmp_path, "step", "fake") as answers:
        recording = CachedEngine(open_engine, answers, lambda usage: None)
        began = time.monotonic()
        list(recording.generate(requests(1, 2)))
        passed = time.monotonic() - began
    assert recording.usage.load_seconds >= 0.3
    assert 0 < recording.usage.seconds <= passed - recording.usage.load_seconds
