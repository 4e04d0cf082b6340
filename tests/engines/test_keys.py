"""The key of a cached response: all that decides the response is in it, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srlm_data.engines import keys
from srlm_data.engines.protocol import Request, Sampling, response_keys

SAMPLING = Sampling(0.7, 0.9, 16)


def request(text="hi", seed=1, sampling=SAMPLING):
    return Request(f"{text}-{seed}", ({"role": "user", "content": text},), sampling, seed)


@pytest.mark.parametrize(
    "other",
    [
        ("m2", request()),
        ("m", request("ho")),
        ("m", request(seed=2)),
        ("m", request(sampling=Sampling(0.8, 0.9, 16))),
        ("m", request(sampling=Sampling(0.7, 0.9, 17))),
        ("m", request(sampling=Sampling(0.7, 0.9, 16, ("\n",)))),
        ("m", request(sampling=Sampling(0.7, 0.9, 16, pattern="Score: [0-5]"))),
        ("m", request(sampling=Sampling(0.7, 0.9, 16, json_schema={"type": "object"}))),
        ("m", request(sampling=Sampling(0.7, 0.9, 16, top_k=20))),
        ("m", request(sampling=Sampling(0.7, 0.9, 16, min_p=0.0))),
        ("m", request(sampling=Sampling(0.7, 0.9, 16, repetition_penalty=1.0))),
        ("m", request(sampling=Sampling(0.7, 0.9, 16, presence_penalty=1.5))),
        ("m", request(sampling=Sampling(0.7, 0.9, 16, frequency_penalty=1.5))),
        ("m", request(sampling=Sampling(0.7, 0.9, 16, extra={"reasoning_effort": "low"}))),
        ("m", request(sampling=Sampling(0.7, 0.9, 16, omit=("top_p",)))),
    ],
)
def test_whatever_decides_an_answer_is_in_its_key(other):
    model, asked = other
    assert response_keys(model, [asked]) != response_keys("m", [request()])


@pytest.mark.parametrize(
    ("turns", "seed", "sampling", "key"),
    [
        ([("user", "hi")], 1, (0.7, 0.9, 16), "b8b0d7140e5f1dbec10261919b0fed370000000000000001"),
        (
            [("system", "Be brief."), ("user", "h\u00e9\ud800?")],
            2**63,
            (0.7, 0.9, 16),
            "af00fe6b807c47adfa157e35d8fc9fd98000000000000000",
        ),
        (
            [("user", "hi")],
            3,
            (1, 1, 8, ("\n", "###"), "Score: [0-5]"),
            "6164afa829c5687d3f58c75b3b4a2c9c0000000000000003",
        ),
    ],
)
def test_a_key_is_the_same_in_every_release_and_needs_no_request(turns, seed, sampling, key):
    """Else the responses that stores hold would be lost, and paid for again."""
    messages = tuple({"role": role, "content": text} for role, text in turns)
    question = keys.hash_question(keys.hash_sampling("m1", *sampling), messages)
    assert keys.response_key(question, seed) == key
    asked = Request("r", messages, Sampling(*sampling), seed)
    assert response_keys("m1", [asked]) == [key]


def test_a_number_is_one_setting_however_it_is_written_and_fields_have_no_order():
    def key(**further):
        return response_keys("m", [request(sampling=Sampling(0.7, 0.9, 16, **further))])

    assert key(top_k=20, presence_penalty=1) == key(top_k=20, presence_penalty=1.0)
    assert key(extra={"a": 1, "b": 2}) == key(extra={"b": 2, "a": 1})
    assert key(presence_penalty=1.5) != key(frequency_penalty=1.5)


def test_a_key_imports_nothing_of_the_engines_above_it():
    imported = [
        line for line in Path(keys.__file__).read_text().splitlines() if "srlm_data" in line
    ]
    assert all(line.startswith("from srlm_data.core.") for line in imported)


TEXTS = st.text(st.sampled_from("ab:;1\ud800\udc00é"), max_size=6)
TURNS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3)


@given(st.lists(TURNS, min_size=1, max_size=5))
def test_a_key_hangs_on_all_of_its_question_and_on_nothing_beside_it(asked):
    requests = [
        Request("r", tuple({"role": role, "content": text} for role, text in turns), SAMPLING, 1)
        for turns in asked
    ]
    together = response_keys("m", requests)
    for request in requests:
        request.key = None
    assert together == [response_keys("m", [request])[0] for request in requests]
    assert len(set(together)) == len({tuple(turns) for turns in asked})
