"""The language of a text, as far as rules for new prompts need it: its script, and common words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Final

import regex

from srlm_data.steps._words import words

ANY: Final = "any"
"""Of a seed in several languages: nothing is refused for its language."""

_LOOKED_AT: Final = 2000  # texts of a seed: enough to tell
_ENOUGH_LETTERS: Final = 4  # of a script other than Latin, to tell a language by
_MAJORITY: Final = 2 / 3  # of those whose language can be told

_SCRIPTS: Final = {
    "ja": r"\p{Hiragana}\p{Katakana}", "zh": r"\p{Han}", "ko": r"\p{Hangul}",
    "ru": r"\p{Cyrillic}", "uk": r"\p{Cyrillic}", "bg": r"\p{Cyrillic}", "sr": r"\p{Cyrillic}",
    "ar": r"\p{Arabic}", "fa": r"\p{Arabic}", "ur": r"\p{Arabic}", "he": r"\p{Hebrew}",
    "el": r"\p{Greek}", "hy": r"\p{Armenian}", "ka": r"\p{Georgian}", "am": r"\p{Ethiopic}",
    "hi": r"\p{Devanagari}", "mr": r"\p{Devanagari}", "ne": r"\p{Devanagari}",
    "bn": r"\p{Bengali}", "pa": r"\p{Gurmukhi}", "gu": r"\p{Gujarati}", "ta": r"\p{Tamil}",
    "te": r"\p{Telugu}", "kn": r"\p{Kannada}", "ml": r"\p{Malayalam}", "si": r"\p{Sinhala}",
    "th": r"\p{Thai}", "lo": r"\p{Lao}", "km": r"\p{Khmer}", "my": r"\p{Myanmar}",
}  # fmt: skip
"""The script of a language that has one of its own; of several with one script, the first is what
a seed is taken for. All others are written in Latin letters."""

_COMMON_WORDS: Final = {
    "en": "the of and to is are what how you your for with that write can this it about from why",
    "es": "el la los las de que y en un una cómo qué cuál para por con del mi es puedes escribe",
    "pt": "o os as de que e em um uma como qual para por com do da não você meu é escreva quais",
    "fr": "le la les de des et est un une comment quelle quel pour par avec du que je dans ce sur",
    "de": "der die das und ist ein eine wie was ich zu mit für den nicht auf von kann mir schreibe",
    "it": "il lo gli di che e è in un una come quale per con del della non sono puoi scrivi cosa",
    "nl": "de het een en van is wat hoe ik te met voor niet op mijn kan je zijn schrijf dat",
    "sv": "och att det som en på är av för med jag hur vad kan inte om till skriv ett den",
    "pl": "na się jak co jest nie że czy dla napisz mnie jaki jakie przez które dlaczego",
    "cs": "na se že je jak co pro mi napiš jaký jaké jsou nebo proč může který která",
    "tr": "ve bir bu için nasıl ne mi mı ile nedir olarak bana yaz hakkında nelerdir",
    "ro": "și de la în un o cum ce care pentru cu este sunt din nu pe scrie mai despre",
    "id": "yang dan di apa bagaimana untuk dengan saya dari ini tentang adalah cara ke buat",
    "vi": "là của và có cho tôi một những các như thế nào gì được trong viết hãy về với",
    "fi": "ja on miten mitä mikä ei että voi minulle kirjoita kuinka miksi ovat tai jos",
    "hu": "az és hogy egy nem mi hogyan mit van milyen írj kell miért ez lehet",
}
"""What tells languages in Latin letters from each other."""

_NAMES: Final = dict(
    zip(
        (*_COMMON_WORDS, *_SCRIPTS),
        "English Spanish Portuguese French German Italian Dutch Swedish Polish Czech Turkish "
        "Romanian Indonesian Vietnamese Finnish Hungarian Japanese Chinese Korean Russian "
        "Ukrainian Bulgarian Serbian Arabic Persian Urdu Hebrew Greek Armenian Georgian Amharic "
        "Hindi Marathi Nepali Bengali Punjabi Gujarati Tamil Telugu Kannada Malayalam Sinhala "
        "Thai Lao Khmer Burmese".split(),
        strict=True,
    )
)

_WORDS: Final = {code: frozenset(text.split()) for code, text in _COMMON_WORDS.items()}
_FEWER_WORDS: Final = {"ko", "tr", "fi", "hu", "ta", "te", "kn", "ml"}
_FOREIGN_TO: Final = {"ja": r"\p{Latin}\p{Han}", "ko": r"\p{Latin}\p{Han}"}


def fewest_words(language: str) -> int:
    """Return the words that a prompt has at least: four (paper, A.5).

    Three suffice where a word holds what English says in several.
    """
    return 3 if _base(language) in _FEWER_WORDS else 4


def name_language(language: str) -> str:
    """Return the name of a language for a model that is to write in it."""
    return _NAMES.get(_base(language), "the language of the list")


def seed_language(texts: Iterable[str]) -> str:
    """Return the language that most texts of a seed are written in, or ``any``."""
    votes = Counter(filter(None, map(_language, islice(texts, _LOOKED_AT))))
    if not votes:
        return "en"
    [(language, count)] = votes.most_common(1)
    return language if count >= _MAJORITY * votes.total() else ANY


def is_in_other_language(text: str, language: str) -> bool:
    """Return whether a text cannot be in ``language``.

    It is where letters of other scripts are in the majority, Latin ones aside, which names and code
    are written in everywhere; and for a language in Latin letters, where it has common words of
    English and none of its own: models drift into English.
    """
    language = _base(language)
    if language == ANY:
        return False
    own, foreign = _letters(language)
    native = len(own.findall(text))
    if not native or len(foreign.findall(text)) > native:
        return True
    if language == "en" or language not in _WORDS:
        return False
    used = words(text)
    english = sum(word in _WORDS["en"] for word in used)
    return english >= 2 and not any(word in _WORDS[language] for word in used)


def _language(text: str) -> str | None:
    """The language of one text, None where nothing tells it."""
    letters = {code: len(_letters(code)[0].findall(text)) for code in _FIRST_OF_SCRIPT}
    if letters["ja"] * 6 > letters["zh"]:  # Japanese is written in Chinese characters as well
        letters["ja"] += letters["zh"]
    most = max(letters, key=lambda code: letters[code])
    if letters[most] >= _ENOUGH_LETTERS:  # the rest may be code
        return most
    used = words(text)
    hits = {code: sum(word in common for word in used) for code, common in _WORDS.items()}
    likely = max(hits, key=lambda code: hits[code])
    return likely if hits[likely] else "en" if text.isascii() and len(used) >= 4 else None


@lru_cache
def _letters(language: str) -> tuple[regex.Pattern[str], regex.Pattern[str]]:
    """What finds a language's own letters, and those of scripts that it does not use."""
    own = _SCRIPTS.get(language, r"\p{Latin}")
    neutral = own + _FOREIGN_TO.get(language, r"\p{Latin}")
    return regex.compile(f"[{own}]"), regex.compile(
        rf"[\p{{L}}--[{neutral}\p{{Script=Common}}]]", regex.V1
    )


def _base(language: str) -> str:
    return language.partition("-")[0].lower()


_FIRST_OF_SCRIPT: Final = {script: code for code, script in reversed(_SCRIPTS.items())}.values()
