"""candidates -> judgments: the model scores answers with the additive judge prompt (section 2.2).

Each candidate is judged several times; each judgment is a row with its text, its state and, only
where the state is ``parsed``, its score; :mod:`srlm_data.steps.reading` says what is read as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, ClassVar, Final

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
from srlm_data.steps.reading import read_score

GUIDED: Final = rf"([^\n]*\n)*Score: [0-{MAX_SCORE}]"
"""A judgment whose last line is a score: free until then, and it cannot end before."""


class Judge(SamplingConfig):
    """How answers are judged."""

    revision: ClassVar[int] = 2  # scores are read by other rules

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
                became, scores, _ = zip(*read, strict=True)
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
