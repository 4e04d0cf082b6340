import json
import math
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from engine_requests import GREEDY, WARM, ask, texts
from fakes import FakeEngine
from srlm_data.core.errors import EngineError, MissingError
from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Completion, Engine, Request, Sampling
from srlm_data.engines.settings import (
    EngineSettings,
    OpenaiEngine,
    RayEngine,
    TransformersEngine,
    VllmEngine,
)
from tiny import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine(model: Path) -> Iterator[Engine]:
    opened = open_engine(TransformersEngine(batch_size=8), str(model), "digest")
    yield opened
    opened.close()


def change_weights(folder: Path, change: Callable[[str, Any], tuple[str, Any]]) -> None:
    """Write a model's weights anew, each under the name and with the value that it is given."""
    from safetensors.numpy import load_file, save_file

    file = folder / "model.safetensors"
    weights = dict(change(name, value) for name, value in load_file(file).items())
    save_file(weights, file, metadata={"format": "pt"})


def test_settings_are_told_apart_by_their_kind() -> None:
    adapter: TypeAdapter[EngineSettings] = TypeAdapter(EngineSettings)
    assert adapter.validate_python({"kind": "vllm"}) == VllmEngine()
    assert adapter.validate_python({"kind": "transformers", "batch_size": 2}).kind == "transformers"
    with pytest.raises(ValidationError, match="batch_sise"):
        adapter.validate_python({"kind": "transformers", "batch_sise": 2})


def test_settings_import_no_model_library() -> None:
    code = (
        "import sys, srlm_data.engines.settings, srlm_data.models.identity\n"
        "print(sorted({'torch', 'transformers', 'vllm', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['numpy']"), done.stdout  # pyarrow may bring numpy


@pytest.mark.parametrize(
    ("settings", "package"),
    [(VllmEngine(), "vllm"), (RayEngine(), "ray"), (OpenaiEngine(), "openai")],
    ids=["vllm", "ray", "openai"],
)
def test_a_missing_package_is_named_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, settings: EngineSettings, package: str
) -> None:
    monkeypatch.delitem(sys.modules, f"srlm_data.engines.backends.{package}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    said = rf"'{package}' is not installed.*pip install .*\[{package}\]'"
    with pytest.raises(MissingError, match=said):
        open_engine(settings, "x", "digest")


def test_the_fake_honours_the_protocol_and_answers_out_of_order() -> None:
    fake: Engine = FakeEngine(lambda request: request.id, window=3)
    asked = ask(7)
    done = list(fake.generate(iter(asked)))
    assert [completion.request for completion in done] != asked
    assert texts(done).keys() == {request.id for request in asked}
    assert all(completion.text == completion.request.id for completion in done)


def test_every_request_is_answered_once(engine: Engine) -> None:
    asked = ask(37)
    done = list(engine.generate(iter(asked), total=37))
    assert sorted(completion.request.id for completion in done) == sorted(r.id for r in asked)
    assert engine.model == "digest"
    assert {completion.finish_reason for completion in done} <= {"stop", "length"}
    for completion in done:
        assert 0 < completion.completion_tokens <= 24
        assert (completion.finish_reason == "length") <= (completion.completion_tokens == 24)
        assert not any(token in completion.text for token in ("<s>", "</s>", "<|user|>"))


def test_no_requests_no_completions(engine: Engine) -> None:
    assert list(engine.generate(iter(()))) == []


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_texts_depend_neither_on_order_nor_on_the_batch(
    engine: Engine, model: Path, batch_size: int
) -> None:
    asked = ask(40)
    expected = texts(engine.generate(asked))
    random.Random(batch_size).shuffle(asked)
    other = open_engine(TransformersEngine(batch_size=batch_size), str(model), "digest")
    assert texts(other.generate(asked)) == expected
    other.close()


def test_another_seed_is_another_text_and_the_same_seed_the_same(engine: Engine) -> None:
    (first,) = ask(1)
    again = Request("again", first.messages, first.sampling, first.seed)
    others = [Request(str(i), first.messages, first.sampling, i) for i in range(8)]
    done = texts(engine.generate([first, again, *others]))
    assert done["r0"] == done["again"]
    assert len(set(done.values())) > 4


def test_greedy_answers_are_those_of_plain_generate(engine: Engine, model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model)
    asked = ask(20, GREEDY)
    done = {completion.request.id: completion for completion in engine.generate(asked)}
    for request in asked:
        prompt = tokenizer.apply_chat_template(
            [dict(turn) for turn in request.messages],
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )
        with torch.no_grad():
            whole = network.generate(**prompt, max_new_tokens=24, do_sample=False)[0]
        answer = whole[prompt["input_ids"].shape[1] :]
        completion = done[request.id]
        text = tokenizer.decode(answer, skip_special_tokens=True)
        assert completion.text == text.rstrip("\N{REPLACEMENT CHARACTER}")
        assert completion.completion_tokens == len(answer)
        assert completion.prompt_tokens == prompt["input_ids"].shape[1]


def test_the_chat_template_is_applied_once_and_begins_the_text_once(model: Path) -> None:
    from transformers import AutoTokenizer

    from srlm_data.engines._chat import Prompts

    tokenizer = AutoTokenizer.from_pretrained(model)
    (request,) = ask(1)
    tokens = Prompts(tokenizer, "m", 512).tokens(request)
    assert isinstance(tokens, list)
    assert tokens.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(tokens) == tokenizer.apply_chat_template(
        [dict(turn) for turn in request.messages], add_generation_prompt=True, tokenize=False
    )


def test_what_prompts_share_is_computed_once_and_changes_no_text(model: Path) -> None:
    rubric = "Review the question and the response, then give points of five. " * 4
    asked = [
        Request(f"{i}", ({"role": "user", "content": rubric + "one two three " * i},), WARM, i)
        for i in range(6)
    ]
    together = open_engine(TransformersEngine(batch_size=8), str(model), "digest")
    alone = open_engine(TransformersEngine(batch_size=1), str(model), "digest")
    shared = list(together.generate(asked))
    assert sum(completion.cached_tokens > 32 for completion in shared) == 5
    assert texts(shared) == texts(alone.generate(asked))


def test_the_nucleus_and_the_temperature_bound_what_is_drawn() -> None:
    import torch

    from srlm_data.engines.backends.transformers import _choose, _Row

    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(4000, 1)

    def shares(temperature: float, top_p: float) -> list[float]:
        sampling = Sampling(temperature, top_p, 1)
        rows = [_Row(Request(str(i), (), sampling, i), ()) for i in range(len(logits))]
        counts = torch.bincount(_choose(logits, list(rows)), minlength=4)
        return [count / len(logits) for count in counts.tolist()]

    assert shares(0.0, 1.0) == [1, 0, 0, 0]
    assert shares(1.0, 0.4) == [1, 0, 0, 0]
    assert shares(1.0, 1.0) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)
    assert shares(1.0, 0.7) == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    squares = [0.25, 0.09, 0.0225, 0.0025]
    assert shares(0.5, 1.0) == pytest.approx([s / sum(squares) for s in squares], abs=0.03)


def test_what_a_model_card_asks_for_bounds_what_is_drawn() -> None:
    import torch

    from srlm_data.engines.backends.transformers import _choose, _Row

    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(800, 1)

    def shares(temperature: float = 1.0, top_p: float = 1.0, **further: float) -> list[float]:
        sampling = Sampling(temperature, top_p, 1, **further)  # type: ignore[arg-type]
        rows = [
            _Row(Request(str(i), (), sampling, i), (3,), answer=[1, 1]) for i in range(len(logits))
        ]
        counts = torch.bincount(_choose(logits, list(rows)), minlength=4)
        return [count / len(logits) for count in counts.tolist()]

    def expected(*weights: float) -> Any:
        return pytest.approx([weight / sum(weights) for weight in weights], abs=0.06)

    assert shares(top_k=2) == expected(0.5, 0.3, 0, 0)
    assert shares(top_k=1) == [1, 0, 0, 0]
    assert shares(min_p=0.25) == expected(0.5, 0.3, 0.15, 0)
    assert shares(top_k=2, top_p=0.6) == [1, 0, 0, 0]  # of what top_k leaves
    assert shares(presence_penalty=1) == expected(0.5, 0.3 / math.e, 0.15, 0.05)
    assert shares(frequency_penalty=1) == expected(0.5, 0.3 / math.e**2, 0.15, 0.05)
    assert shares(repetition_penalty=2) == expected(0.5, 0.3**2, 0.15, 0.05**2)
    assert shares(temperature=0, repetition_penalty=0.1) == [0, 1, 0, 0]
    assert torch.equal(logits[0], torch.tensor([0.5, 0.3, 0.15, 0.05]).log())


def test_a_stop_string_ends_the_answer_and_is_left_out(engine: Engine) -> None:
    whole = texts(engine.generate(ask(20, GREEDY)))
    key, (text, _) = max(whole.items(), key=lambda item: len(item[1][0]))
    word = text[5:8]
    stopped = list(engine.generate(ask(20, Sampling(0.0, 1.0, 24, stop=(word, "never")))))
    (done,) = [completion for completion in stopped if completion.request.id == key]
    assert done.text == text[: text.index(word)]
    assert done.finish_reason == "stop"
    assert done.completion_tokens < 24


def test_a_prompt_that_is_too_long_fails_alone(engine: Engine) -> None:
    long = Request("long", ({"role": "user", "content": "one two three " * 400},), WARM, 1)
    done = {completion.request.id: completion for completion in engine.generate([long, *ask(3)])}
    assert done["long"].finish_reason == "error"
    assert "the longest sequence is 512" in str(done["long"].error)
    assert done["long"].text == ""
    assert {done[f"r{i}"].finish_reason for i in range(3)} <= {"stop", "length"}


SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string", "maxLength": 8}, "score": {"enum": [3, 7]}},
    "required": ["reason", "score"],
    "additionalProperties": False,
}


def test_answers_are_held_to_a_pattern_or_a_schema_beside_free_ones(engine: Engine) -> None:
    pattern = Sampling(0.7, 0.9, 16, pattern="Score: [0-5]")
    schema = Sampling(0.7, 0.9, 64, json_schema=SCHEMA)
    requests = [
        Request(f"{number}", ask(1)[0].messages, sampling, number)
        for number, sampling in enumerate([pattern, schema, WARM] * 4)
    ]
    done = texts(engine.generate(requests))
    assert all(re.fullmatch("Score: [0-5]", done[str(number)][0]) for number in range(0, 12, 3))
    objects = [json.loads(done[str(number)][0]) for number in range(1, 12, 3)]
    assert {one["score"] for one in objects} <= {3, 7}
    assert done["2"] == texts(engine.generate(requests[2:3]))["2"]


def test_a_form_that_is_none_ends_the_run_with_a_sentence(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"cannot be held to the form.*'guided: false'"):
        list(engine.generate(ask(2, Sampling(0.7, 0.9, 16, pattern="(?=x)y"))))


def test_a_form_without_the_package_that_holds_it_says_how_to_get_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingError, match=r"'llguidance'.*pip install"):
        list(engine.generate(ask(1, Sampling(0.7, 0.9, 16, pattern="[ab]"))))


def test_an_answer_ends_where_the_model_does(engine: Engine) -> None:
    near = Request("near", ({"role": "user", "content": "e\n" * 250},), WARM, 3)
    endless = Request("near", near.messages, Sampling(1.0, 1.0, 10_000), 3)
    (done,) = engine.generate([endless])
    assert done.prompt_tokens + done.completion_tokens <= 512
    assert done.error is None


def test_a_conversation_that_the_template_refuses_fails_alone(model: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from srlm_data.engines._chat import Prompts

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = "{{ raise_exception('no system turn') }}"
    (request,) = ask(1)
    refused = Prompts(tokenizer, "m", 512).tokens(request)
    assert isinstance(refused, Completion)
    assert refused.error == "the chat template refuses the conversation: no system turn"


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(EngineError, match="has no chat template"):
        open_engine(TransformersEngine(), str(folder), "digest")


def test_a_model_whose_state_cannot_be_carried_on_is_refused(model: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=384, hidden_size=16, num_hidden_layers=1, state_size=4)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path)
    with pytest.raises(EngineError, match="keeps only a running state"):
        open_engine(TransformersEngine(), str(tmp_path), "digest")


def test_weights_under_other_names_are_no_model_that_answers_by_chance(
    model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    change_weights(tmp_path, lambda name, value: (f"base_model.{name}", value))
    with pytest.raises(EngineError, match=r"weights, the first is .* would answer at random"):
        open_engine(TransformersEngine(), str(tmp_path), "digest")


def test_weights_that_compute_no_numbers_end_the_run_in_a_sentence(
    model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    change_weights(tmp_path, lambda name, value: (name, value * math.nan))
    damaged = open_engine(TransformersEngine(), str(tmp_path), "digest")
    with pytest.raises(EngineError, match=r"computes NaN.*'dtype: float32'"):
        list(damaged.generate(ask(1)))


def test_a_token_that_the_model_has_no_weights_for_fails_its_request_alone(
    model: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens(["<extra>"])
    tokenizer.save_pretrained(tmp_path)
    odd = Request("odd", ({"role": "user", "content": "one <extra>"},), WARM, 1)
    larger = open_engine(TransformersEngine(), str(tmp_path), "digest")
    done = {completion.request.id: completion for completion in larger.generate([odd, *ask(1)])}
    assert done["odd"].error == "the prompt has tokens other than the model's 384"
    assert done["r0"].error is None


def test_a_token_that_ends_an_answer_is_no_part_of_its_text(model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    [asked] = ask(1, GREEDY)
    prompt = tokenizer.apply_chat_template(
        list(asked.messages), add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    network = AutoModelForCausalLM.from_pretrained(model)
    whole = network.generate(**prompt, max_new_tokens=8, do_sample=False)[0].tolist()
    answer = whole[prompt["input_ids"].shape[1] :]
    end = answer[4]
    assert end not in tokenizer.all_special_ids
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    settings = {"eos_token_id": [end, tokenizer.eos_token_id]}
    (tmp_path / "generation_config.json").write_text(json.dumps(settings))
    [done] = open_engine(TransformersEngine(), str(tmp_path), "digest").generate([asked])
    assert done.finish_reason == "stop"
    assert done.text == tokenizer.decode(answer[: answer.index(end)])


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be loaded"):
        open_engine(TransformersEngine(), str(tmp_path), "digest")


def test_requests_are_pulled_only_as_there_is_room(engine: Engine) -> None:
    pulled = 0

    def endless() -> Iterator[Request]:
        nonlocal pulled
        while True:
            for request in ask(10):
                pulled += 1
                yield request

    stream = engine.generate(endless())
    for _ in range(5):
        next(stream)
    assert pulled <= 64
    stream.close()  # type: ignore[attr-defined]
    assert len(list(engine.generate(ask(3)))) == 3
