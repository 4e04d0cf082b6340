"""Patterns of what models write around a prompt that they were asked for, in a dozen languages."""

from __future__ import annotations

import functools

import regex

from srlm_data.core.yaml_data import data_beside

_WHO = r"user|human|用户|ユーザー|사용자"


@functools.cache
def patterns() -> dict[str, regex.Pattern[str]]:
    """Return the patterns of the phrases; they are compiled on first use."""
    phrases = data_beside(__file__, "phrases.yaml")
    any_of = {name: _any_of(listed) for name, listed in phrases.items()}
    items, unspaced = any_of["items"], any_of["unspaced_items"]
    word = rf"(?:{items})\p{{L}}*|(?:{_WHO}|q|no|nr|nº)(?!\p{{L}})"
    item = rf"(?:(?<!\p{{L}})(?:{word})|{unspaced}|第|제)"
    texts = {
        "greeting": rf"(?:\W*+(?:{any_of['greetings']})(?: thing)?"
        r"(?:\s*[,.!;。，！；、…]+|\s+[-–—]|[:：]\s)[\s*_]*+)+",
        "talk": rf"\W*+(?:{any_of['talk']})",
        "opened": rf"\W*+(?:(?:{any_of['openers']})\b|{any_of['unspaced_openers']})"
        rf".*?(?:(?<!\p{{L}})(?:{items})|{unspaced}|{_WHO})",
        "label": rf"(?:\W*+{item})+[\W\d]*+",
        "numbered": rf"[^\w\n]*+(?P<label>{item}\W{{0,4}}"
        r"(?:(?:number|no|nr|número|numéro|numero)\W{1,3})?)?"
        r"(?P<number>\d{1,6}|[一二三四五六七八九十]{1,3})"
        rf"(?:st|nd|rd|th|번째?|個目|つ目|个|個|条|題|题|号)?(?:\s?{item})?"
        r"(?:\N{VARIATION SELECTOR-16}?\N{COMBINING ENCLOSING KEYCAP}"
        r"|[*_\]）)】]*\s?[.:：．。、)）\]】|>][*_]*|\*\*|\s[-–—](?=\s)|\s*$)"
        r"(?!\d)\s*(?P<rest>.*)",
        "tag": rf"</?(?:{item}|li|p|b|i|strong|em|text|br\s?/?)>",
        "key": rf"{item}|text|content|input|user",
    }
    return {name: regex.compile(text, regex.IGNORECASE) for name, text in texts.items()}


def _any_of(listed: str) -> str:
    """Return an alternation of phrases that commas and lines separate, the longest first."""
    stripped = sorted((phrase.strip() for phrase in regex.split("[,\n]", listed)), key=len)
    return "|".join(regex.escape(p, literal_spaces=True) for p in reversed(stripped) if p)


def leads_to_prompt(text: str) -> bool:
    """Return whether a text only leads to a prompt: ``Here is the next request``, ``Question``."""
    return names_new_prompt(text) or patterns()["label"].fullmatch(text) is not None


def names_new_prompt(text: str) -> bool:
    """Return whether a text that introduces a prompt says that the prompt is a new one."""
    return patterns()["opened"].match(text) is not None
