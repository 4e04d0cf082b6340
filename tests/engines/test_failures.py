"""Why requests failed is counted by kind, and too many of them end a step."""

import pytest

from srlm_data.core.errors import EngineError
from srlm_data.engines.failures import Failures, describe_failures
from srlm_data.engines.protocol import Completion, Request, Sampling


def failed(number: int, error: str | None = "timed out", kind: str | None = "timeout"):
    request = Request(str(number), (), Sampling(0.7, 0.9, 16), number)
    return Completion(request, "", "error", 0, 0, error=error, error_kind=kind)


def failures(*completions: Completion, **limits: float) -> Failures:
    counted = Failures("my.answers", **limits)
    for completion in completions:
        counted.add("model", completion)
    return counted


def test_failures_are_counted_by_kind_with_the_sentence_of_the_first():
    counted = failures(failed(1), failed(2, "HTTP 503, busy", "http_503"), failed(3, "no luck"))
    said = describe_failures(counted.kinds, 24)
    assert said == "3 of 24 requests failed: timed out (2), HTTP 503, busy (1)"


def test_a_failure_without_a_reason_is_one_too():
    assert describe_failures(failures(failed(1, None, None)).kinds, 2) == (
        "1 of 2 requests failed: the engine gave no reason (1)"
    )


def test_a_sentence_is_one_short_line_of_characters_without_secrets(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "sesame-open")
    page = "<html>\n\ud800 sesame-open " + "x" * 1000
    completion = Failures("my.answers").add("model", failed(1, page))
    assert completion.error is not None
    assert completion.error.startswith("<html> ? [MY_API_KEY] xxx")
    assert len(completion.error) == 200


def test_too_many_are_more_than_a_floor_and_more_than_a_share():
    counted = failures(*map(failed, range(10)))
    counted.refuse_too_many(10)
    counted.add("model", failed(10))
    counted.refuse_too_many(110)
    with pytest.raises(EngineError, match="11 of 109 requests failed: timed out"):
        counted.refuse_too_many(109)
    failures(*map(failed, range(90)), share=0.9).refuse_too_many(100)
    with pytest.raises(EngineError):
        failures(failed(1), share=0.0, floor=0).refuse_too_many(100)


def test_a_step_without_any_answer_is_refused_however_few_were_asked():
    failures().refuse_all(0)
    failures(failed(1)).refuse_all(2)
    with pytest.raises(EngineError, match="1 of 1 requests failed"):
        failures(failed(1)).refuse_all(1)


def test_which_requests_failed_has_a_name_that_hangs_on_no_order():
    assert failures(failed(1), failed(2)).digest == failures(failed(2), failed(1, "x")).digest
    assert failures(failed(1)).digest != failures(failed(2)).digest
