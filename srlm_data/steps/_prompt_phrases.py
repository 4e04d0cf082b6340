"""What models say around a prompt that they were asked for, in a dozen languages."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import regex
import yaml

_WHO = r"user|human|用户|ユーザー|사용자"


class Phrases(NamedTuple):
    """The phrases of ``phrases.yaml``, as patterns; ``item`` is a part of one."""

    item: str
    greeting: regex.Pattern[str]
    talk: regex.Pattern[str]
    opened: regex.Pattern[str]
    label: regex.Pattern[str]


@functools.cache
def phrases() -> Phrases:
    """Return the patterns; they are compiled once they are needed."""
    text = (Path(__file__).parent / "phrases.yaml").read_text(encoding="utf-8")
    any_of = {name: _any_of(listed) for name, listed in yaml.load(text, yaml.CSafeLoader).items()}
    items, unspaced = any_of["items"], any_of["unspaced_items"]
    word = rf"(?:{items})\p{{L}}*|(?:{_WHO}|q|no|nr|nº)(?!\p{{L}})"
    item = rf"(?:(?<!\p{{L}})(?:{word})|{unspaced}|第|제)"
    greeting = (
        rf"(?:\W*+(?:{any_of['greetings']})(?: thing)?"
        r"(?:\s*[,.!;。，！；、…]+|\s+[-–—]|[:：]\s)[\s*_]*+)+"
    )
    opened = (
        rf"\W*+(?:(?:{any_of['openers']})\b|{any_of['unspaced_openers']})"
        rf".*?(?:(?<!\p{{L}})(?:{items})|{unspaced}|{_WHO})"
    )
    talk, label = rf"\W*+(?:{any_of['talk']})", rf"(?:\W*+{item})+[\W\d]*+"
    patterns = (greeting, talk, opened, label)
    return Phrases(item, *(regex.compile(pattern, regex.IGNORECASE) for pattern in patterns))


def _any_of(listed: str) -> str:
    """An alternation of phrases that commas and lines separate; the longest first."""
    stripped = sorted((phrase.strip() for phrase in regex.split("[,\n]", listed)), key=len)
    return "|".join(regex.escape(p, literal_spaces=True) for p in reversed(stripped) if p)


def leads_to_prompt(text: str) -> bool:
    """Return whether a text only leads to a prompt: ``Here is the next request``, ``Question``."""
    return names_new_prompt(text) or phrases().label.fullmatch(text) is not None


def names_new_prompt(text: str) -> bool:
    """Return whether a text that leads to a prompt says that it is another than those before."""
    return phrases().opened.match(text) is not None
