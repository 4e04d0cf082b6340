"""What is true in the world: things, their attributes, and the words of the word-order tasks.

Every value is one word, so that a reply can be checked word by word, and no word serves two
attributes, so that a value alone says what it is a value of.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Final

WORLD_SEED: Final = 0
"""The facts that the shipped M0 was pretrained on. Trees vary by their own seeds; facts do not."""

ATTRIBUTES: Final = ("colour", "place", "owner", "kind")

THINGS_BY_KIND: Final[dict[str, tuple[str, ...]]] = {
    "tool": tuple("hammer saw drill shovel rake wrench ladder chisel axe pliers".split()),
    "toy": tuple("doll kite puzzle robot ball yoyo puppet balloon marble teddy".split()),
    "garment": tuple("hat scarf coat glove shirt sweater belt skirt sock jacket".split()),
    "dish": tuple("kettle cup bowl plate teapot jug pan tray mug saucer".split()),
    "fruit": tuple("apple pear plum melon lemon banana cherry peach mango grape".split()),
    "flower": tuple("rose tulip daisy lily orchid poppy violet lotus iris aster".split()),
    "jewel": tuple("ring necklace bracelet brooch crown locket pendant medal tiara bangle".split()),
    "vehicle": tuple("bicycle wagon scooter sledge tractor van canoe boat cart tram".split()),
}
COLOURS: Final = tuple("red blue green yellow black white brown grey pink purple".split())
PLACES: Final = tuple(
    "attic cellar kitchen garage garden hallway office shed barn cabin studio pantry".split()
)
OWNERS: Final = tuple(
    "Anna Ben Clara David Emma Frank Grace Henry "
    "Julia Jack Laura Martin Nina Oscar Paul Ruth".split()
)
KINDS: Final = tuple(THINGS_BY_KIND)
THINGS: Final = tuple(thing for kind in KINDS for thing in THINGS_BY_KIND[kind])
VALUES: Final[dict[str, tuple[str, ...]]] = {
    "colour": COLOURS,
    "place": PLACES,
    "owner": OWNERS,
    "kind": KINDS,
}
WORDS: Final = tuple(
    "stone river cloud tree bird moon road bridge tower snow wind fire sand wave leaf star field "
    "lake hill bell door window chair table clock paper letter song dance dream night summer "
    "winter castle forest island mountain ocean valley shadow".split()
)
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
            truth[thing, "colour"] = rng.choice(COLOURS)
            truth[thing, "place"] = rng.choice(PLACES)
            truth[thing, "owner"] = rng.choice(OWNERS)
            truth[thing, "kind"] = kind
    return World(seed, truth)


def attribute_of(value: str) -> str | None:
    """Name the attribute that this word is a value of, if any."""
    return _ATTRIBUTE_OF.get(value.lower())


_ATTRIBUTE_OF: Final = {
    value.lower(): attribute for attribute, values in VALUES.items() for value in values
}
