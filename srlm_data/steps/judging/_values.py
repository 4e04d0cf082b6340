"""Read the value after a judgment word: one number, one letter, or neither."""

from __future__ import annotations

import functools
import re
from typing import Final

from srlm_data.core.scale import Scale
from srlm_data.steps.judging._words import pattern, words

_LONG: Final = 400  # characters after a word that are read
_HUNDRED: Final = 100  # the scale of a percentage
_NO_SCALE: Final = Scale(1, 0)  # every number is outside it
_SUM: Final = re.compile(r"\d{1,3}(?:\.\d{1,3})?(?: ?\+ ?\d{1,3}(?:\.\d{1,3})?){1,40}")
_END: Final = re.compile(r"[.!\u00b6](?=[\s\"')\]}]|$)")
_NUMERAL: Final = re.compile(r"\d++(?:\.\d++)?+")
_PARTS: Final = "\u00b2\u00b3\u00b9\u00bd\u00bc\u00be\u2153\u2154"  # powers and fractions
_CHANGES: Final = "/%+<>=?~\u2192^-\u2013&@#*\u00d7\u00f7\\"  # they change the number before them


@functools.cache
def _patterns() -> dict[str, re.Pattern[str]]:
    units, of, numbers = (pattern(words(name)) for name in ("units", "of", "numbers"))
    others = pattern(words("alternatives"))
    glued, out_of = (
        "|".join(re.escape(word) for word in sorted(words(name), key=len, reverse=True))
        for name in ("units", "out_of")
    )
    symbols = r"\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
    most = rf"(?:(?:an?|of|max\.|{pattern(words('before_a_scale'))})\ )*+"
    full = pattern(words("full"))
    texts = {
        "number": rf"""
            [\s"'()\[\]{{}}{symbols}]*+
            (?:an?\ |(?:description\ |number\ |level\ ){{1,2}})?+
            (?:(?P<outof>\d++)\ ?(?:{out_of})\s?)?+ (?P<open><?)\s*+
            (?P<sign>[-+\u2013]?)
            (?P<number>\d++(?:\.\d++|,\d(?=\ ?(?:/|{of}|{units})))?+)
            (?:(?:{glued})(?![^\W\d_]))?+
            (?![\w{_PARTS}^%]|[.,]\d|\ ?%)""",
        "percent": r"""[\s"'(\[{]*+(?P<number>\d++(?:\.\d++)?+)\ ?%""",
        "scale": rf"""
            [\s"')\]}}\#]*+ (?:(?:{units})\ ?)?+
            (?:/|[(\[]?(?:{of})(?=[\s\d])|[(\[]?on\ an?(?=\ \d+[-\ ]point\ scale)
              |[(\[]?(?:on\ an?\ )?scale:?(?:\ of|\ from)?\ (?:\d+\ ?(?:to|and|-|\u2013)\ ?)?+)
            [\s"'(\[{{]*+ {most} (?P<scale>\d++(?:\.\d++)?+)
            (?:[-\ ]point\ scale|\ possible|(?:\ ?(?:{glued}))?+(?:\ ?(?:{full}))?+)
            (?![\w%{_PARTS}]|[.,]\d)""",
        # "4 (5점 만점)", "4(满分5分)", "4 (max. 5)"
        "full": rf"""
            [\s"')\]}}]*+ (?:(?:{units})\ ?)?+ [(\[]\s*+
            (?:(?P<first>\d++)\ ?(?:{glued})?+\ ?(?:{full})
              |(?:{full}|max(?:imum|imal)?\.?)\ ?(?:of\ |is\ |:\ ?)?(?P<last>\d++)\ ?(?:{units})?+)
            \s*+[)\]]""",
        "units": rf"""(?:[\s"')\]}}(\[]*+(?:possible\ )?(?:{units})){{0,2}}+[\s"')\]}}>]*+""",
        "reason": rf"(?:{pattern(words('reasons'))})",
        "condition": rf"(?:{pattern(words('conditions'))})",
        "otherwise": rf"""
            (?:{others})[^\d.!?]{{0,30}}(?:\d|{numbers})
            |(?:{others})\s*+(?:an?|the|even|perhaps)?\s*+$""",
        # "4 (would be 5 with an example)"
        "elsewise": r"(?:would|could|might)\ (?:be|have\ been)\ (?:an?\ )?(\d++)",
        "a number": rf"\s*+(?:\d|{numbers})",
        "retraction": rf"[\s\"')\]}}]*+(?:{pattern(words('retractions'))})",
        "explained": rf"""
            \b(?:criteri\w+|points?|items?|steps?|statements?|requirements?|rules?|parts?|no\.?|number)
              \s*\#?\d+(?:\s*(?:,|and|&|to|-|\u2013|through|or)\s*(?:and\s*)?\d+)*
            |\d+(?:\.\d+)?\ ?% | \d+(?:st|nd|rd|th)\b
            |(?:/|(?:{of}))\s*{most}\d+
            |(?:lost|loses?|losing|deduct\w*|minus|missing|lacks?)\s\d+
            |\d+\s*(?:points?|marks?)?\s*(?:deducted|lost|off|each)
            |\b[A-Za-z]{{3,20}}\s?[:=]\s?\d+(?:\.\d+)?(?:/\d+)?
            |\b\d+\s?[:=]\s?[A-Za-z]{{3,20}}
            |(?:{pattern(words("bounds"))})\s*:?\s*\d+""",
    }
    return {name: re.compile(text, re.IGNORECASE | re.VERBOSE) for name, text in texts.items()}


def read_number(value: str, room: str, named_scale: str, scale: Scale) -> tuple[str, float | None]:
    """Return the state of a score, and the number if it is ``parsed``.

    Args:
        value: the text after the word, without emphasis.
        room: what may follow the number (see :class:`~._labels.Place`).
        named_scale: the upper end of the scale that the words before the number name.
        scale: the judge's own.
    """
    patterns = _patterns()
    if room == "dash" and scale.low < 0:
        return "unparsed", None  # the dash may be a minus sign
    value, total = _without_sum(value[:_LONG])
    if (percent := patterns["percent"].match(value)) is not None:
        if not _stands_alone(value, percent.end(), percent["number"], room):
            return "unparsed", None
        return _on(scale if scale.high == _HUNDRED else _NO_SCALE, "", percent["number"])
    if (match := patterns["number"].match(value)) is None:
        return "unparsed", None
    number, end = match["number"].replace(",", "."), match.end()
    part = patterns["scale"].match(value, end) or patterns["full"].match(value, end)
    units = patterns["units"].match(value, part.end() if part else end)
    end = units.end() if units else end
    closed = not match["open"] or ">" in value[match.end("number") : end]
    summed = total is None or total == _amount(number)
    if not closed or not summed or not _stands_alone(value, end, number, room):
        return "unparsed", None
    scales = (named_scale, match["outof"], *(part.groups() if part else ()))
    another = any(named and _amount(named) != scale.high for named in scales)
    return _on(_NO_SCALE if another else scale, match["sign"], number)


def _without_sum(value: str) -> tuple[str, float | None]:
    """Return a value without the sum before it (``1 + 1 (relevant) = 2``), and the sum's total."""
    if "+" not in value:
        return value, None
    bare = re.sub(r" ?\([^()\d]{0,40}\)(?= ?[+=])", "", value)
    terms = _SUM.match(bare.lstrip())
    if terms is None:
        return value, None
    equals = re.match(r"\s*+=", bare.lstrip()[terms.end() :])
    return (bare.lstrip()[terms.end() + equals.end() :] if equals else "?"), _total(terms[0])


def _total(terms: str) -> float:
    return sum(map(_amount, _NUMERAL.findall(terms)))


def _amount(numeral: str) -> float:
    return float(numeral[:30])  # a longer number is not a score anyway


def _on(scale: Scale, sign: str, number: str) -> tuple[str, float | None]:
    """Return the state of a number, and the number if it lies on the scale."""
    score = -_amount(number) if sign in ("-", "\u2013") else _amount(number)
    return ("parsed", score + 0.0) if scale.low <= score <= scale.high else ("out_of_range", None)


def _stands_alone(value: str, end: int, number: str, room: str) -> bool:
    """Return whether what follows a number neither changes it nor names another."""
    patterns, bare = _patterns(), value[end:].strip()
    spaced = value[end - 1 : end] == " " or value[end : end + 1] == " "
    if not bare.strip(".!,;\\") or bare.startswith(("</", "[/")):
        return True
    if bare[0] == "=":
        terms = _SUM.match(bare[1:].lstrip())
        return terms is not None and _total(terms[0]) == _amount(number)
    if patterns["reason"].match(bare):
        return not patterns["otherwise"].search(_END.split(bare, maxsplit=1)[0])
    if bare.startswith("# ") and spaced:
        bare = f"({bare[1:]}"  # YAML's comment
    if bare[0].isalnum() or (bare[0] in _CHANGES and not (bare[0] in "-\u2013" and spaced)):
        return False
    if bare[0] in ".!\u00b6":
        sentence, later = "", bare[1:]
        if later[:1] not in ("", *" \"')]}"):
            return False  # "3...4"
    else:
        sentence, later = [*_END.split(bare[1:], maxsplit=1), ""][:2]
    return _is_comment(bare[0], sentence, number, room) and _goes_on(later, room)


def _is_comment(mark: str, sentence: str, number: str, room: str) -> bool:
    """Return whether the rest of a number's sentence comments on it, and names no other."""
    patterns, words_behind = _patterns(), sentence.lstrip()
    reasoned = patterns["reason"].match(words_behind)
    narrow = room in ("none", "sentence") and mark != "(" and not reasoned
    if narrow and re.search(r"[^\W_]", sentence):
        return False
    if mark in ":-\u2013" and patterns["a number"].match(sentence):
        return False
    if mark == "(" and (higher := patterns["elsewise"].match(words_behind)) is not None:
        return _amount(higher[1]) != _amount(number)
    if any(patterns[name].match(words_behind) for name in ("condition", "retraction")):
        return False
    if patterns["otherwise"].search(sentence):
        return False
    left = patterns["explained"].sub(" ", sentence)
    for terms in _SUM.findall(left):
        left = left.replace(terms, " ") if _total(terms) == _amount(number) else left
    return bool(reasoned) or all(
        _amount(other) == _amount(number) for other in _NUMERAL.findall(left)
    )


def _goes_on(later: str, room: str) -> bool:
    """Return whether the sentences after that of a number leave it unchanged."""
    patterns = _patterns()
    if room == "none" and re.search(r"[^\W_]", later):
        return False
    later = later.lstrip(" \"')]}")
    return not (patterns["retraction"].match(later) or patterns["otherwise"].match(later))


@functools.cache
def retraction() -> re.Pattern[str]:
    """Return a pattern of words that retract a judgment, at the beginning of a sentence."""
    return re.compile(rf"(?:^|[.!?]\s+)(?:{pattern(words('retractions'))})", re.IGNORECASE)


LETTER: Final = rf"\W*(?:(?:{pattern(words('answers'))})\W*)*(?:[ab]|tie|draw)(?![^\W_])"
"""Pattern of the beginning of a value that is a verdict."""


@functools.cache
def _letters() -> dict[str, re.Pattern[str]]:
    answers, ties = pattern(words("answers")), pattern(words("tie"))
    answer = rf"(?:(?:{answers})\s*+)*+[\"'(\[<]*+"
    close = r"(?:[\"')\]]|>(?![\s>\"'(\[]*+\w))*+"
    return {
        "versus": re.compile(
            rf"[\s\"'(\[{{]*+{answer}(?P<left>[ab]){close}\s*+"
            rf"(?P<sign>>{{1,3}}|<{{1,3}}|={{1,2}}|\u2248|~)\s*+"
            rf"{answer}(?P<right>[ab])(?![^\W_]){close}",
            re.IGNORECASE,
        ),
        "tie": re.compile(
            rf"[\s\"'(\[{{<]*+(?:it'?s |is |the )?(?:{ties})"
            r"(?=[\s\"')\]}>]*+(?:$|[.!(,;\u00b6]|</))",
            re.IGNORECASE,
        ),
        "letter": re.compile(
            rf"[\s\"'{{]*+{answer}(?P<letter>[ab])(?![^\W_]|'\w){close}", re.IGNORECASE
        ),
        "won": re.compile(rf"\s*+(?:{pattern(words('wins'))})\b", re.IGNORECASE),
        "lost": re.compile(
            rf"[\W_]*+(?:(?:it|this|that|which) )?(?:is |was )?(?:the |clearly |slightly |much )*"
            rf"(?:{pattern(words('losses'))})",
            re.IGNORECASE,
        ),
        **{
            f"not {chosen}": re.compile(
                rf"\b{other}(?:\W{{1,3}}|\s+(?:is|answers?|was)\s+)?"
                rf"(?i:{pattern(words('wins') | words('wins_too'))})"
            )
            for chosen, other in (("a", "B"), ("b", "A"))
        },
    }


def read_letter(value: str, room: str) -> str | None:
    """Return ``a``, ``b`` or ``tie`` if the text after the word is exactly one of them, or None."""
    patterns = _letters()
    value = value[:_LONG]
    if (versus := patterns["versus"].match(value)) is not None:
        left, right = versus["left"].lower(), versus["right"].lower()
        if left == right or not _says_no_more(value[versus.end() :], room, None):
            return None
        return {">": left, "<": right}.get(versus["sign"][0], "tie")
    if (tie := patterns["tie"].match(value)) is not None:
        return "tie" if _says_no_more(value[tie.end() :], room, None) else None
    letter = patterns["letter"].match(value)
    if letter is None:
        return None
    rest, chosen = value[letter.end() :], letter["letter"].lower()
    if letter["letter"] == "a" and re.match(r"\s+[^\W_]", rest):
        return None  # the article
    return chosen if _says_no_more(rest, room, chosen) else None


def _says_no_more(rest: str, room: str, chosen: str | None) -> bool:
    """Return whether what follows a letter is nothing more than a reason for it."""
    bare = rest.strip(" \"')]}")
    if not bare or bare.startswith("</"):
        return True
    letters = _letters()
    if chosen and (letters["lost"].match(rest) or letters[f"not {chosen}"].search(rest)):
        return False
    if bare[0] not in ".!,;:([-\u2013|" and not _patterns()["reason"].match(bare):
        doubt = r"\b(?:but|not|if|unless|or|almost|only|however|n't|more|less)\b"
        won = letters["won"].match(rest) and chosen is not None
        return bool(won) and not re.search(doubt, _END.split(bare, 1)[0], re.IGNORECASE)
    other = r"[\s\"']*(?:(?:or|and|maybe|perhaps|/)\b|(?:[ab]|tie)\b(?!\s+\w))"
    return not (
        (room == "none" and bare[0] not in ".!(")
        or re.match(other, bare[1:], re.IGNORECASE)
        or _patterns()["retraction"].match(bare.lstrip(".!,;:("))
    )
