"""Requests for the tests of engines."""

from collections.abc import Iterable

from srlm_data.engines.protocol import Completion, Request, Sampling, request_seed

WARM = Sampling(temperature=0.7, top_p=0.9, max_tokens=24)


GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=24)


def ask(count: int, sampling: Sampling = WARM) -> list[Request]:
    """Requests of many lengths, some of which share a prompt."""
    words = "one two three four five six seven eight nine ten".split()
    return [
        Request(
            id=f"r{i}",
            messages=({"role": "user", "content": " ".join(words[: i // 2 % 10 + 1]) + "?"},),
            sampling=sampling,
            seed=request_seed(0, f"row{i}", i % 2),
        )
        for i in range(count)
    ]


def texts(completions: Iterable[Completion]) -> dict[str, tuple[str, str]]:
    return {done.request.id: (done.text, done.finish_reason) for done in completions}
