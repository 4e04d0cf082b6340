"""Reduce a completion to the judgment: no reasoning, other turns, quotations or markup.

All functions take time linear in the text.
"""

from __future__ import annotations

import functools
import html
import itertools
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from srlm_data.core.thinking import WRITTEN_MARKS, pattern_of
from srlm_data.steps.judging._words import dress, pattern, words

_UNSEEN: Final = "\0\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\u20e3"
_FOLD: Final = {
    **{0xFEE0 + code: chr(code) for code in range(0x21, 0x7F)},
    **{0x2460 + number: f"({number + 1})" for number in range(20)},
    **{ord(sign): plain for plain, signs in dress().items() for sign in signs},
}
_BEGINS, _ENDS = (pattern_of(marks) for marks in zip(*WRITTEN_MARKS, strict=True))
_ANSWERS: Final = r"\[BEGIN FINAL RESPONSE\]"  # ends Apriel's reasoning, which has no begin mark
_MARK: Final = re.compile(rf"(?P<begins>{_BEGINS})|(?P<ends>{_ENDS}|{_ANSWERS})", re.IGNORECASE)
_BOX: Final = r"<\|(?:begin|end)_of_box\|>"  # GLM's models put them around an answer
_SPECIAL: Final = (
    r"<\|[^<>|\n]{1,40}\|>|<\|turn>|</?s>|<(?:start|end)_of_turn>|<(?:[be]os|pad)>|\[/?INST\]"
)
_BLOCK: Final = re.compile(
    r"<(?P<end>/?)(?P<name>response|prompt|instruction|conversation|answer_[ab])>", re.IGNORECASE
)
_TAGS: Final = re.compile(
    r"</?(?:b|strong|i|em|u|p|span|div|mark|big|font|h[1-6]|li|ul|ol|td|tr|table)"
    r"(?:\s[^<>\n]{0,80})?>",
    re.IGNORECASE,
)
_LATEX: Final = re.compile(
    r"\\(?:boxed|fbox|textbf|text|mathbf|mathrm|bm|bf|large|Large|quad|[,;! \[\]()])"
)
_SCORED: Final = re.compile(r"(?:score|rating|total|verdict)\W{0,8}(?:\d|[ab]\b)", re.IGNORECASE)
_SPEAKS: Final = re.compile(r"\A(?!\0|\s*+(?:```|~~~)).*?(?:[^\W_]|[\u2460-\u2473>])", re.DOTALL)
_FENCE: Final = re.compile(r"\s*+(?:```|~~~)\s*+(?P<language>\w*+)")
_OBJECT: Final = re.compile(r"\[\s*+\{\s*+\"|\{\s*+\"")
_DIGIT: Final = re.compile(r"(?![0-9])\d")


class Line(NamedTuple):
    """A line of a judgment without its markup."""

    text: str
    bare: str  # the line before it, with its markup
    ends: bool  # whether the line ended before the completion did
    introduced: bool  # whether it is a quotation, by the line before or by quotation marks
    value: Any = None  # the JSON object that stands in place of the line


class Judgment(NamedTuple):
    """The lines of a completion that are the judge's own."""

    lines: list[Line]
    unfinished: bool  # whether the completion ended within its reasoning


def own_words(text: str) -> tuple[str, bool]:
    """Return the judge's own part of a completion, and whether it ended within its reasoning."""
    text = re.sub(f"[{_UNSEEN}]|{_BOX}", "", text)
    text = re.sub(r"\r\n?|[\u2028\u2029\x85\x0b\x0c]", "\n", text)
    text = re.sub(r"\n(?:[ \t]*+\n){2,}+", "\n\n", text)
    text, unfinished = _without_reasoning(text.replace("\uff5c", "|"))
    return _first_turn(_without_blocks(text)), unfinished


def split(text: str) -> Judgment:
    """Split a completion into the lines that are the judge's own words."""
    text, unfinished = own_words(text)
    objects: list[Any] = []
    if "{" in text:
        text = _without_objects(text, objects)
    return Judgment(list(_lines(text, objects)), unfinished)


def _without_reasoning(text: str) -> tuple[str, bool]:
    """Return the text without marked reasoning, and whether the last reasoning has no end."""
    if not any(sign in text for sign in "<[◁"):
        return text, False  # it has no marks, as most texts
    parts: list[str] = []
    at, opened = 0, False
    for mark in _MARK.finditer(text):
        if mark["ends"]:
            if not opened:
                parts.clear()  # a lone end: all before was reasoning
            at, opened = mark.end(), False
        elif not opened:
            parts.append(text[at : mark.start()])
            opened = True
    return ("", True) if opened else ("\n".join([*parts, text[at:]]), False)


def _without_blocks(text: str) -> str:
    """Return the text without the parts of the judge prompt that it repeats, tags included.

    A part that is never closed begins another turn.
    """
    parts: list[str] = []
    at, opened = 0, ""
    scored = _SCORED.search(text)
    for tag in _BLOCK.finditer(text):
        if scored and scored.end() <= tag.start() and not opened and not tag["end"]:
            another = tag["name"].lower() != "response" or _turn().search(
                text, scored.end(), tag.start()
            )
            if another or not _SCORED.search(text, tag.end()):
                return text[: tag.start()]
            return ""  # scores before and after an answer: it is unclear which one is its score
        if not opened and not tag["end"]:
            parts.append(text[at : tag.start()])
            opened = tag["name"].lower()
        elif opened == tag["name"].lower() and tag["end"]:
            at, opened = tag.end(), ""
    return "\n".join(parts if opened else [*parts, text[at:]])


@functools.cache
def _turn() -> re.Pattern[str]:
    turns, parts, headings, openings = (
        "|".join(sorted(map(re.escape, words(name)), key=len, reverse=True))
        for name in ("turns", "parts", "headings", "openings")
    )
    another = rf"[^\n.:]{{0,20}}\b(?:another|next) (?:{headings})\b[^\n.:]{{0,30}}"
    part = rf"(?P<part>{parts}|(?<=# )(?:{headings})|(?:{headings}) [2-9]|{another})"
    role = (
        r"^(?-i:user|assistant|system|human|model) *$"  # the special tokens around it were skipped
    )
    return re.compile(
        rf"{_SPECIAL}|{role}|^[ *_#]*+(?:(?P<opening>{openings})"
        rf"|(?:{turns}|{part})[ *_]*+[:\uff1a][*_]*+)",
        re.IGNORECASE | re.MULTILINE,
    )


def _first_turn(text: str) -> str:
    """Return the text up to where another turn begins, without turn marks at its beginning."""
    at, scored = 0, None
    for mark in _turn().finditer(text):
        if mark["part"] or mark["opening"]:
            if scored is None:
                scored = match.end() if (match := _SCORED.search(text)) else len(text)
            if mark.start() < scored:
                continue
        if text[at : mark.start()].strip():
            return text[at : mark.start()]
        at = mark.end()
    return text[at:]


def _without_objects(text: str, objects: list[Any]) -> str:
    """Return the text with JSON objects, at most 16, moved to ``objects`` and replaced by marks."""
    decoder = json.JSONDecoder(
        object_pairs_hook=lambda pairs: pairs, parse_int=str, parse_float=str, strict=False
    )
    parts: list[str] = []
    at = 0
    for _ in range(16):
        start = _OBJECT.search(text, at)
        if start is None:
            break
        try:
            value, end = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            break  # a part of the broken object would be taken for the whole
        parts += [text[at : start.start()], f"\n\0{len(objects)}\n"]
        objects.append(value)
        at = end
    return "".join([*parts, text[at:]])


def _lines(text: str, objects: list[Any]) -> Iterator[Line]:
    saying = _saying()
    raws = text.split("\n")
    plains = [fold(raw) if _SPEAKS.search(raw) else "" for raw in raws]
    inside = _inside_quotes(plains)
    fenced = introduced = False
    before = ""
    for number, (raw, plain) in enumerate(zip(raws, plains, strict=True)):
        ends = number < len(raws) - 1
        if not plain and not raw.startswith("\0") and not _FENCE.match(raw):
            continue
        goes_on = before[-1:].isalpha() or before.endswith((" ", ":", ","))
        quotes = goes_on and saying.search(before[-80:]) is not None
        if raw.startswith("\0"):
            yield Line("", before, ends, introduced or quotes, objects[int(raw[1:])])
        elif fence := _FENCE.match(raw):
            fenced = not fenced
            introduced = fenced and (quotes or fence["language"].lower() in words("code"))
        elif plain.lstrip().startswith(">"):
            before = ""
        elif plain.strip():
            yield Line(undress(plain), before, ends, introduced or quotes or inside[number])
            before = plain


def _inside_quotes(lines: list[str]) -> list[bool]:
    """Return, for each line, whether it begins in quotation marks that its paragraph closes."""
    inside: list[bool] = []
    for _, paragraph in itertools.groupby(lines, key=lambda line: bool(line.strip())):
        counts = [line.count('"') for line in paragraph]
        total = sum(counts)
        before = itertools.accumulate(counts[:-1], initial=0)
        inside += [seen % 2 == 1 and total > seen for seen in before]
    return inside


def fold(line: str) -> str:
    """Return a line with spaces, digits, quotes, brackets and dashes of every script made plain."""
    if "&" in line:
        line = html.unescape(line).replace("\xa0", " ")
    if not line.isascii():
        line = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), line.translate(_FOLD))
    return line.translate({9: " ", 96: '"'})


def undress(line: str) -> str:
    """Return a line without emphasis, tags and LaTeX; each becomes a space, so no digits join."""
    line = re.sub(r"~~[^~\n]*+~~", " ", line)
    if "<" in line:
        line = re.sub(r"<br ?/?>", " \u00b6 ", _TAGS.sub(" ", line), flags=re.IGNORECASE)
    if "\\" in line:
        line = re.sub(r"\\([*_#])", r" ", _LATEX.sub(" ", line.replace("\\n", " \u00b6 ")))
    line = re.sub(r"\[RESULT\]:?", " \u00b6 Final: ", line)  # what Prometheus writes
    line = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", line)  # totalScore
    line = re.sub(r"[*_$]|^[\s#]+", " ", line).strip(" ")
    return re.sub(r"^[=\-\u2013]{2,}+|[=\-\u2013]{2,}+$", "", line).strip(" ")


@functools.cache
def _saying() -> re.Pattern[str]:
    between = "that|with|this|in|at|the|end|its|line|lines|following|text|words|own|out"
    return re.compile(
        rf"(?:{pattern(words('sayings'))})(?: (?:{between}))*+[ :,]*+$", re.IGNORECASE
    )
