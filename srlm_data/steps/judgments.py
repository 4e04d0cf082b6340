"""candidates -> judgments: the model scores answers with the additive judge prompt (section 2.2).

Each candidate is judged several times; each judgment is a row with its text, its state and, only
where the state is ``parsed``, its score. :func:`read_score` says what is read as a score.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Final, NamedTuple

import pyarrow as pa
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Expected, Lengths, Template, fills
from srlm_data.core.ids import row_id, row_ids
from srlm_data.core.messages import render, user
from srlm_data.core.rows import Candidates, Columns, Judgments, Models, Rows
from srlm_data.core.schema import JUDGMENTS, MAX_SCORE
from srlm_data.engines.asking import ask_in_blocks
from srlm_data.engines.protocol import Engine, Request, request_seeds
from srlm_data.engines.sampling import SamplingConfig
from srlm_data.steps.judge_injection import injections_sql

GUIDED: Final = rf"([^\n]*\n)*Score: [0-{MAX_SCORE}]"
"""A judgment whose last line is a score: free until then, and it cannot end before."""


class Judge(SamplingConfig):
    """How answers are judged."""

    repeats: int = Field(3, ge=1, description="Judgments a candidate (paper: 3, their mean).")
    template: Annotated[Template, fills("a judge", "prompt", "response")] = Field(
        default="judge",
        validate_default=True,
        description="Prompt of the judge, with {prompt} and {response}.",
    )
    max_tokens: int = Field(512, ge=1, description="Longest judgment, in tokens.")
    guided: bool = Field(
        False,
        description="Let a judgment end only with a score line; for the engines vllm, ray and "
        "openai (a server of vLLM).",
    )
    seed: int = Field(0, ge=0, description="Seed of the requests.")

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """``repeats`` calls and rows a candidate."""
        candidates = rows.get("candidates")
        judgments = None if candidates is None else candidates * self.repeats
        return Expected(judgments, judgments)

    def prompt_characters(self, lengths: Mapping[str, Lengths]) -> float | None:
        """A call reads the template, filled with a prompt and its answer."""
        filled = lengths.get("candidates")
        return None if filled is None else len(self.template.text) + sum(filled)


def judge(config: Judge, candidates: Candidates, model: Models, engine: Engine) -> Judgments:
    """Let a model judge every candidate, several times.

    The prompt is filled in as :func:`srlm_data.core.messages.render` writes it. No judgment is
    dropped: one that failed or has no score keeps its text and says so in its state, which the
    notes count as ``states``. They count the answers, too, that plead with their judge
    (``judge_injections``, by kind; see :mod:`srlm_data.steps.judge_injection`).

    Raises:
        DataError: ``model`` is not the model that the engine has loaded.
        EngineError: the engine cannot go on.
    """
    pattern = GUIDED if config.guided else None
    sampling = config.sampling(pattern=pattern)
    template = row_id(config.template.text)
    states: Counter[str] = Counter()
    pleading: Counter[str] = Counter()

    def asked() -> Iterator[tuple[Request, tuple[str, str, int]]]:
        repeats = range(config.repeats)
        shown = ("candidate_id", "prompt_id", "prompt", "response")
        for identity, prompt_id, prompt, response in candidates.tuples(*shown):
            text = config.template.fill(prompt=render(prompt), response=response)
            messages = tuple(user(text))
            for repeat, seed in enumerate(request_seeds(config.seed, identity, repeats)):
                request = Request(f"{identity}/{repeat}", messages, sampling, seed)
                yield request, (identity, prompt_id, repeat)

    def judged() -> Iterator[Columns]:
        total, by = candidates.count() * config.repeats, engine.model
        # The answers are searched beside the asking, not when the engine is done.
        with ThreadPoolExecutor(1) as beside:
            found = beside.submit(_pleading, candidates)
            for block in ask_in_blocks(engine, model, asked(), total=total):
                identities, prompt_ids, repeats = zip(*block.about, strict=True)
                texts = block.texts()
                read = [read_score(one.text, one.finish_reason) for one in block.completions]
                became, scores = zip(*read, strict=True)
                states.update(became)
                yield {
                    "judgment_id": row_ids("judgment", identities, by, template, repeats, texts),
                    "candidate_id": identities,
                    "prompt_id": prompt_ids,
                    "repeat": repeats,
                    "state": became,
                    "score": scores,
                    "text": texts,
                    "template": pa.repeat(template, len(texts)),
                    **block.answered(engine),
                    "error": block.errors(),
                }
            pleading.update(found.result())

    # The counters are filled while the rows are drained, and read after.
    notes = {"states": states, "judge_injections": pleading}
    return Rows.columns(JUDGMENTS, judged(), notes=notes)


def _pleading(candidates: Rows) -> dict[str, int]:
    """How many answers plead with their judge: ``any`` at all, and by kind."""
    with database.connect() as connection:
        connection.execute("SET threads = 1")  # the other cores are the model's
        candidates.view(connection, "candidates")
        kinds = f"SELECT {injections_sql('response')} AS kinds FROM candidates"
        counted = f"""
            SELECT 'any', count(*) FILTER (len(kinds) > 0) FROM ({kinds})
            UNION ALL SELECT kind, count(*) FROM (SELECT unnest(kinds) AS kind FROM ({kinds}))
            GROUP BY kind
        """
        return dict(connection.sql(counted).fetchall())


class Verdict(NamedTuple):
    """What was read from a judgment: one of ``schema.STATES``, and a score if ``parsed``."""

    state: str
    score: float | None = None


# A line that begins with "Score:", perhaps behind a list mark, a heading or emphasis. A quoted
# line ("> Score: 5") does not count: it is somebody else's. The quantifiers are possessive, so
# that there is one way to match and time stays linear. \uff1a, \uff0e and \uff0f are the
# full-width colon, full stop and slash; \u2212 and \u2013 are other minus signs.
_SCORE_LINE: Final = re.compile(
    r"^[ \t#*_`\-]*+score[ \t*_`]*+[:\uff1a](?P<value>[^\r\n]*+)(?P<end>[\r\n]?)",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBER: Final = re.compile(
    r"""[ \t*_`"'(\[]*+
        (?P<sign>[-\u2212\u2013+]?)[ \t]*+
        (?P<whole>\d++)(?:[.\uff0e](?P<fraction>\d++))?+(?![^\W_])
        (?:[ \t*_`]*+ (?:[/\uff0f]|\(?(?:out[ ])?of[ ]) [ \t*_`]*+ (?P<scale>\d++)(?![^\W_]))?+
        (?P<rest>.*)""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_PLAIN: Final = {f"\nScore: {n}": Verdict("parsed", float(n)) for n in range(MAX_SCORE + 1)}
"""How most judgments end; nothing about them is to be understood."""


def read_score(text: str, finish_reason: str) -> Verdict:
    """Read the score of a completion of the judge. Takes time linear in the text.

    The last line that begins with ``Score:`` decides, whatever it says; scores elsewhere in the
    text (in a sentence, in a quoted line) are none. Case, Markdown around it, full-width digits,
    colon and slash do not matter.

    - ``Score: 4``, ``**Score:** 4``, ``Score: 4/5``, ``Score: 4 out of 5``, ``Score: 4 (good)``
      are 4; ``Score: 3.5`` is 3.5.
    - ``Score: 10``, ``Score: -1`` and scores of another scale (``Score: 4/10``) are
      ``out_of_range``.
    - What is no one number is ``unparsed``: ``Score: <total points>``, ``Score: four``,
      ``Score: 3 or 4``, ``Score: 3 + 1 = 4``, ``Score: 3,5``; so is a text without such a line.
    - A completion that was cut off (``finish_reason`` ``length``) is ``truncated`` if it has no
      such line, or was cut within it: the next character might have been another digit.
    - A failed request (``finish_reason`` ``error``) is ``error``.
    """
    if finish_reason == "stop" and (plain := _PLAIN.get(text[-9:])):
        return plain
    if finish_reason == "error":
        return Verdict("error")
    last = None
    for last in _SCORE_LINE.finditer(text):  # noqa: B007 - the last one is what is wanted
        pass
    cut = finish_reason == "length"
    if last is None:
        return Verdict("truncated" if cut else "unparsed")
    if cut and not last["end"]:
        return Verdict("truncated")
    return _verdict(last["value"])


def _verdict(value: str) -> Verdict:
    """Read what stands behind ``Score:``."""
    number = _NUMBER.match(value)
    if number is None or re.search(r"\d", number["rest"]):
        return Verdict("unparsed")
    # Python reads the decimal digits of every script; a number this long is no score anyway.
    whole, fraction, scale = number["whole"], (number["fraction"] or "0")[:15], number["scale"]
    score = float(f"{whole}.{fraction}") if len(whole) < 10 else float("inf")
    other_scale = scale is not None and (len(scale) > 9 or int(scale) != MAX_SCORE)
    if other_scale or score > MAX_SCORE or (number["sign"] not in ("", "+")):
        return Verdict("out_of_range")
    return Verdict("parsed", score)
