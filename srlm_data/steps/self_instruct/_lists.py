"""Extract the prompts that a model adds to a list, whatever it writes around them.

Asked for the next line of a list, models greet, reason first, repeat the list, start at 1 again,
write ``**9.**``, ``Task 9:``, bullets or JSON, and go on to answer the prompt that they wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

import regex

from srlm_data.core.thinking import WRITTEN_MARKS, pattern_of
from srlm_data.steps._words import words
from srlm_data.steps.self_instruct._phrases import (
    leads_to_prompt,
    names_new_prompt,
    patterns,
)

_BEGINS, _ENDS = (pattern_of(marks) for marks in zip(*WRITTEN_MARKS, strict=True))
_THOUGHT_BEGINS: Final = regex.compile(_BEGINS, regex.IGNORECASE)
_THOUGHT_ENDS: Final = regex.compile(rf"{_ENDS}|assistantfinal", regex.IGNORECASE)
_BULLET: Final = regex.compile(
    r"\s*(?:[-*+•‣▪◦●○·–—→➤➢✦✓✔☐]|\[[ x]?\]|\(?(?:[a-z]|[ivx]{1,5})[.)])\s+(?P<rest>.*)",
    regex.IGNORECASE,
)
_ANSWER: Final = regex.compile(
    r"(?:\s[(（]?|(?<=[?？。.!！]))[*_]*(?:answer|response|output|assistant|respuesta|resposta|réponse"
    r"|antwort|risposta|ответ|回答|答案|答|答え|답변|답)[*_]*\s?[:：]",
    regex.IGNORECASE,
)
_TOPIC: Final = regex.compile(r"\*\*[^*]{1,40}(?:[:：]\*\*|\*\*\s*[:：–—-])\s*(?=\S)")
_QUOTED: Final = regex.compile(r'"((?:[^"\\]|\\.)*+)"(\s*:)?')
_JSON_BEGINS: Final = regex.compile(r"\s*(?:\[\s*(?:[\"{\[]|$)|\{\s*(?:\"|$))")
_JSON_VALUE: Final = regex.compile(r"[\s,]*+[\[{]")
_INLINE_NUMBER: Final = regex.compile(r"\s(\d{1,6})[.):](?:\s|$)")
_COLON: Final = regex.compile(r"[:：]")
_SENTENCE: Final = regex.compile(r"(.{1,200}?[.!。！])(?:[*_]*\s+|$|(?<=[。！]))(.*)")
_LONGEST_TALK: Final = 160  # characters
_MOST_TALK: Final = 8  # introductions and list marks before a prompt, on one line
_CHINESE: Final = {digit: value for value, digit in enumerate("一二三四五六七八九", start=1)}
_WRAPPERS: Final = tuple(
    zip(
        "** __ * _ ` \" ' “ ‘ « „ 「 『 [".split(),
        "** __ * _ ` \" ' ” ’ » “ 」 』 ]".split(),
        strict=True,
    )
)


_Kind = Literal["numbered", "bullet", "plain"]


class NewPrompt(NamedTuple):
    """A prompt that a model wrote, on one line."""

    text: str
    complete: bool  # whether anything came after it
    copied: bool  # whether it is one of those that the model was shown


class _Line(NamedTuple):
    """A line's kind, and its text without list mark and talk; only ``numbered`` has a number."""

    kind: _Kind
    text: str
    number: int = 0


def new_prompts(text: str, shown: Sequence[str]) -> Iterator[NewPrompt]:
    """Yield the prompts that a model added to a list of those ``shown``, without their marks.

    A prompt is one line. The first is that with the list's next number; without one, what follows a
    line such as ``New request:``; without that, the first line that is neither talk nor a copy.
    Further ones follow by number or bullet. All else is the model's answer to its own prompt and is
    left out, as is what follows the next number or an ``Answer:`` on the same line.
    """
    copies = {tuple(words(prompt)) for prompt in shown}
    text = _without_thought(text)
    lines = text.splitlines()
    values = _json_values(lines)
    if values is not None:
        for value in filter(None, map(one_line, values)):
            yield NewPrompt(value, complete=True, copied=tuple(words(value)) in copies)
        return
    last = max((place for place, line in enumerate(lines) if line.strip()), default=0)
    kind, number, wants_text = None, len(shown), False
    for place in range(_start(lines, len(shown) + 1), len(lines)):
        if not lines[place].strip():
            continue
        line = _read_line(lines[place])
        follows = line.kind == "numbered" and line.number == number + 1
        if not (kind is None or wants_text or follows or kind == line.kind == "bullet"):
            continue
        if line.kind == "numbered":
            number = line.number
            wants_text = not line.text  # the text may be on the next line
        elif kind is None and line.text:
            number = len(shown) + 1
        prompt = _cut(line.text, number + 1)
        if not prompt:
            continue
        if kind is None and line.kind == "plain" and prompt[-1] in "!！" and place < last:
            return  # it may be a greeting or a prompt
        copied = tuple(words(prompt)) in copies
        kind, wants_text = None if copied else line.kind, False
        complete = place + 1 < len(lines) or prompt != line.text or text.endswith("\n")
        yield NewPrompt(prompt, complete, copied)


def one_line(text: str) -> str:
    """Return a text with its white space collapsed: the list has one prompt per line."""
    return " ".join(text.split())


def _without_thought(text: str) -> str:
    """Return the text after the last reasoning, up to where another begins that has no end."""
    ends = [end.end() for end in _THOUGHT_ENDS.finditer(text)]
    text = text[ends[-1] :] if ends else text
    begin = _THOUGHT_BEGINS.search(text)
    return text[: begin.start()] if begin else text


def _start(lines: Sequence[str], expected: int) -> int:
    """Return the index of the line at which the new prompts begin."""
    label = None
    for place, line in enumerate(lines):
        if _number(patterns()["numbered"].match(line)) == expected:
            return place
        if label is None and names_new_prompt(_COLON.split(line, maxsplit=1)[0][:_LONGEST_TALK]):
            label = place
    return label or 0


def _read_line(line: str) -> _Line:
    """Return a line's kind and text; a list mark may follow talk, and talk a list mark."""
    kind: _Kind = "plain"
    number, text = 0, line.strip()
    for _ in range(_MOST_TALK):
        if not number and (mark := patterns()["numbered"].match(text)):
            kind, number, rest = "numbered", _number(mark), mark["rest"]
        elif kind == "plain" and (mark := _BULLET.match(text)):
            kind, rest = "bullet", mark["rest"]
        else:
            rest = _without_talk(text)
            if rest == text:
                return _Line(kind, "" if text.startswith("```") else _clean(text), number)
        text = rest.strip()
    return _Line(kind, "", number)


def _number(mark: regex.Match[str] | None) -> int:
    """Return the number of a numbered line's mark, or 0 without a mark."""
    if mark is None:
        return 0
    digits = mark["number"]
    if digits.isdecimal():
        return int(digits)
    tens, ten, ones = digits.partition("十")
    if not ten:
        return _CHINESE.get(digits, 0)
    return _CHINESE.get(tens, 1) * 10 + _CHINESE.get(ones, 0)


def _without_talk(text: str) -> str:
    """Return a text without the first talk that leads to its prompt; empty if it is only talk."""
    greeting = patterns()["greeting"].match(text)
    if greeting:
        return text[greeting.end() :]
    if patterns()["talk"].match(text):
        return ""
    colon = _COLON.search(text)
    if colon and leads_to_prompt(text[: colon.start()][:_LONGEST_TALK]):
        return text[colon.end() :].lstrip("*_ ")
    if colon and not text[colon.end() :].strip("*_ "):
        return ""
    sentence = _SENTENCE.match(text)
    if sentence and leads_to_prompt(sentence[1]):
        return str(sentence[2])
    is_heading = not sentence and len(text) < 80 and not text.endswith(("?", "？"))
    return "" if is_heading and leads_to_prompt(text) else text


def _cut(text: str, number: int) -> str:
    """Return a prompt without what follows it on its line: the next number, or an answer."""
    for mark in _INLINE_NUMBER.finditer(text):
        if int(mark[1]) == number:
            text = text[: mark.start()]
            break
    return str(_ANSWER.split(text, maxsplit=1)[0]).strip()


def _clean(text: str) -> str:
    """Return a prompt on one line, without the quotes, tags and emphasis around it."""
    text = one_line(text).strip("| ")
    text = _TOPIC.sub("", text.lstrip("#> "), count=1) if _TOPIC.match(text) else text.lstrip("#> ")
    before = None
    while text != before:
        before = text
        if text.startswith("<") or text.endswith(">"):
            text = patterns()["tag"].sub("", text)
        for begin, end in _WRAPPERS:
            inner = text[len(begin) : -len(end)]
            if text.startswith(begin) and text.endswith(end) and inner and end not in inner:
                text = inner.strip()
        for mark in ("**", "__", '"'):
            if text.count(mark) == 1:  # the other one stood before the number
                text = text.removeprefix(mark).removesuffix(mark).strip()
    return text


def _json_values(lines: Sequence[str]) -> list[str] | None:
    """Return the prompts of an answer in JSON, whole or cut off; None where it is not JSON."""
    place = next((place for place, line in enumerate(lines) if _read_line(line).text), 0)
    if not lines or not _JSON_BEGINS.match(lines[place]):
        return None
    text = "\n".join(lines[place:])
    decoder = json.JSONDecoder()
    values: list[str] = []
    end = 0
    while value_begins := _JSON_VALUE.match(text, end):
        try:
            value, end = decoder.raw_decode(text, value_begins.end() - 1)
            values += _texts(value)
        except (ValueError, RecursionError):
            break
    return values or [_unescape(quoted) for quoted, colon in _QUOTED.findall(text) if not colon]


def _unescape(quoted: str) -> str:
    try:
        return str(json.loads(f'"{quoted}"', strict=False))
    except ValueError:  # not valid JSON
        return quoted


def _texts(value: Any) -> list[str]:
    """Return the prompts in a JSON value: in an object, if possible, those that its keys name."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if not isinstance(value, dict):
        return []
    is_prompt = patterns()["key"].fullmatch
    named = [item for key, item in value.items() if is_prompt(key) or key.isdecimal()]
    nested = [item for item in value.values() if isinstance(item, list)]
    return [text for item in named or nested or value.values() for text in _texts(item)]
