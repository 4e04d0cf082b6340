"""Find where a judgment names a score or a verdict: its judgment words, such as ``Score``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from srlm_data.steps.judging._judgment import Judgment, fold, undress
from srlm_data.steps.judging._vocabulary import WORD, Head, Vocabulary, score_words
from srlm_data.steps.judging._words import JOINED, pattern, words

_WINDOW: Final = 120  # characters before a judgment word that say what its score is of
_VALUE: Final = 400  # characters after it that may hold its value
# Most judgment words in one line. A judge names its score a few times; a model that repeats itself
# has no verdict. Each of the words costs a search of the text around it.
_MOST: Final = 300
_CLAUSE: Final = re.compile(r"[.!?;:,()\[\]{}|\"<>=\u00b6\u2013\u2022→]|\s-\s|^\s*-|'(?=\s|\w{3})")
_SENTENCE: Final = re.compile(r"[.!?](?=\s|$)|\u00b6")
_SENTENCE_ENDS: Final = frozenset(".!?;)\u00b6>}]")
_NOTE: Final = re.compile(
    r"['\s]*+(?:[(\[](?P<note>[^()\[\]\n]{0,40})[)\]]"
    r"|out of (?P<of>\d{1,4})\b|/ ?(?P<per>\d{1,4})\b"
    r"|(?:on an? )?(?:scale )?(?:of |from |between )?"
    r"\d{1,4} ?(?:to|and|-|\u2013) ?(?P<to>\d{1,4})(?=\s*+[:=]))"
)
_OF_A_SCALE: Final = frozenset({"min", "max", "maximum", "between", "possible", "out"})
_NAMES_A_SCALE: Final = re.compile(r"\d\D+\d|out of|/|max|of|scale", re.IGNORECASE)
_LEGEND: Final = re.compile(r"\d\s?[=:]\s?[^\W\d]")  # "1 = poor, 10 = excellent"
_ENDS_A_SCALE: Final = frozenset({"max", "maximum", "possible", "scale", "range", "out", "of"})
_LISTED: Final = re.compile(r"[:=]\s?\d[\d./]*+\s?[,;|]\s*+$")  # "Clarity: 4, Style: 3"
_BEHIND: Final = re.compile(r"['\s]{0,3}([^\W\d_]+)")
_JOINT: Final = re.compile(
    r"[\s\"')\]}]*+(?P<colon>[:=]+>?|→|->|\.{3,}+|…++)|(?P<tag>>)|\s*+(?P<pipe>\|)|\s*+(?P<dash>[-\u2013]\s|(?:\u2013\u2013|--)(?![-\u2013]))"
    r"|[\s\"')\]=-]*+(?P<end>$)|(?P<none>[\s\]\"']++(?=[\d(\[{\"'<]))"
)
ITEM: Final = re.compile(
    r"\s*+(?:[*_#>-]\s*+)*+(?:criterion|step)?\s*+(\d{1,2})\s*+[.):]", re.IGNORECASE
)
_PROSE: Final = re.compile(
    r"\b(?:is|are|was|has|does|it|this|i|answers?|response)\b", re.IGNORECASE
)
_JOINED_PROSE: Final = re.compile(rf"[{JOINED}]{{5,}}")
SAYING: Final = re.compile(rf"(?:{pattern(words('sayings'))})", re.IGNORECASE)
_CLOSERS: Final = {"(": ")", "[": "]"}
_REST_OF_LABEL: Final = re.compile(r"(?:[ '/&-]{1,3}[^\W\d_]+){1,6}+(?=\s?[:=])")
_NUMBERS_A_POINT: Final = re.compile(r"(?:point|mark) \d++\s?[:.)]\s*[^\s\d]")
_EXAMPLE: Final = re.compile(r"\b(?:e\.g|i\.e|ex)\.\s*$", re.IGNORECASE)
_NAMES_A_PART: Final = frozenset("criterion criteria name aspect dimension category metric".split())

RANKS: Final = ("final", "total", "own", "prose", "other")
"""What a score or verdict is of; ``other`` is a criterion's, or one of something unknown."""


class Place(NamedTuple):
    """A place where a score or a verdict is named."""

    line: int
    last: int  # the line of its value
    value: str  # the text after the word
    rank: str  # one of RANKS
    must_read: bool  # whether it counts only if a value can be read after it
    room: str  # room after the value: free, sentence (a new one), none; dash is free after a dash
    scale: str = ""  # the upper end of the scale that the words name
    key: bool = False  # whether the word is a key of something like JSON, or a tag


def find_places(judgment: Judgment, vocabulary: Vocabulary) -> list[Place]:
    """Return the places of a judgment where one of the words stands before a value, in order."""
    places: list[Place] = []
    depth = 0
    for number, line in enumerate(judgment.lines):
        if line.value is not None:
            place = None if line.introduced else _of_object(number, line.value, vocabulary)
            places += [place] if place else []
            continue
        at, quotes, named = 0, 0, 0
        for head in vocabulary.find(line.text) if not line.introduced else ():
            depth += line.text.count("{", at, head.start) - line.text.count("}", at, head.start)
            quotes += line.text.count('"', at, head.start)
            at = head.start
            named += head.word in vocabulary.always
            if named > _MOST:
                return []
            place = _place(judgment, number, head, quotes % 2 == 1, vocabulary)
            if place is not None:
                nested = place.key and depth > 1
                places.append(place._replace(rank="other") if nested else place)
        depth += line.text.count("{", at) - line.text.count("}", at)
    return places


def _place(  # noqa: PLR0911, PLR0912 - one reason a line
    judgment: Judgment, number: int, head: Head, in_quotes: bool, vocabulary: Vocabulary
) -> Place | None:
    text = judgment.lines[number].text
    end, behind, scale = _behind(text, head.end, vocabulary)
    joint = _JOINT.match(text, end)
    phrase = None if joint else _REST_OF_LABEL.match(text, end)
    if phrase is not None:  # "Final score after the penalty: 3", "Score for the first half: 4"
        behind += [word.lower() for word in WORD.findall(phrase[0])]
        joint = _JOINT.match(text, phrase.end())
    kind = "copula" if joint is None or joint.lastgroup == "none" else str(joint.lastgroup)
    if kind == "copula" and not head.copula and words("copulas").isdisjoint(behind):
        if joint is None:
            return None
        kind = "copula" if behind else "none"  # "I score it 4", "Score 4"
    if kind != "copula" and joint is not None:
        end = joint.end()
    window = text[max(0, head.start - _WINDOW) : head.start]
    marks = list((_SENTENCE if kind == "copula" else _CLAUSE).finditer(window))
    if not marks and head.start > _WINDOW:
        return None
    lead = window[marks[-1].end() :] if marks else window
    mark = marks[-1][0].strip() if marks else ""
    # "<score>" is a tag; "</score>" and "<total points>" are not.
    if (mark == "<") != (kind == "tag") or (kind == "tag" and lead.strip()):
        return None
    key = kind == "tag" or (
        kind == "colon" and text[max(0, end - _WINDOW) : end].rstrip(" :=")[-1:] in ('"', "'")
    )
    if is_quoted(text, head.start, end, in_quotes, key):
        return None
    before = window[: marks[-1].end()] if marks else ""
    begins = (
        not before.strip(" \"'([{<|-=\u2022\u2013\u2192#") or ITEM.fullmatch(before) is not None
    )
    rank = _rank(head, WORD.findall(lead), behind, lead, vocabulary)
    if rank == "none" or (rank == "other" and kind == "none"):  # "An ideal one would score 5"
        return None
    if rank == "prose" and not (begins and kind == "colon"):
        return None
    if kind == "copula" and _is_denied(lead):
        return None
    if rank != "other" and not (begins or kind == "tag" or (key and mark == "," and "{" in before)):
        rank = _rank_within(before, mark, rank, vocabulary)
    if kind == "copula" and rank in ("final", "total") and head.word in vocabulary.final:
        if head.word not in words("totals"):
            return None  # "The final is 4"
        rank = "prose"
    if kind == "copula" and rank == "own":
        rank = "prose"
    value = text[end : end + _VALUE]
    if begins and before[-1:] in _CLOSERS:
        value = _within_brackets(value, before[-1])
    labelled = head.word in vocabulary.always and kind in ("colon", "tag") and phrase is None
    must_read = not labelled
    if value.strip(" \"')]}"):
        if kind == "none" and (not begins or _NUMBERS_A_POINT.match(f"{head.word} {value}")):
            return None
        room = {"none": "none", "copula": "sentence", "dash": "dash"}.get(kind, "free")
        return Place(number, number, value, rank, must_read, room, scale, key)
    if kind == "end" and (not begins or number + 1 == len(judgment.lines)):
        return None
    following = judgment.lines[number + 1] if number + 1 < len(judgment.lines) else None
    value = following.text if following and following.value is None else ""
    return Place(number, number + 1, value[:_VALUE], rank, must_read, "none", scale, key)


def _within_brackets(value: str, opening: str) -> str:
    """Return a value up to its closing bracket in "[Score: 4] The response ...", else all of it."""
    closing = value.find(_CLOSERS[opening])
    goes_on = re.match(r"\s*+[^\W\d_]", value[closing + 1 :])
    return value[:closing] if closing >= 0 and goes_on and goes_on[0][-1].isupper() else value


def _behind(text: str, end: int, vocabulary: Vocabulary) -> tuple[int, list[str], str]:
    """Return the end, the words and the scale of what stands between a word and its colon."""
    behind: list[str] = []
    scale = ""
    for _ in range(8):
        if (note := _NOTE.match(text, end)) is not None:
            named = note["of"] or note["per"] or note["to"] or note["note"]
            numbers = re.findall(r"\d++(?:\.\d++)?+", named)
            if numbers and note["note"] and not _NAMES_A_SCALE.search(named):
                break  # "Score (4)"
            scale = numbers[-1] if numbers else scale
            spoken = [word.lower() for word in WORD.findall(named) if not _LEGEND.search(named)]
            values = [word for word in spoken if word in vocabulary.values]
            if len(values) == 1:
                break  # "Verdict (A)"
            if values and set(spoken) <= vocabulary.choices:
                spoken = []  # "Verdict (A or B)"
            behind += [word for word in spoken if word not in _OF_A_SCALE | words("units")]
            end = note.end()
        elif (word := _BEHIND.match(text, end)) is not None:
            known = word[1].lower() in vocabulary.known
            if word[1].lower() in vocabulary.values or (
                not known and behind and behind[-1] in words("copulas")
            ):
                break  # "is A"
            behind.append(word[1].lower())
            end = word.end()
            if not known:
                break
        else:
            break
    return end, behind, scale


def _rank(  # noqa: PLR0911 - one reason a line
    head: Head, before: list[str], behind: list[str], lead: str, vocabulary: Vocabulary
) -> str:
    """Return what a word's score is of (one of RANKS), by the words beside it; ``none`` if none."""
    spoken = {word.lower() for word in [*before, *behind]}
    if spoken & words("bounds"):
        return "none"
    if "answer" in spoken and head.word in vocabulary.final:
        return "other"  # "Final answer: 4" may be quoted from the answer
    if not head.word or re.search(r"\d", lead) or not spoken <= vocabulary.known:
        return "other"
    if not vocabulary.needed <= spoken:
        return "other"
    if spoken == {"a"} or (behind and behind[0].startswith("criteri")):
        return "other"  # "Score A: 4", "Total criteria: 5"
    if head.word in words("results") and not vocabulary.values:
        return "prose"
    if head.word in words("totals") and spoken.isdisjoint(vocabulary.final | vocabulary.always):
        return "total"
    return "final" if head.final or spoken & vocabulary.final else "own"


def _is_denied(lead: str) -> bool:
    """Return whether a sentence says that a score is not given: "I cannot give it a score of 5"."""
    clause = _CLAUSE.split(lead)[-1].lower()
    return "n't" in lead or not words("negations").isdisjoint(WORD.findall(clause))


def _rank_within(before: str, mark: str, rank: str, vocabulary: Vocabulary) -> str:
    """Return the rank of a place that does not begin its line, by the text before it."""
    if _EXAMPLE.search(before):
        return "other"
    if not vocabulary.final and _LISTED.search(before):
        return rank
    if mark in _SENTENCE_ENDS or (mark in ('"', "'") and before.rstrip("\"' ").endswith(",")):
        return rank
    if SAYING.search(before) or re.search(r"\d", before):
        return "other"
    names = [word.lower() for word in WORD.findall(before)]
    if names and set(names) <= vocabulary.known | vocabulary.before_value:
        return rank
    is_prose = (len(names) > 2 and _PROSE.search(before)) or _JOINED_PROSE.search(before)
    return rank if is_prose and mark != ":" else "other"


def is_quoted(text: str, start: int, value: int, in_quotes: bool, key: bool) -> bool:
    """Return whether a word and its value stand in a quotation within a sentence."""
    opening = text.rfind('"', max(0, start - _VALUE), start)
    if not in_quotes:
        before = text[max(0, start - _WINDOW) : start].rstrip()
        return before.endswith("'") and not key and re.search(r"\w", before) is not None
    closing = text.find('"', start, start + _VALUE)
    if key or 0 <= closing < value:
        return False
    outside = text[max(0, opening - _WINDOW) : max(0, opening)]
    if closing >= 0:
        outside += text[closing + 1 : closing + _WINDOW]
    return re.search(r"[^\W_]", outside) is not None


def _of_object(number: int, pairs: Any, vocabulary: Vocabulary) -> Place | None:
    """Return the place in a JSON object: its own key if it has one, else the only one within it.

    A key beside it may name the end of its scale: ``{"score": 8, "max_score": 10}``.
    """
    known = vocabulary.known | vocabulary.before_value
    named: list[tuple[int, str, Any, str]] = []
    ends: dict[int, str] = {}
    for depth, key, value in _leaves(pairs, parts=not vocabulary.final):
        label = undress(fold(key)).replace("-", " ")
        spoken = {word.lower() for word in WORD.findall(label)}
        if spoken & _ENDS_A_SCALE and spoken <= _ENDS_A_SCALE | known:
            for end in re.findall(r"\d++(?:\.\d++)?+", str(value)):
                ends[depth] = end
        head = max(vocabulary.find(label), default=None, key=lambda head: head.end)
        text = undress(fold(value)) if isinstance(value, str) else ""
        # The first key of {"evaluation": {"score": 4}} or {"verdict": "good", ...} has no score.
        begins = vocabulary.begins.match(text)
        if head is None or (head.word not in vocabulary.always and not begins):
            continue
        _, behind, scale = _behind(label, head.end, vocabulary)
        lead = label[: head.start]
        beside = [
            word
            for word in WORD.findall(lead)
            if word.lower() not in vocabulary.before_value - vocabulary.final
        ]
        rank = _rank(head, beside, behind, lead, vocabulary)
        if rank in RANKS[:3]:
            named.append((depth, rank, text or value, scale))
    if not named:
        return None
    rank = min((rank for _, rank, _, _ in named), key=RANKS.index)
    top = min(depth for depth, own, _, _ in named if own == rank)
    chosen = [(value, scale) for depth, own, value, scale in named if (depth, own) == (top, rank)]
    if not vocabulary.final:  # {"clarity": {"score": 4, "max": 5}}
        parts = [value for value, _ in chosen if isinstance(value, list)]
        inner = [_of_object(number, part, score_words()) for part in parts]
        chosen += [(place.value, place.scale) for place in inner if place]
    values = {pair for pair in chosen if isinstance(pair[0], str)}
    values = {value for value in values if vocabulary.begins.match(value[0])} or values
    text, scale = min(values) if len(values) == 1 else ("?", "")
    beside = [value for depth, own, value, _ in named if own == "own" and depth <= top]
    scores = {value for value in beside if isinstance(value, str) and value != text}
    if rank == "total" and any(map(vocabulary.begins.match, scores)):
        text = "?"  # {"score": 3, "total": 5}
    return Place(number, number, text, rank, False, "none", scale or ends.get(top, ""), key=True)


def _leaves(pairs: Any, *, parts: bool) -> Iterator[tuple[int, str, Any]]:
    """Yield depth, key and value of all items of an object read as pairs, nested ones included.

    With ``parts``, the items of ``{"criterion": "style", "score": 4}`` are under ``style``, too.
    """
    stack: list[tuple[int, Any]] = [(0, pairs)]
    while stack:
        depth, value = stack.pop()
        part = None
        for item in value:
            if isinstance(item, tuple):
                if isinstance(item[1], list):
                    stack.append((depth + 1, item[1]))
                elif parts and isinstance(item[1], str) and item[0] in _NAMES_A_PART:
                    part = item[1]
                yield depth, item[0], item[1]
            elif isinstance(item, list):
                stack.append((depth + 1, item))
        if part is not None:
            yield depth, part, value
