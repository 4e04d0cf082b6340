"""What is true in the world: things, their attributes, and the words of the word-order tasks.

Every value is one word, so that a reply can be checked word by word, and no word serves two
attributes, so that a value alone says what it is a value of.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from srlm_data.core.yaml_data import data_beside

WORLD_SEED: Final = 0
"""The facts that the shipped M0 was pretrained on. Trees vary by their own seeds; facts do not."""

ATTRIBUTES: Final = ("colour", "place", "owner", "kind")

_WORDS: Final[dict[str, Any]] = data_beside(__file__, "words.yaml")
THINGS_BY_KIND: Final = {kind: tuple(things.split()) for kind, things in _WORDS["things"].items()}
KINDS: Final = tuple(THINGS_BY_KIND)
THINGS: Final = tuple(thing for things in THINGS_BY_KIND.values() for thing in things)
VALUES: Final[dict[str, tuple[str, ...]]] = {
    **{attribute: tuple(values.split()) for attribute, values in _WORDS["values"].items()},
    "kind": KINDS,
}
WORDS: Final = tuple(_WORDS["words"].split())
"""The words of the word-order tasks; none of them is a thing or a value."""


@dataclass(frozen=True)
class World:
    """The facts of one world: `truth[(thing, attribute)]` is one word."""

    seed: int
    truth: dict[tuple[str, str], str]


@cache
def world(seed: int = WORLD_SEED) -> World:
    """Draw the facts of the world with this seed; a thing's kind is what it is in English."""
    rng = random.Random(f"facts:{seed}")
    truth: dict[tuple[str, str], str] = {}
    for kind, things in THINGS_BY_KIND.items():
        for thing in things:
            for attribute in ("colour", "place", "owner"):
                truth[thing, attribute] = rng.choice(VALUES[attribute])
            truth[thing, "kind"] = kind
    return World(seed, truth)
