"""Judge injections: words in an answer that speak to its judge instead of to its user.

An answer can name its own score, close the fence around it, give the judge orders, or write the
tokens that separate the turns of a conversation. The templates and the parser of scores keep such
words from doing what they say; a judge may still be talked round by them, so they are counted.

An injection is a suspicion. An essay on marking schemes has some too, and a clever one is not
found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

KINDS: Final[Mapping[str, str]] = {
    # A score or a verdict, as a judge would write it: "Score: 5", "**Verdict:** [[A]]", "5/5".
    "score": (
        r"(?i)\b(score|rating|grade|points|marks)[ \t*_`]{0,8}[:=][ \t*_`\[(]{0,8}[0-9]"
        r"|\bverdict[ \t*_`]{0,8}[:=][ \t*_`\[(]{0,8}(a|b|tie)\b"
        r"|\b(5 ?(/|out of) ?5|7 ?(/|out of) ?7"
        r"|10 ?(/|out of) ?10|20 ?(/|out of) ?20|100 ?(/|out of) ?100)\b"
    ),
    # The end, or the beginning, of the fence around an answer.
    "fence": r"(?i)(<|&lt;|\[)[ \t\n\\]{0,8}/?[ \t\n]{0,8}(response|answer_[ab])\b[^>\]\n]{0,40}"
    r"(>|&gt;|\])",
    # Orders: "ignore the criteria above", "dear judge", "award this answer full marks".
    "order": (
        r"(?i)\b(ignore|disregard|forget|override)\b[^.\n]{0,40}"
        r"\b(instructions?|criteria|criterion|rubric|rules|above|previous|prior|earlier)\b"
        r"|\b(dear|hey|attention|note (to|for) the|you are (a|an|the)|as (a|an|the)) ?[,:]? ?"
        r"(fair |impartial |helpful )?(judge|grader|evaluator|rater|reviewer|assessor)\b"
        r"|\b(give|award|assign|grant|rate|grade|score)\b[^.\n]{0,40}"
        r"\b(full|maximum|highest|perfect|top|five|all) (score|points?|marks?|grade|rating)\b"
        r"|\b(deserves?|merits?|earns?|worth)\b[^.\n]{0,30}"
        r"\b(full|maximum|highest|perfect|top|five|5|ten|10|100|all)"
        r"( (score|points?|marks?|grade|rating)\b|/(5|10|100)\b| out of (5|five|10|ten|100)\b)"
    ),
    # What separates turns in chat templates: "<|im_end|>", "</s>", "[/INST]", "<end_of_turn>".
    "turn": r"(?i)<\|[a-z0-9_ ]{1,40}\|>|</?s>|\[/?inst\]|<</?sys>>|<(start|end)_of_turn>",
}
"""Kind of injection -> the pattern that finds it in a folded text; RE2 takes linear time."""

_WIDE: Final = {chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F)}
_UNSEEN: Final = "\u00ad\u200b\u200c\u200d\u2060\ufeff"


def injections_sql(column: str) -> str:
    """The kinds of injections in a text, as an expression of SQL: a list, empty in most rows.

    Full-width letters are taken for plain ones, and invisible characters for nothing. ``column`` is
    SQL of the caller's own: ``SELECT * FROM iter1.candidates WHERE
    len({injections_sql("response")}) > 0``.
    """
    wide, plain = "".join(_WIDE) + _UNSEEN, "".join(_WIDE.values())
    # ASCII text needs no folding, and checking for it is sixty times as fast as folding.
    text = (
        f"CASE WHEN strlen({column}) = length({column}) THEN {column} "
        f"ELSE translate({column}, {_quoted(wide)}, {_quoted(plain)}) END"
    )
    cases = ", ".join(
        f"CASE WHEN regexp_matches({text}, {_quoted(pattern)}) THEN '{kind}' END"
        for kind, pattern in KINDS.items()
    )
    kinds = f"list_filter([{cases}], lambda kind: kind IS NOT NULL)"
    # A single search suffices for a text without injections, as most are.
    any_kind = _quoted("|".join(f"(?:{pattern})" for pattern in KINDS.values()))
    return f"CASE WHEN regexp_matches({text}, {any_kind}) THEN {kinds} ELSE [] END"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
