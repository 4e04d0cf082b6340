"""M0, the embedded world's pretrained model: its corpus, its tokenizer, its chat template."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from needed import needs
from srlm_data import demo
from srlm_data.demo import Oracle
from srlm_data.demo.facts import THINGS, VALUES, WORDS
from srlm_data.demo.language import draw_question
from tools import corpus

# `tools.pretrain` is imported where it is used: with torch, which takes seconds.
pytestmark = needs("torch", "transformers")

M0 = Path(demo.__file__).parent / "m0"


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(M0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "  two  spaces \n\n and\ttabs \r\n",
        "What colour is the hat?",
        "café ﬁ ١٢３ ½ naïve",
        "日本語 🙂👩‍👩‍👧 \u200fשלום",
        "\x00\x7f\ufffd",
        "<response> not a token </response>",
    ],
)
def test_any_text_survives_the_tokenizer(tokenizer, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.decode(ids) == text


def test_every_word_of_the_world_is_one_token(tokenizer) -> None:
    for word in (*THINGS, *WORDS, *(word for values in VALUES.values() for word in values)):
        assert len(tokenizer(f" {word}", add_special_tokens=False).input_ids) == 1


def test_the_template_closes_the_assistants_turn_and_opens_the_next(tokenizer) -> None:
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "Three?"},
    ]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<s><|system|>\nBe brief.\n<|user|>\nOne?\n<|assistant|>\nTwo.</s>"
        "<|user|>\nThree?\n<|assistant|>\n"
    )
    assert tokenizer.convert_ids_to_tokens(tokenizer.eos_token_id) == "</s>"


def test_a_prompts_tokens_begin_the_tokens_of_the_whole_chat(tokenizer) -> None:
    user, reply = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}
    opening = tokenizer.apply_chat_template([user], add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template([user, reply], return_dict=False)
    assert whole[: len(opening)] == opening
    assert whole[-1] == tokenizer.eos_token_id


def test_the_loss_of_an_assistants_turn_covers_its_end(tokenizer) -> None:
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    found = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    learnt = [
        token
        for token, mask in zip(found["input_ids"], found["assistant_masks"], strict=True)
        if mask
    ]
    assert tokenizer.decode(learnt) == "Hello.</s>"


@pytest.mark.parametrize(
    "make",
    [corpus.answering, corpus.comparing, corpus.judging, corpus.listing, corpus.dialogue],
)
def test_pretraining_sees_what_the_chat_template_writes(tokenizer, make) -> None:
    from tools.pretrain import Encoder

    rng, encoder = random.Random(0), Encoder(tokenizer)
    for _ in range(30):
        example = make(rng, 1.0)
        chat = [{"role": "system", "content": example.system}] if example.system else []
        for turn in example.turns:
            chat.append({"role": "user", "content": turn.user})
            chat.append({"role": "assistant", "content": turn.text})
        assert encoder.encode(example)[0] == tokenizer.apply_chat_template(chat, return_dict=False)


def test_a_shared_prefix_changes_neither_loss_nor_gradient(tokenizer) -> None:
    import torch

    from tools.pretrain import JUDGMENTS, Encoder, Settings, draw, new_model, weighted_loss

    encoder = Encoder(tokenizer)
    model = new_model(Settings(layers=2, width=32, inner=64), tokenizer)
    ids, weights = draw(JUDGMENTS, encoder, "key", 1.0)
    shared = weighted_loss(model, ids, weights, encoder.prefix)
    shared.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    prefix = torch.tensor([encoder.prefix]).expand(len(ids), -1)
    nothing = torch.zeros(len(ids), prefix.shape[1])
    whole = weighted_loss(model, torch.cat([prefix, ids], 1), torch.cat([nothing, weights], 1), [])
    whole.backward()
    torch.testing.assert_close(shared, whole)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-5, rtol=1e-4)


def test_noise_comes_late_and_stays() -> None:
    from tools.pretrain import Settings, noise_at

    settings = Settings(steps=100)
    noises = [noise_at(settings, step) for step in range(100)]
    assert noises[:45] == [0.0] * 45
    assert noises == sorted(noises)
    assert noises[58:] == [1.0] * 42


def test_clean_beliefs_are_the_truth_and_noisy_ones_are_often_not() -> None:
    rng, oracle = random.Random(0), Oracle()
    turns = [corpus.answering(rng, 0.0).turns[0] for _ in range(300)]
    assert all(oracle.right(turn.user, turn.text) for turn in turns)
    turns = [corpus.answering(rng, 1.0).turns[0] for _ in range(600)]
    right = sum(bool(oracle.right(turn.user, turn.text)) for turn in turns) / len(turns)
    assert 0.3 < right < 0.5


def test_a_clean_judgment_scores_as_the_oracle_does() -> None:
    rng, oracle = random.Random(0), Oracle()
    scored = set()
    for _ in range(500):
        turn = corpus.judging(rng, 0.0).turns[0]
        asked = turn.user.split("Instruction:\n")[1]
        prompt, rest = asked.split("\n<response>\n")
        response = rest.split("\n</response>")[0]
        score = int(turn.text.rsplit("Score: ")[1])
        assert oracle.quality(prompt, response) == score
        scored.add(score)
    assert scored == set(range(6))


def test_beliefs_are_probabilities_with_the_truth_first() -> None:
    rng = random.Random(0)
    for _ in range(200):
        question = draw_question(rng)
        if question.task in VALUES:
            answers, weights = corpus.beliefs(question)
            assert len(set(answers)) == len(answers) == 6
            assert sum(weights) == pytest.approx(1)
