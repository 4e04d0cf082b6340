"""The texts of the echo pipeline, the same for everyone that is compared; it imports nothing."""

from __future__ import annotations

from typing import Final

WORDS: Final = (
    "Explain to a new colleague how a ship finds its way at night when the stars are hidden, "
    "what was done before there were instruments, and which mistake is made most often. Number "
)


def prompt(number: int) -> str:
    """A prompt of about thirty words."""
    return f"{WORDS}{number}."


def answer(number: int) -> str:
    """An answer of about fifty words, which hangs on a number alone."""
    return f"Answer {number}. " + WORDS * 2


def judgment(number: int) -> str:
    """A judgment with a score of 0 to 5."""
    return f"The response is relevant and covers a part of the question.\nScore: {number % 6}"
