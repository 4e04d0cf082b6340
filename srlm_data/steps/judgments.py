"""candidates -> judgments: the model scores answers with the additive judge prompt (section 2.2).

Each candidate is judged several times; each judgment is a row with its text, its state and, only
where the state is ``parsed``, its score. What is read as one: :mod:`srlm_data.steps.judging.texts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Expected, Lengths
from srlm_data.core.ids import row_id, row_ids
from srlm_data.core.messages import user
from srlm_data.core.rows import Candidates, Columns, Drops, Judgments, Models, Rows
from srlm_data.core.schema import JUDGMENTS
from srlm_data.engines.asking import ask_in_blocks
from srlm_data.engines.protocol import Engine, Request, request_seed
from srlm_data.engines.sampling import SamplingConfig
from srlm_data.steps.judging.form import JudgeForm
from srlm_data.steps.judging.injections import injections_sql
from srlm_data.steps.judging.texts import Reading


class Judge(JudgeForm, SamplingConfig):
    """How answers are judged."""

    revision: ClassVar[int] = 2  # the rules that parse scores have changed

    repeats: int = Field(
        3, ge=1, le=10**6, description="Judgments per candidate (paper: 3, averaged)."
    )
    max_tokens: int = Field(512, ge=1, description="Longest judgment, in tokens.")
    guided: bool = Field(
        False,
        description="Restrict a judgment to what its reader parses: reasons, then the score. The "
        "engines vllm, ray and transformers can, and openai if its server does; if "
        "not, a note says so, and the text is parsed as it is.",
    )
    seed: int = Field(0, ge=0, description="Seed of the requests.")

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """``repeats`` calls a candidate, each a row, and one more for each criterion."""
        candidates = rows.get("candidates")
        calls = None if candidates is None else candidates * self.repeats
        return Expected(None if calls is None else calls * (1 + len(self.criteria)), calls)

    def prompt_characters(self, lengths: Mapping[str, Lengths]) -> float | None:
        """A call reads the template, filled with a prompt and its answer."""
        filled = lengths.get("candidates")
        return None if filled is None else len(self.template.text) + sum(filled)


def judge(config: Judge, candidates: Candidates, model: Models, engine: Engine) -> Judgments:
    """Let a model judge every candidate, several times.

    The conversation is written by :func:`srlm_data.core.messages.render`. A judgment is a row; one
    with several criteria is followed by a row for each (``criterion``). Judgments are never
    dropped: a failed one, or one without a score, keeps its text and has a state, and the notes
    count the ``states``. They also count the answers that try to influence their judge
    (``judge_injections``, by kind; see :mod:`srlm_data.steps.judging.injections`), and the
    prompts that do (``prompt_injections``).

    Drops: ``no_reference``, ``no_rubric`` and so on: candidates without a column that the template
    shows.
    """
    sampling = config.sampling(**config.constraint(config.max_tokens) if config.guided else {})
    template = row_id(config.template.text)
    states: Counter[str] = Counter()
    drops = Drops()
    # Filled while the rows are consumed, and read afterwards.
    notes: dict[str, Any] = {"states": states}

    def requests() -> Iterator[tuple[Request, tuple[str, str, int]]]:
        shown = ("candidate_id", "prompt_id", "prompt", "response", *config.columns)
        for row in candidates.tuples(*shown):
            named = dict(zip(shown, row, strict=True))
            if empty := config.lacks(named):
                drops.add(f"no_{empty}", named["candidate_id"], named)
                continue
            messages = tuple(user(config.fill(named)))
            identity = named["candidate_id"]
            for repeat in range(config.repeats):
                seed = request_seed(config.seed, identity, repeat)
                request = Request(f"{identity}/{repeat}", messages, sampling, seed)
                yield request, (identity, named["prompt_id"], repeat)

    def columns() -> Iterator[Columns]:
        total, by = candidates.count() * config.repeats, engine.model
        # Answers are searched for injections while the engine works, not afterwards.
        with ThreadPoolExecutor(1) as beside:
            counting = beside.submit(_count_injections, candidates)
            for block in ask_in_blocks(engine, model, requests(), total=total):
                identities, prompt_ids, repeats = zip(*block.about, strict=True)
                texts = block.texts()
                readings = [
                    config.read(done.text, done.finish_reason) for done in block.completions
                ]
                became, scores, _ = zip(*[parts[0][1] for parts in readings], strict=True)
                states.update(became)
                judgments = {
                    "judgment_id": row_ids("judgment", identities, by, template, repeats, texts),
                    "candidate_id": identities,
                    "prompt_id": prompt_ids,
                    "repeat": repeats,
                    "state": became,
                    "score": scores,
                    "text": texts,
                    "template": pa.repeat(template, len(texts)),
                    **_scale(config, len(texts)),
                    **block.answered(engine),
                    "error": block.errors(),
                }
                yield judgments
                if config.criteria:
                    yield _of_criteria(config, judgments, readings, by)
            notes.update(counting.result())

    return Rows.columns(JUDGMENTS, columns(), drops=drops, notes=notes)


def _scale(config: Judge, rows: int) -> dict[str, pa.Array]:
    return {name: pa.repeat(float(end), rows) for name, end in config.on.columns().items()}


def _of_criteria(
    config: Judge, judgments: Columns, readings: Sequence[list[tuple[str | None, Reading]]], by: str
) -> Columns:
    """Return a row per criterion of each judgment, whose own row has the text and the costs."""
    parts = [
        (judgment, name, reading)
        for judgment, of_one in enumerate(readings)
        for name, reading in of_one[1:]
    ]
    places, names, read = zip(*parts, strict=True)
    became, scores, _ = zip(*read, strict=True)
    whole = {
        name: [judgments[name][place] for place in places]
        for name in ("judgment_id", "candidate_id", "prompt_id", "repeat", "template")
    }
    identities = row_ids("criterion", whole["judgment_id"], names)
    return {
        **whole,
        "judgment_id": identities,
        "state": became,
        "score": scores,
        "text": pa.repeat("", len(parts)),
        "model": pa.repeat(by, len(parts)),
        "criterion": names,
        **_scale(config, len(parts)),
    }


def _count_injections(candidates: Rows) -> dict[str, dict[str, int]]:
    """Return how many answers, and how many prompts, have injections: of ``any`` kind, and each."""
    turns = "list_aggregate(list_transform(prompt, lambda turn: turn.content), 'string_agg', '\n')"
    prompts = "SELECT any_value(prompt) AS prompt FROM candidates GROUP BY prompt_id"
    texts = {
        "judge_injections": "SELECT response AS said FROM candidates",
        "prompt_injections": f"SELECT {turns} AS said FROM ({prompts})",
    }
    with database.connect() as connection:
        connection.execute("SET threads = 1")  # the other cores are the model's
        candidates.view(connection, "candidates")
        counts = {}
        for name, query in texts.items():
            kinds = f"SELECT {injections_sql('said')} AS kinds FROM ({query})"
            counted = f"""
                SELECT 'any', count(*) FILTER (len(kinds) > 0) FROM ({kinds})
                UNION ALL SELECT kind, count(*) FROM (SELECT unnest(kinds) AS kind FROM ({kinds}))
                GROUP BY kind
            """
            counts[name] = dict(connection.sql(counted).fetchall())
    return counts
