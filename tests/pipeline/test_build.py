"""A build makes only what is missing, asks only what was never answered, and says why."""

import re
import threading

import pytest

from builders import models, prompts
from fakes import FakeEngine
from srlm_data.core import schema
from srlm_data.core.config import Config
from srlm_data.core.errors import BusyError, DataError, EngineError, UnfinishedError
from srlm_data.core.rows import Models, Prompts, Rows
from srlm_data.engines.cache import sealed
from srlm_data.engines.protocol import Completion, Request
from srlm_data.pipeline import _resources
from srlm_data.pipeline.build import Watcher, build
from srlm_data.pipeline.plan import plan
from srlm_data.pipeline.recipe import load
from srlm_data.pipeline.registry import STEPS
from srlm_data.store import Store

RECIPE = """\
seed: 3
datasets:
  model: {step: toy_model, weights: M1}
  prompts: {step: toy_prompts, n: 6}
  candidates: {step: generate, prompts: prompts, model: model, n: 4}
  judgments: {step: judge, candidates: candidates, model: model, repeats: 2}
  pairs: {step: pair, candidates: candidates, judgments: judgments}
"""


class ToyModel(Config):
    weights: str


def toy_model(config: ToyModel) -> Models:
    return models(config.weights)


class ToyPrompts(Config):
    n: int = 6


def toy_prompts(config: ToyPrompts) -> Prompts:
    return prompts(*(f"Tell me about number {i}" for i in range(config.n)))


TOY = {**STEPS, "toy_model": toy_model, "toy_prompts": toy_prompts}


def reply(request: Request) -> str:
    if "<response>" in request.messages[-1]["content"]:
        return f"So so.\nScore: {request.seed % 6}"
    return f"answer {request.seed % 97}"


class Project:
    """A recipe in a folder, with an engine that counts what it is asked."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.store = Store(folder / "store")
        self.asked: list[Request] = []
        self.opened: list[str] = []
        self.reply = reply
        monkeypatch.setattr(_resources, "open_engine", self._open)
        self.write(RECIPE)

    def write(self, text):
        (self.folder / "toy.yaml").write_text(text)

    def change(self, old, new):
        text = (self.folder / "toy.yaml").read_text()
        assert old in text
        self.write(text.replace(old, new))

    def _open(self, settings, location, digest, revision, folder):
        self.opened.append(digest)

        def counted(request):
            answer = self.reply(request)
            self.asked.append(request)
            return answer

        return FakeEngine(counted, model=digest)

    def recipe(self):
        return load(self.folder / "toy.yaml", steps=TOY)

    def build(self, **options):
        self.asked.clear()
        return build(self.recipe(), self.store, **options)

    def plan(self):
        return {one.dataset.name: one for one in plan(self.recipe(), self.store)}

    def rows(self, name, of=None):
        store = of or self.store
        return sorted(
            store.rows(store.resolve(name)).table().to_pylist(),
            key=lambda row: row[store.rows(store.resolve(name)).type.id],
        )


@pytest.fixture
def project(tmp_path, monkeypatch):
    return Project(tmp_path, monkeypatch)


def test_a_build_makes_a_version_for_every_stage(project):
    made = project.build()
    assert [one.rows for one in list(made.values())[:4]] == [1, 6, 24, 48]
    assert made["toy.pairs"].rows + sum(made["toy.pairs"].drops.values()) == 6
    assert made["toy.judgments"].cost["calls"] == 48


def test_a_second_build_makes_no_version_and_no_model_call(project):
    before = project.build()
    opened = len(project.opened)
    after = project.build()
    assert {k: v.version for k, v in after.items()} == {k: v.version for k, v in before.items()}
    assert project.asked == []
    assert len(project.opened) == opened
    assert {one.action for one in project.plan().values()} == {"reuse"}


def test_changing_the_pairing_rule_rebuilds_pairs_alone(project):
    project.build()
    project.change("judgments: judgments}", "judgments: judgments, min_margin: 2}")
    changed = {name for name, one in project.plan().items() if one.action != "reuse"}
    assert changed == {"toy.pairs"}
    assert any(r.startswith("config.min_margin: ") for r in project.plan()["toy.pairs"].reasons)
    project.build()
    assert project.asked == []


def test_raising_n_asks_for_the_new_samples_alone(project):
    before = project.build()
    project.change("n: 4", "n: 6")
    assert project.plan()["toy.candidates"].reasons == ("config.n: 4 -> 6",)
    assert project.plan()["toy.judgments"].action == "wait"
    after = project.build()
    answers = [r for r in project.asked if "<response>" not in r.messages[-1]["content"]]
    assert len(answers) == 6 * 2
    assert after["toy.candidates"].cost == {
        **after["toy.candidates"].cost, "calls": 12, "reused": 24,
    }  # fmt: skip
    assert len(project.asked) - len(answers) == 12 * 2  # the new candidates' judgments
    ids = {
        row["candidate_id"]
        for row in project.rows(f"toy.candidates@{before['toy.candidates'].version}")
    }
    assert ids < {row["candidate_id"] for row in project.rows("toy.candidates")}


def test_a_hundred_more_prompts_cost_a_hundred_prompts(project):
    project.build()
    project.change("n: 6}", "n: 106}")
    made = project.build()
    assert made["toy.candidates"].cost["calls"] == 100 * 4


def test_another_model_rebuilds_candidates_onwards_and_plan_says_so(project):
    project.build()
    project.change("weights: M1", "weights: M1b")
    planned = project.plan()
    assert planned["toy.model"].reasons == ("config.weights: M1 -> M1b",)
    assert planned["toy.prompts"].action == "reuse"
    assert [planned[f"toy.{n}"].action for n in ("candidates", "judgments", "pairs")] == [
        "wait"
    ] * 3
    made = project.build()
    assert made["toy.candidates"].cost["calls"] == 24
    assert {row["model"] for row in project.rows("toy.candidates")} == {"M1b"}


def test_the_same_rows_under_a_new_identity_rebuild_nothing_below(project):
    project.build()
    project.change("toy_prompts, n: 6", "toy_prompts, n: 5")
    project.build()
    project.change("toy_prompts, n: 5", "toy_prompts, n: 6")
    made = project.build()
    assert project.asked == []
    assert project.store.resolve("toy.prompts").version == made["toy.prompts"].version


def test_a_build_that_stops_midway_goes_on_where_it_was(project, tmp_path, monkeypatch):
    whole = (
        Project(tmp_path / "whole", monkeypatch) if (tmp_path / "whole").mkdir() is None else None
    )
    whole.build()
    monkeypatch.setattr(_resources, "open_engine", project._open)

    def failing(request):
        if len(project.asked) >= 30:
            raise EngineError("engine: the machine is gone. Build again.")
        return reply(request)

    project.reply = failing
    with pytest.raises(EngineError):
        project.build()
    before = {(r.id, r.seed) for r in project.asked}
    assert list((project.store.root / ".staging").iterdir()) == []
    project.reply = reply
    project.build()
    again = {(r.id, r.seed) for r in project.asked} & before
    assert len(again) <= 4  # the window in flight
    for name in ("toy.candidates", "toy.judgments", "toy.pairs"):
        assert project.rows(name) == project.rows(name, whole.store)


def test_failed_judgments_are_rows_with_their_reason_until_the_next_build_asks_again(project):
    def flaky(request):
        if "<response>" in request.messages[-1]["content"] and request.seed % 6 == 0:
            return Completion(request, "", "error", 0, 0, error="time-out")
        return reply(request)

    project.reply = flaky
    with pytest.raises(UnfinishedError) as unfinished:
        project.build()
    made = unfinished.value.manifests
    failed = made["toy.judgments"].cost["failed"]
    assert failed > 0
    rows = project.rows("toy.judgments")
    assert [row["error"] for row in rows if row["state"] == "error"] == failed * ["time-out"]
    assert all(row["score"] is None for row in rows if row["state"] == "error")
    project.reply = reply
    project.build()
    assert len(project.asked) == failed
    assert {row["error"] for row in project.rows("toy.judgments")} == {None}


def test_only_the_named_datasets_and_what_they_read_are_built(project):
    made = project.build(only=["candidates"])
    assert set(made) == {"toy.model", "toy.prompts", "toy.candidates"}


def test_every_row_can_be_traced_to_the_model_that_made_it(project):
    project.build()
    assert {row["model"] for row in project.rows("toy.judgments")} == {"M1"}
    manifest = project.store.resolve("toy.judgments")
    assert [one.parameter for one in manifest.inputs] == ["candidates", "model"]
    assert manifest.provenance["packages"]["duckdb"]


def test_the_lock_file_beside_the_recipe_says_what_was_built(project):
    made = project.build()
    text = (project.folder / "toy.lock").read_text()
    assert all(one.version in text for one in made.values())


def test_a_version_in_the_making_is_waited_for_or_refused_by_name(project):
    project.build(only=["prompts"])
    project.change("toy_prompts, n: 6", "toy_prompts, n: 7")
    version = project.plan()["toy.prompts"].version
    told = []

    class Told(Watcher):
        def waiting(self, reason):
            told.append(reason)
            release.set()

    release = threading.Event()
    with project.store.lock(f"toy.prompts.{version}"):
        with pytest.raises(BusyError, match=r"being built by process \d+"):
            project.build(only=["prompts"], wait=False)
        builder = threading.Thread(
            target=lambda: build(project.recipe(), project.store, only=["prompts"], watcher=Told())
        )
        builder.start()
        assert release.wait(10)
    builder.join(10)
    assert re.search("being built by process", told[0])
    assert project.store.has("toy.prompts", version)


def test_a_step_asks_one_model(project):
    def two(config: ToyModel) -> Models:
        rows = [{"model": m, "method": "checkpoint", "location": "path:/"} for m in ("a", "b")]
        return Rows.of(schema.MODELS, rows)

    recipe = load(project.folder / "toy.yaml", steps={**TOY, "toy_model": two})
    with pytest.raises(DataError, match="a step uses one model, found 2"):
        build(recipe, project.store)


def test_a_build_hashes_what_a_model_has_answered_once_for_all_its_steps(tmp_path, monkeypatch):
    project = Project(tmp_path, monkeypatch)
    project.build()
    known = {file.name for file in tmp_path.glob("store/answers/M1/*.parquet")}
    hashed: list[str] = []
    whole = sealed.describe_damage

    def count(file):
        hashed.append(file.name)
        return whole(file)

    monkeypatch.setattr(sealed, "describe_damage", count)
    project.change("n: 4", "n: 5")
    project.build()
    assert len(project.asked) == 6 + 6 * 2
    assert len(known) == 2
    assert known <= set(hashed)  # and perhaps one that was sealed meanwhile
    assert len(hashed) == len(set(hashed))
