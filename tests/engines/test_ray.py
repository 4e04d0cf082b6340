"""Two replicas on one machine: the same texts, and a replica that is killed loses nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_requests import ask, texts
from needed import needs
from srlm_data.core.errors import EngineError
from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Engine
from srlm_data.engines.settings import RayEngine, VllmEngine
from tiny import tiny_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    needs("ray", "vllm"),  # vLLM is imported by the replicas alone
    # Ray leaves the files that its processes write to open when it shuts down.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SETTINGS = RayEngine(
    replicas=2, vllm=VllmEngine(max_num_seqs=8, kv_cache_memory_bytes=64 << 20), restarts=1
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine(model: Path) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        # Ray starts a Python for each core beforehand, and no replica is one of them.
        patch.setenv("RAY_prestart_worker_first_driver", "0")
        opened = open_engine(SETTINGS, str(model), "digest")
    yield opened
    opened.close()


def test_both_replicas_answer_each_request_once_in_bounded_numbers(engine: Engine) -> None:
    pulled = 0

    def counted() -> Iterator[object]:
        nonlocal pulled
        for request in ask(60):
            pulled += 1
            yield request

    done = []
    for completion in engine.generate(counted()):
        done.append(completion)
        assert pulled - len(done) <= 2 * 2 * 8
    assert len(texts(done)) == len(done) == 60
    assert {one.finish_reason for one in done} <= {"stop", "length"}
    assert engine.model == "digest"


def test_a_replica_has_the_claim_to_a_core_that_any_process_has(engine: Engine) -> None:
    for process in engine.processes:  # at Ray's niceness it would wait for all others
        assert os.getpriority(os.PRIO_PROCESS, process) == os.nice(0)


def test_stopping_early_leaves_nothing_behind(engine: Engine) -> None:
    stream = engine.generate(ask(60))
    next(stream)
    stream.close()
    assert sorted(texts(engine.generate(ask(5)))) == [f"r{i}" for i in range(5)]


def test_a_replica_that_is_killed_mid_run_loses_nothing(engine: Engine) -> None:
    asked = ask(60)
    expected = texts(engine.generate(asked))
    found = []
    for completion in engine.generate(iter(asked)):
        found.append(completion)
        if len(found) == 20:
            os.kill(engine.processes[0], signal.SIGKILL)
    assert len(found) == 60
    assert texts(found) == expected


def test_a_cluster_that_is_too_small_is_told_and_not_waited_for(
    engine: Engine, model: Path
) -> None:
    wanted = SETTINGS.model_copy(update={"replicas": 500})
    with pytest.raises(EngineError, match="500 replicas need 1 CPU each, the cluster has"):
        open_engine(wanted, str(model), "digest")
    assert len(texts(engine.generate(ask(3)))) == 3
