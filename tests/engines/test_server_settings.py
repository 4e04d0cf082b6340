"""What a server is sent beside the request, and what it cannot be sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import toy
from api_server import Api, Handler, completion, serve
from srlm_data.core.errors import EngineError, RecipeError
from srlm_data.pipeline.build import build
from srlm_data.pipeline.plan import plan
from srlm_data.pipeline.recipe import Recipe, load
from srlm_data.store import Manifest, Store

pytest.importorskip("openai")

RECIPE = """\
seed: 3
engine: {kind: openai, base_url: ADDRESS ENGINE}
datasets:
  model: {step: checkpoint, remote: big@2026-04-14}
  prompts: {step: 'toy:toy_prompts', n: 6}
  candidates: {step: generate, prompts: prompts, model: model, n: 4 STEP}
"""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.syspath_prepend(str(Path(toy.__file__).parent))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with serve() as served:
        yield served


class Far:
    """A recipe over the server, and a store that it is built in."""

    def __init__(self, folder: Path, api: Api) -> None:
        self.store = Store(folder / "store")
        self._file = folder / "far.yaml"
        self._address = api.address

    def recipe(self, engine: str = "", step: str = "") -> Recipe:
        text = RECIPE.replace("ADDRESS", f"'{self._address}'")
        text = text.replace(" ENGINE", f", {engine}" if engine else "")
        self._file.write_text(text.replace(" STEP", f", {step}" if step else ""))
        return load(self._file)

    def build(self, engine: str = "", step: str = "") -> Manifest:
        return build(self.recipe(engine, step), self.store)["far.candidates"]

    def rows(self, manifest: Manifest) -> list[dict[str, Any]]:
        return self.store.rows(manifest).table().to_pylist()


@pytest.fixture
def far(tmp_path: Path, api: Api) -> Far:
    return Far(tmp_path, api)


def test_what_a_model_card_asks_for_is_sent_and_what_is_unset_is_not(api: Api, far: Far) -> None:
    far.build(step="top_k: 20, min_p: 0, repetition_penalty: 1.05, presence_penalty: 1.5")
    body = api.bodies[0]
    names = ("top_k", "min_p", "repetition_penalty", "presence_penalty")
    assert [body[name] for name in names] == [20, 0.0, 1.05, 1.5]
    assert "frequency_penalty" not in body


def test_how_to_think_is_sent_and_its_budget_comes_on_top_of_the_answers(
    api: Api, far: Far
) -> None:
    far.build(
        step="chat_template_kwargs: {enable_thinking: true}, reasoning_effort: high, "
        "reasoning_budget: 1000, max_tokens: 64"
    )
    body = api.bodies[0]
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    assert (body["reasoning_effort"], body["max_tokens"]) == ("high", 1064)


def test_a_setting_of_sampling_asks_anew_and_leaving_it_out_finds_what_was_answered(
    api: Api, far: Far
) -> None:
    plain = far.build()
    assert far.build(step="top_k: 20").version != plain.version
    assert len(api.bodies) == 48
    assert far.build().version == plain.version
    assert len(api.bodies) == 48


def test_further_fields_are_sent_and_decide_the_rows(api: Api, far: Far) -> None:
    extra = "extra: {chat_template_kwargs: {enable_thinking: false}, service_tier: flex}"
    plain, further = far.build(), far.build(extra)
    assert api.bodies[-1]["chat_template_kwargs"] == {"enable_thinking": False}
    assert api.bodies[-1]["service_tier"] == "flex"
    assert plain.version != further.version
    assert len(api.bodies) == 48
    last = plan(far.recipe(extra.replace("flex", "auto")), far.store)[-1]
    assert last.reasons == ("engine.extra.service_tier: flex -> auto",)


@pytest.mark.parametrize("own", ["seed: 1", "model: x", "top_k: 5", "stream: true", "n: 2"])
def test_a_further_field_that_has_a_setting_of_its_own_is_refused(far: Far, own: str) -> None:
    name = own.partition(":")[0]
    with pytest.raises(RecipeError, match=f"{name}: set by the step, the engine or the request"):
        far.recipe(f"extra: {{{own}}}")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("chat_template_kwargs: {tokenize: false}", "tokenize: set by the engine"),
        ("reasoning_marks: ['', '</think>']", "at least 1 character"),
    ],
)
def test_a_setting_of_thinking_that_cannot_work_is_a_mistake_of_the_recipe(
    far: Far, setting: str, words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        far.recipe(step=setting)


class Picky:
    """A server that refuses a seed, or more than 31 bits of one, and samples without."""

    def __init__(self, *, seeds: bool) -> None:
        self.answers = 0
        self._seeds = seeds

    def __call__(self, handler: Handler) -> None:
        body = handler.server.api.bodies[-1]
        if not self._seeds and "seed" in body:
            handler.json(400, {"error": {"message": "Unrecognized request argument: seed"}})
        elif self._seeds and body["seed"] > 2**31 - 1:
            handler.json(422, {"error": {"message": "seed must be <= 2147483647"}})
        else:
            self.answers += 1
            handler.json(200, {**completion(f"draw {self.answers}"), "model": "big"})


def test_where_no_seed_can_be_sent_rows_say_so_and_no_sample_is_paid_for_twice(
    api: Api, far: Far
) -> None:
    api.always = picky = Picky(seeds=False)
    with pytest.raises(EngineError, match=r"Set the engine's 'omit: \[seed\]'"):
        far.build()
    assert picky.answers == 0

    def fail_after_ten(handler: Handler) -> None:
        if picky.answers >= 10:
            handler.json(401, {"error": {"message": "no"}})
        else:
            picky(handler)

    api.always = fail_after_ten
    with pytest.raises(EngineError):
        far.build("omit: [seed], concurrency: 1")
    assert picky.answers == 10
    api.always = picky
    made = far.build("omit: [seed], concurrency: 1")
    assert picky.answers == made.rows == 24
    rows = far.rows(made)
    assert {row["note"] for row in rows} == {"sent without seed"}
    assert len({row["response"] for row in rows}) == 24
    assert far.build().version == made.version  # a seed that is not sent decides nothing


def test_a_seed_is_bounded_where_the_server_bounds_it(api: Api, far: Far) -> None:
    api.always = Picky(seeds=True)
    with pytest.raises(EngineError, match="Set the engine's 'seed_bits: 31'"):
        far.build("concurrency: 1")
    api.bodies.clear()
    made = far.build("seed_bits: 31")
    assert made.rows == 24
    assert max(body["seed"] for body in api.bodies) < 2**31
    assert len({body["seed"] for body in api.bodies}) == 24
    assert {row["note"] for row in far.rows(made)} == {None}


def test_what_is_omitted_of_the_sampling_decides_the_rows(api: Api, far: Far) -> None:
    plain, without = far.build(), far.build("omit: [top_p, temperature]")
    assert not {"top_p", "temperature"} & api.bodies[-1].keys()
    assert plain.version != without.version
    assert {row["note"] for row in far.rows(without)} == {"sent without top_p, temperature"}
