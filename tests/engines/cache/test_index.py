"""Where answers lie is found by their keys, among however many."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from srlm_data.engines.cache._index import Index
from srlm_data.engines.keys import KEY_DIGITS


def keys(count: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [f"{chance.getrandbits(4 * KEY_DIGITS):0{KEY_DIGITS}x}" for _ in range(count)]


def array(texts: list[str | None]) -> pa.Array:
    return pa.array(texts, pa.string())


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_every_key_is_found_at_its_place_however_they_came(size: int) -> None:
    known = keys(1000)
    index = Index()
    for place, start in enumerate(range(0, 1000, size)):
        index.add(array(known[start : start + size]), place)
    for number in (0, 1, 500, 999):
        assert index.places(array([known[number]])) == [number // size]
    assert index.places(array(known)) == list(range(-(-1000 // size)))


def test_what_was_never_added_is_nowhere() -> None:
    index = Index()
    assert index.places(array(keys(3))) == []
    index.add(array(keys(1000)), 0)
    assert index.places(array(keys(1000, seed=1))) == []
    assert index.places(array([])) == []


def test_answers_to_one_question_are_told_apart_by_their_seeds() -> None:
    question = keys(1)[0][:32]
    asked = [f"{question}{seed:016x}" for seed in range(5000)]
    index = Index()
    for place, key in enumerate(asked):
        index.add(array([key]), place)
    assert [index.places(array([key])) for key in asked[::100]] == [
        [n] for n in range(0, 5000, 100)
    ]


def test_a_key_at_two_places_is_found_at_one_at_least() -> None:
    index = Index()
    for place in (0, 1):
        index.add(array(keys(10)), place)
        index.add(array(keys(100, seed=place + 1)), 9)
    assert set(index.places(array(keys(10)))) & {0, 1}


def test_what_is_no_key_is_passed_over() -> None:
    [key] = keys(1)
    index = Index()
    index.add(array([None, "", "short", key, key + "0"]), 3)
    assert index.places(array([key])) == [3]
    assert index.places(array([None, "short"])) == []


def test_a_slice_of_an_array_is_no_more_than_the_slice() -> None:
    known = keys(10)
    index = Index()
    index.add(array(known)[4:6], 0)
    assert [bool(index.places(array([key]))) for key in known] == [n in (4, 5) for n in range(10)]


def test_there_are_few_runs_to_search_however_many_batches_came() -> None:
    index = Index()
    for place in range(1000):
        index.add(array(keys(4, seed=place)), place)
    assert len(index._runs) <= 12
