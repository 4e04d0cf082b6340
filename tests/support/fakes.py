"""An engine without a model, for tests of everything above the engines."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from srlm_data.engines.protocol import Completion, Request


class FakeEngine:
    """Answers by a function, and honours the protocol: lazily, in bounded windows, out of order.

    Args:
        reply: a request -> its text, or its whole completion (a failure, say).
        model: the digest that it carries.
        window: requests that are in flight together; they come back in reverse.
    """

    def __init__(
        self,
        reply: Callable[[Request], str | Completion],
        *,
        model: str = "fake",
        window: int = 4,
    ) -> None:
        self.asked: list[Request] = []
        self.closed = False
        self._reply = reply
        self._model = model
        self._window = window

    @property
    def model(self) -> str:
        return self._model

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        assert not self.closed, "a closed engine was asked"
        source = iter(requests)
        while window := list(islice(source, self._window)):
            self.asked.extend(window)
            for request in reversed(window):
                reply = self._reply(request)
                yield reply if isinstance(reply, Completion) else _completion(request, reply)

    def close(self) -> None:
        self.closed = True


def _completion(request: Request, text: str) -> Completion:
    """A text as a completion, cut by words where it is longer than ``max_tokens``."""
    words = text.split(" ")
    limit = request.sampling.max_tokens
    prompt_tokens = sum(len(turn["content"].split()) for turn in request.messages)
    return Completion(
        request,
        " ".join(words[:limit]),
        "stop" if len(words) <= limit else "length",
        prompt_tokens,
        min(len(words), limit),
    )
