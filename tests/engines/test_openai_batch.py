"""A batch API: what is sent once is answered once, through kills, half batches and lost answers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import toy
from api_server import Fault, hang, status
from batch_server import BatchApi, echo, serve
from checkout import Cli
from forked import Start
from srlm_data.core.errors import BoundError, DamagedError, EngineError, UnfinishedError
from srlm_data.engines import _server_faults
from srlm_data.engines.backends import _bounded_client, openai_batch
from srlm_data.engines.bounds import Bounds
from srlm_data.engines.opening import open_engine
from srlm_data.engines.settings import OpenaiEngine
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import Recipe, load
from srlm_data.store import Manifest, Store

pytest.importorskip("openai")

Change = Callable[[BatchApi], Fault]

RECIPE = """\
seed: 3
engine: {kind: openai, base_url: 'ADDRESS', batch: true, poll_seconds: 0.05, SETTINGS}
datasets:
  model: {step: checkpoint, remote: big@2026-04-14}
  prompts: {step: 'toy:toy_prompts', n: 6}
  candidates: {step: generate, prompts: prompts, model: model, n: 4}
"""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchApi]:
    monkeypatch.syspath_prepend(str(Path(toy.__file__).parent))
    monkeypatch.setattr(_server_faults, "FIRST_PAUSE", 0.01)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with serve() as served:
        yield served


class Far:
    """A recipe over the server, and a store that it is built in."""

    def __init__(self, folder: Path, api: BatchApi) -> None:
        self.store = Store(folder / "store")
        self.file = folder / "far.yaml"
        self._address = api.address

    def recipe(self, settings: str = "batch_size: 10") -> Recipe:
        text = RECIPE.replace("ADDRESS", self._address).replace("SETTINGS", settings)
        self.file.write_text(text)
        return load(self.file)

    def build(self, settings: str = "batch_size: 10") -> Manifest:
        return build(self.recipe(settings), self.store)["far.candidates"]

    def forget(self) -> None:
        """Remove the rows, but no answer."""
        shutil.rmtree(self.store.root / "datasets" / "far.candidates")

    @property
    def records(self) -> list[Path]:
        return sorted((self.store.root / "batches").glob("*.json"))


@pytest.fixture
def far(tmp_path: Path, api: BatchApi) -> Far:
    return Far(tmp_path, api)


def test_requests_go_up_as_files_and_their_answers_become_rows(api: BatchApi, far: Far) -> None:
    made = far.build()
    assert (made.rows, made.drops) == (24, {})
    files = [text.splitlines() for name, text in api.files.items() if name.startswith("file-")]
    assert [len(lines) for lines in files] == [10, 10, 4]
    assert {batch["completion_window"] for batch in api.batches.values()} == {"24h"}
    line = json.loads(api.files["file-0"].splitlines()[0])
    assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
    assert line["body"]["model"] == "big"
    assert not api.bodies  # nothing was asked one by one
    rows = far.store.rows(made).table().to_pylist()
    assert {row["answer_key"] for row in rows} == set(api.sent)
    assert all(row["response"].endswith(row["answer_key"][-8:]) for row in rows)


def test_a_batch_and_a_request_of_its_own_have_one_key(api: BatchApi, far: Far) -> None:
    made = far.build()
    far.forget()
    far.file.write_text(far.file.read_text().replace("batch: true", "batch: false"))
    assert build(load(far.file), far.store)["far.candidates"].version == made.version
    assert not api.bodies
    assert len(api.sent) == 24


def test_a_build_says_what_it_has_sent_and_how_far_the_batches_are(
    api: BatchApi, far: Far, cli: Cli
) -> None:
    far.recipe()
    api.looks = 1
    built = cli("build", far.file, cwd=far.file.parent)
    assert built.returncode == 0, built.stderr
    assert [line for line in built.stderr.splitlines() if "batch" in line] == [
        "      sent 10 requests as batch batch_0",
        "      sent 10 requests as batch batch_1",
        "      sent 4 requests as batch batch_2",
        "      12 of 24 requests are answered; batches: 3 in progress",
        "      24 of 24 requests are answered; batches: 3 completed",
    ]


def test_a_build_whose_time_is_up_leaves_its_batches_to_the_next_one(
    api: BatchApi, far: Far
) -> None:
    api.looks = 10**9
    build(far.recipe(), far.store, only=["model", "prompts"])
    with pytest.raises(BoundError, match="--max-time: the 3 s are over") as stopped:
        build(far.recipe(), far.store, bounds=Bounds(seconds=3))
    assert stopped.value.remaining == ["far.candidates"]
    api.looks = 0
    assert far.build().rows == 24
    assert len(api.sent) == len(set(api.sent)) == 24


def test_a_killed_build_s_batches_are_waited_for_by_the_next_one(
    api: BatchApi, far: Far, start: Start
) -> None:
    far.recipe()
    api.looks = 10**9
    with start("build", far.file, cwd=far.file.parent) as building:
        while len(api.batches) < 3 or not all(batch["looks"] for batch in api.batches.values()):
            time.sleep(0.05)
            assert building.poll() is None
        os.killpg(building.pid, signal.SIGKILL)
        building.wait(60)
    api.looks = 0
    assert far.build().rows == 24
    assert len(api.sent) == len(set(api.sent)) == 24


def test_a_batch_that_was_created_in_the_moment_of_a_kill_is_found(api: BatchApi, far: Far) -> None:
    far.build("batch_size: 24")
    [record] = far.records
    record.write_text(json.dumps({**json.loads(record.read_text()), "batch": None}))
    for file in (far.store.root / "answers").glob("*/*.parquet"):
        file.unlink()
    far.forget()
    assert far.build("batch_size: 24").rows == 24
    assert len(api.batches) == 1


def test_a_batch_whose_answer_was_lost_is_not_created_twice(api: BatchApi, far: Far) -> None:
    api.faults_of = {"POST /v1/batches": [status(500), hang]}
    assert far.build("batch_size: 24, timeout: 1").rows == 24
    assert len(api.batches) == 1


def of_batch(**fields: object) -> Change:
    """Tell of the first batch, with some fields changed."""
    return lambda api: lambda handler: handler.json(200, {**api.batches["batch_0"], **fields})


def of_results(change: Callable[[list[str]], list[str]]) -> Change:
    """Answer with the first batch's file of results, its lines changed."""

    def fault(api: BatchApi) -> Fault:
        name = "output_of_batch_0"
        return lambda handler: handler.raw(
            200, "\n".join(change(api.files[name].split("\n"))).encode()
        )

    return fault


def of_list(**fields: object) -> Change:
    """List the batches, with some fields of each changed."""
    return lambda api: (
        lambda handler: handler.json(
            200, {"data": [{**batch, **fields} for batch in api.batches.values()]}
        )
    )


def of_nothing(code: int) -> Change:
    """Answer with an error."""
    return lambda api: status(code, "there is no such thing yet")


NEW = "POST /v1/batches"
LIST = "GET /v1/batches"
LOOK = "GET /v1/batches/batch_0"
RESULTS = "GET /v1/files/output_of_batch_0/content"

DIFFERENT: dict[str, dict[str, list[Change]]] = {
    "an end of another name": {LOOK: [of_batch(status="SUCCESS")]},
    "results that come late": {LOOK: [of_batch(status="completed", output_file_id=None)] * 2},
    "a file that comes late": {RESULTS: [of_nothing(404)] * 2},
    "half a file": {RESULTS: [of_results(lambda lines: lines[:9])]},
    "a page instead of a file": {RESULTS: [of_results(lambda _: ["<html>", "wait", "</html>"])]},
    "each line twice": {RESULTS: [of_results(lambda lines: lines * 2)]},
    "no status in a line": {
        RESULTS: [of_results(lambda lines: [x.replace('"status_code": 200, ', "") for x in lines])]
    },
    "a batch that is not known yet": {LOOK: [of_nothing(404)] * 2},
    "counts that are text": {LOOK: [of_batch(request_counts={"completed": "3"})]},
    "no metadata": {NEW: [of_nothing(500)], LIST: [of_list(metadata=None)]},
    "metadata of another kind": {NEW: [of_nothing(500)], LIST: [of_list(metadata=["x"])]},
    "no id": {NEW: [lambda api: lambda handler: handler.json(200, {"job": {}})]},
}


@pytest.mark.parametrize("changes", DIFFERENT.values(), ids=DIFFERENT)
def test_a_batch_api_of_another_kind_is_sent_each_request_once(
    api: BatchApi, far: Far, changes: dict[str, list[Change]]
) -> None:
    api.looks = 0
    api.faults_of = {place: [change(api) for change in changes[place]] for place in changes}
    assert far.build("batch_size: 24").rows == 24
    assert len(api.sent) == 24


@pytest.mark.parametrize("state", ["halted", None])
def test_a_state_that_nobody_knows_is_not_waited_for_and_loses_nothing(
    api: BatchApi, far: Far, state: str | None
) -> None:
    api.looks = 0
    api.faults_of = {LOOK: [of_batch(status=state)(api)]}
    with pytest.raises(EngineError, match=r"batch_0 has the status '\w+', which is not known"):
        far.build("batch_size: 24")
    assert far.build("batch_size: 24").rows == 24
    assert len(api.sent) == 24


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        ({"data": []}, r"neither gives it an id nor lists it\. Look for it there"),
        ([], r"its list of batches is not a list"),
    ],
)
def test_a_batch_that_is_begun_and_not_found_again_is_not_begun_twice(
    api: BatchApi, far: Far, listing: object, words: str
) -> None:
    api.faults_of = {
        NEW: [lambda handler: handler.json(200, {"job": {}})] * 9,
        LIST: [lambda handler: handler.json(200, listing)] * 99,
    }
    with pytest.raises(EngineError, match=words):
        far.build("batch_size: 24, patience: 0.1")
    assert len(api.batches) == 1


def test_half_a_batch_is_half_kept_and_the_next_build_sends_the_rest(
    api: BatchApi, far: Far
) -> None:
    api.ends, api.answered = "expired", 0.5
    with pytest.raises(EngineError, match=r"its batch ended as 'expired' .* it took too long"):
        far.build("batch_size: 24")
    api.ends, api.answered = "completed", 1.0
    assert far.build("batch_size: 24").rows == 24
    assert len(api.sent) == 24 + 12
    assert len(set(api.sent)) == 24


def test_what_fails_alone_is_a_failed_request_with_the_server_s_words(
    api: BatchApi, far: Far
) -> None:
    def answer(line):  # type: ignore[no-untyped-def]
        if "number 2" in line["body"]["messages"][-1]["content"]:
            return {"status_code": 400, "body": {"error": {"message": "the prompt is too long"}}}
        return echo(line)

    api.answer = answer
    with pytest.raises(
        UnfinishedError, match=r"4 of 24 .*: HTTP 400, the prompt is too long \(4\)"
    ):
        far.build()


def test_a_batch_that_fails_as_a_whole_ends_the_build_with_the_server_s_words(
    api: BatchApi, far: Far
) -> None:
    api.ends, api.errors = "failed", [{"code": "model_not_found", "message": "no model 'big'"}]
    with pytest.raises(EngineError, match=r"its batch ended as 'failed' .*: no model 'big'"):
        far.build()
    api.ends, api.errors = "completed", None
    assert far.build().rows == 24


def test_a_parameter_that_the_server_does_not_take_is_named_with_its_setting(
    api: BatchApi, far: Far
) -> None:
    words = {"error": {"message": "Unrecognized request argument: seed"}}
    api.answer = lambda line: (
        {"status_code": 400, "body": words} if "seed" in line["body"] else echo(line)
    )
    with pytest.raises(EngineError, match=r"'omit: \[seed\]'"):
        far.build()
    assert far.build("batch_size: 10, omit: [seed]").rows == 24


def test_a_server_without_a_batch_api_ends_the_build_in_a_sentence(api: BatchApi, far: Far) -> None:
    api.faults_of = {"POST /v1/files": [status(404, "not found")]}
    with pytest.raises(EngineError, match="remove 'batch: true' from the engine's settings"):
        far.build()


def test_a_file_that_is_too_large_for_the_server_names_the_setting(api: BatchApi, far: Far) -> None:
    api.faults_of = {"POST /v1/files": [status(413, "too large")]}
    with pytest.raises(EngineError, match=r"HTTP 413, too large\. .* smaller 'batch_size'"):
        far.build()


def test_a_batch_that_tells_its_end_in_capitals_and_its_answers_as_text_is_read(
    api: BatchApi, far: Far
) -> None:
    api.ends = "COMPLETED"
    api.answer = lambda line: {"status_code": "200", "body": json.dumps(echo(line)["body"])}
    assert far.build("batch_size: 24").rows == 24


def test_an_answer_in_a_file_has_the_bound_of_one_that_comes_alone(
    api: BatchApi, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bounded_client, "LONGEST_BODY", 4000)  # the file has more
    monkeypatch.setattr(openai_batch, "LONGEST_BODY", 4000)

    def answer(line):  # type: ignore[no-untyped-def]
        response = echo(line)
        if "number 2" in line["body"]["messages"][-1]["content"]:
            response["body"]["choices"][0]["message"]["content"] = "a" * 4000
        return response

    api.answer = answer
    with pytest.raises(UnfinishedError, match=r"4 of 24 requests failed: .* without an answer"):
        far.build("batch_size: 24, patience: 0.1")
    api.faults_of = {"GET /v1/batches/batch_1": [lambda handler: handler.json(200, ["a" * 4000])]}
    with pytest.raises(EngineError, match="its body has more than"):
        far.build("batch_size: 24, patience: 0")


def test_strange_results_are_failed_requests(api: BatchApi, far: Far) -> None:
    strange = [
        {"status_code": 200, "body": {"choices": []}},
        {"status_code": 200, "body": None},
        {"status_code": "x", "body": "<html>"},
        {"status_code": 200, "body": {"error": {"message": "odd", "code": 500}}},
    ]
    answers = iter(strange * 2)
    api.answer = lambda line: next(answers, None) or echo(line)
    with pytest.raises(UnfinishedError, match="8 of 24 requests failed"):
        far.build("batch_size: 24, failure_budget: 0.9")
    api.answer = echo
    assert far.build("batch_size: 24").rows == 24


def test_a_batch_that_the_server_has_forgotten_is_sent_again(api: BatchApi, far: Far) -> None:
    api.faults_of = {"GET /v1/batches/batch_0": [status(401, "who are you")]}
    with pytest.raises(EngineError, match="who are you"):
        far.build("batch_size: 24")
    api.batches.clear()
    assert far.build("batch_size: 24").rows == 24
    assert len(api.sent) == 48


def test_a_damaged_record_is_refused_in_a_sentence(far: Far) -> None:
    (far.store.root / "batches").mkdir(parents=True)
    (far.store.root / "batches" / "x.json").write_text("[1")
    with pytest.raises(DamagedError, match=r"the record of a batch is damaged. Remove it"):
        far.build()


def test_an_engine_of_batches_wants_a_folder() -> None:
    with pytest.raises(EngineError, match="needs a folder"):
        open_engine(OpenaiEngine(base_url="http://127.0.0.1:1/v1", batch=True), "m", "d", "1")
