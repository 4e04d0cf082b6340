"""A store of any size whose rows are made by queries: two iterations from a seed, and metrics.

The rows come in through `Store.commit` and the pairs from the step `pair`, so that what reads them
meets what a build writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from srlm_data.core.ids import row_id
from srlm_data.core.rows import Rows
from srlm_data.core.schema import (
    CANDIDATES,
    EXAMPLES,
    JUDGMENTS,
    METRICS,
    MODELS,
    PROMPTS,
    DatasetType,
)
from srlm_data.steps.pairs import Pair, pair
from srlm_data.store import Manifest, Store

Filled = Callable[..., Store]
"""The fixture that fills a store once for all that ask for an equal one."""

_WORDS = "river stone lamp garden winter bread clock letter bridge forest music paper".split()


def fill(
    root: Path, *, prompts: int = 60, samples: int = 4, repeats: int = 3,
    hostile: Sequence[str] = (), unread: float = 0.1,
) -> Store:  # fmt: skip
    """Write `seed`, `one`, `two` and `measured` into a store.

    Args:
        root: the store's folder.
        prompts: prompts of an iteration; each is answered `samples` times.
        samples: answers a prompt.
        repeats: judgments an answer.
        hostile: texts that take the place of the first prompts, answers and judgments.
        unread: share of judgments without a score.
    """
    store = Store(root)
    sizes = {"prompts": prompts, "samples": samples, "repeats": repeats, "unread": unread}
    seed = _commit(store, "seed.ift", EXAMPLES, _EXAMPLES.format(words=_WORDS))
    model = _model(store, "seed.m1", [("data", seed)])
    for number, name in enumerate(("one", "two")):
        facts = {**sizes, "recipe": name, "words": _WORDS, "model": model.identity["model"]}
        facts |= {"number": number, "texts": _list(hostile)}
        made = _commit(store, f"{name}.prompts", PROMPTS, _PROMPTS.format(**facts))
        answers = _commit(
            store, f"{name}.candidates", CANDIDATES, _CANDIDATES.format(**facts),
            ("prompts", made), ("model", model),
        )  # fmt: skip
        judged = _commit(
            store, f"{name}.judgments", JUDGMENTS, _JUDGMENTS.format(**facts),
            ("candidates", answers), ("model", model),
        )  # fmt: skip
        pairs = store.commit(
            f"{name}.pairs",
            pair(Pair(min_margin=0.5), store.rows(answers), store.rows(judged)),
            identity={"pairs": name, **sizes},
            inputs=[("candidates", answers), ("judgments", judged)],
        )
        model = _model(store, f"{name}.m{number + 2}", [("model", model), ("pairs", pairs)])
    _measure(store, ["seed.m1", "one.m2", "two.m3"])
    return store


def _commit(
    store: Store, name: str, dataset_type: DatasetType, query: str, *inputs: tuple[str, Manifest]
) -> Manifest:
    def batches() -> Iterator[pa.RecordBatch]:
        with duckdb.connect() as connection:
            rows = connection.sql(query)
            absent = [one for one in dataset_type.schema.names if one not in rows.columns]
            nulls = "".join(f", NULL AS {one}" for one in absent)
            yield from rows.project(f"*{nulls}").to_arrow_reader(8192)

    return store.commit(
        name,
        Rows.reading(dataset_type, batches()),
        identity={"query": row_id(query)},
        inputs=list(inputs),
        complete=lambda manifest: replace(
            manifest,
            provenance={"at": "2030-01-01T00:00:00+00:00", "seconds": 1.5},
            cost={"calls": 3, "reused": 1, "prompt_tokens": 20, "completion_tokens": 10},
        ),
    )


def _model(store: Store, name: str, inputs: list[tuple[str, Manifest]]) -> Manifest:
    row = {"model": name, "method": "sft", "location": "path:/"}
    return store.commit(
        name, Rows.of(MODELS, [row]), identity={"model": name}, inputs=inputs
    )  # fmt: skip


def _measure(store: Store, models: list[str]) -> None:
    rows: list[dict[str, Any]] = []
    for place, model in enumerate(models):
        share = 0.8 + place / 20
        rows += [
            _metric(model, None, "pairwise_accuracy", share, share - 0.03, share + 0.03),
            _metric(model, None, "five_best", 1.0, None, None),
        ]
        if place:
            outcomes = {"wins": 0.3, "ties": 0.5, "losses": 0.2, "win_rate": 0.55}
            versus = models[place - 1]
            rows += [_metric(model, versus, name, of, None, None) for name, of in outcomes.items()]
    inputs = [("models", store.resolve(model)) for model in models]
    store.commit(
        "measured.judges", Rows.of(METRICS, rows), identity={"measured": models}, inputs=inputs
    )


def _metric(
    model: str, versus: str | None, name: str, value: float, low: float | None, high: float | None
) -> dict[str, Any]:
    return {
        "metric_id": f"{model}/{versus}/{name}", "model": model, "versus": versus, "metric": name,
        "value": value, "low": low, "high": high, "n": 100,
    }  # fmt: skip


def _list(texts: Sequence[str]) -> str:
    quoted = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
    return f"([{quoted}]::VARCHAR[])"


# hash() is the same everywhere, so the same arguments give the same rows.
_ANSWERED = (
    "NULL AS answer_key, 'stop' AS finish_reason, 20 AS prompt_tokens, 9 AS completion_tokens"
)

_EXAMPLES = """
    SELECT md5('example' || n) AS example_id, CASE WHEN n % 3 = 0 THEN 'eft' ELSE 'ift' END AS kind,
           [{{'role': 'user', 'content': 'Tell me of the ' || {words}[1 + n % 12] || ' and '
              || {words}[1 + (n // 12 + n) % 12]}}] AS prompt,
           [{{'role': 'assistant', 'content': 'It is there.'}}] AS completion,
           md5('seed' || n) AS prompt_id, NULL AS source_id, NULL AS score
    FROM range(30) AS t(n)
"""

_PROMPTS = (
    """
    SELECT md5('{recipe}' || n) AS prompt_id,
           [{{'role': 'user', 'content': coalesce(
               {texts}[n + 1],
               'Describe the ' || {words}[1 + n % 12] || ' near the ' || {words}[1 + (n // 12) % 12]
               || ', number ' || n
           )}}] AS prompt, 'made' AS source, NULL AS source_ids, '{model}' AS model, """
    + _ANSWERED
    + " FROM range({prompts}) AS t(n)"
)

_CANDIDATES = (
    """
    SELECT md5(concat_ws('/', '{recipe}', n, s)) AS candidate_id, md5('{recipe}' || n) AS prompt_id,
           [{{'role': 'user', 'content': coalesce({texts}[n + 1], 'Describe it, number ' || n)}}]
               AS prompt,
           CASE WHEN s = 0 THEN coalesce({texts}[n + 1], 'Plain, number ' || n)
                ELSE repeat('A word about it. ', 1 + (hash(n * 31 + s) % 6)::INT) || s
           END AS response,
           s::INT AS sample, 'model' AS source, NULL AS rank, NULL AS split, '{model}' AS model, """
    + _ANSWERED
    + " FROM range({prompts}) AS t(n), range({samples}) AS u(s)"
)

_JUDGMENTS = (
    """
    WITH drawn AS (
        SELECT n, s, r,
               (hash(n * 131 + s * 7 + {number}) % 5 + hash(n * 17 + s * 3 + r) % 2)::DOUBLE
                   AS points,
               hash(n * 1009 + s * 11 + r) % 1000 < 1000 * {unread} AS unread
        FROM range({prompts}) AS t(n), range({samples}) AS u(s), range({repeats}) AS v(r)
    )
    SELECT md5(concat_ws('/', '{recipe}', n, s, r)) AS judgment_id,
           md5(concat_ws('/', '{recipe}', n, s)) AS candidate_id, md5('{recipe}' || n) AS prompt_id,
           r::INT AS repeat, CASE WHEN unread THEN 'unparsed' ELSE 'parsed' END AS state,
           CASE WHEN NOT unread THEN points END AS score,
           coalesce({texts}[n + 1], 'It has some merit.') || '\nScore: ' || points::INT AS text,
           'judge' AS template, '{model}' AS model, """
    + _ANSWERED
    + " FROM drawn"
)
