"""What the tests of strange servers share: how a server is asked, and one field put wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from api_server import Fault, answer, completion
from srlm_data.engines import _server_faults
from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Completion, Request, Sampling
from srlm_data.engines.settings import OpenaiEngine


def quick_pauses() -> Iterator[None]:
    """Make pauses short and forget the keys of the environment, as the body of a fixture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_server_faults, "FIRST_PAUSE", 0.01)
        patch.setattr(_server_faults, "LONGEST_PAUSE", 0.05)
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
            patch.delenv(name, raising=False)
        yield


def altered(**top: Any) -> Fault:
    """Answer as agreed on, but for some fields of the body; one that is None twice is absent."""
    return answer({**completion("a b"), **top})


def ask(texts: list[str]) -> list[Request]:
    return [
        Request(text, ({"role": "user", "content": text},), Sampling(0.7, 0.9, 16), n)
        for n, text in enumerate(texts)
    ]


def run(address: str, texts: list[str], **settings: Any) -> dict[str, Completion]:
    bounds = {"timeout": 20, "retries": 1, "patience": 0.5, "concurrency": 8}
    with closing(
        open_engine(
            OpenaiEngine(base_url=address, **(bounds | settings)), "served", "digest", "2026-01-01"
        )
    ) as engine:
        done = {one.request.id: one for one in engine.generate(ask(texts))}
    assert sorted(done) == sorted(texts)
    return done
