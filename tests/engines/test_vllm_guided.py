"""A judge that cannot forget its score. Apart: vLLM holds one engine in a process at a time."""

import pytest

from checkout import ROOT
from srlm_data.core import templates
from srlm_data.core.messages import user
from srlm_data.engines.protocol import Request, Sampling
from srlm_data.engines.settings import VllmEngine, open_engine
from srlm_data.steps.judgments import GUIDED, read_score

pytestmark = pytest.mark.slow
pytest.importorskip("vllm")

SETTINGS = VllmEngine(max_num_seqs=8, kv_cache_memory_bytes=64 << 20)


# What vLLM asks of xgrammar is out of date.
@pytest.mark.filterwarnings("ignore:max_rollback_tokens:DeprecationWarning")
def test_a_guided_judgment_ends_with_a_score_however_many_are_under_way() -> None:
    """By a model that knows what a judgment is; it may reach the score line before its limit."""
    m0 = ROOT / "srlm_data" / "demo" / "m0"
    prompt = templates.load("judge_brief").fill(
        prompt="What colour is the hat?", response="The hat is red."
    )
    guided = Sampling(0.7, 0.9, 64, pattern=GUIDED)
    asked = [Request(str(seed), tuple(user(prompt)), guided, seed) for seed in range(48)]
    engine = open_engine(SETTINGS, str(m0), "m0")
    try:
        done = list(engine.generate(asked))
    finally:
        engine.close()
    assert len(done) == 48
    assert {read_score(one.text, one.finish_reason).state for one in done} <= {
        "parsed", "truncated"
    }  # fmt: skip
    assert sum(one.finish_reason == "stop" for one in done) > 40
