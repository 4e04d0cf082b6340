"""Pairs from judgments, against a query that one would write by hand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.data.measure import Figure, call, paired
from srlm_data.core import database, schema
from srlm_data.core.rows import Rows
from srlm_data.steps.pairs import Pair, pair
from srlm_data.store.shards import GROUP_ROWS

CANDIDATES = """
    SELECT md5('c' || i) AS candidate_id, md5('p' || (i // 4)) AS prompt_id,
           [{'role': 'user', 'content': 'Tell me about ' || (i // 4) || repeat(' and more', 12)}]
               AS prompt,
           'Answer ' || (hash(i) % 1000000) || repeat(' some words of an answer', 8) AS response,
           'm' AS model
    FROM range(? * 4) AS t(i)
"""

JUDGMENTS = """
    SELECT md5('j' || i) AS judgment_id, md5('c' || (i // 3)) AS candidate_id,
           md5('p' || (i // 12)) AS prompt_id,
           CASE WHEN hash(i) % 10 = 0 THEN 'unparsed' ELSE 'parsed' END AS state,
           CASE WHEN hash(i) % 10 > 0 THEN (hash(i + 7) % 6)::DOUBLE END AS score
    FROM range(? * 12) AS t(i)
"""

BY_HAND = """
    WITH scored AS (
        SELECT candidate_id, avg(score) AS score FROM judgments WHERE state = 'parsed' GROUP BY 1
    ), extremes AS (
        SELECT prompt_id, max(score) AS high, min(score) AS low,
               arg_max(candidate_id, score) AS chosen_id,
               arg_min(candidate_id, score) AS rejected_id
        FROM candidates JOIN scored USING (candidate_id) GROUP BY 1 HAVING high > low
    )
    SELECT extremes.*, best.prompt, best.response AS chosen, worst.response AS rejected
    FROM extremes
    JOIN candidates AS best ON best.candidate_id = chosen_id
    JOIN candidates AS worst ON worst.candidate_id = rejected_id
    ORDER BY extremes.prompt_id
"""
"""The least that makes pairs: equal answers are not merged, and ties fall as they may."""

BY_HAND_THE_SAME = """
    WITH scored AS (
        SELECT candidate_id, count(score) AS n, sum(score::DECIMAL(12, 9)) AS total
        FROM judgments WHERE state = 'parsed' GROUP BY 1
    ), answers AS (
        SELECT prompt_id, sum(total) / sum(n) AS score,
               max(md5('0/' || candidate_id) || candidate_id) AS tie
        FROM candidates JOIN scored USING (candidate_id) GROUP BY prompt_id, response
    ), extremes AS (
        SELECT prompt_id, max((score, tie)) AS best, min((score, tie)) AS worst
        FROM answers GROUP BY 1 HAVING best[1] > worst[1]
    )
    SELECT extremes.prompt_id, best[1] AS high, worst[1] AS low, one.prompt, one.response AS chosen,
           other.response AS rejected
    FROM extremes
    JOIN candidates AS one ON one.candidate_id = substr(best[2], 33)
    JOIN candidates AS other ON other.candidate_id = substr(worst[2], 33)
    ORDER BY extremes.prompt_id
"""
"""The same pairs as ours: equal answers merged, ties broken by the same hash."""


def write(folder: str, prompts: int) -> None:
    """Four candidates a prompt, three judgments a candidate, a tenth of them without a score.

    They lie as in a version: in the order of their prompts, in row groups of so many.
    """
    with database.connect() as connection:
        for name, query in (("candidates", CANDIDATES), ("judgments", JUDGMENTS)):
            connection.execute(
                f"COPY ({query.replace('?', str(prompts))} ORDER BY prompt_id, candidate_id) "
                f"TO '{folder}/{name}.parquet' (COMPRESSION zstd, ROW_GROUP_SIZE {GROUP_ROWS})"
            )


def ours(folder: str) -> int:
    """The step, drained."""
    read = [
        Rows.of_files(
            dataset_type, [Path(folder) / f"{dataset_type.name}.parquet"], dataset_type.name
        )
        for dataset_type in (schema.CANDIDATES, schema.JUDGMENTS)
    ]
    return sum(batch.num_rows for batch in pair(Pair(), *read).batches())


def by_hand(folder: str, query: str) -> int:
    """A query, drained."""
    with database.connect() as connection:
        for name in ("candidates", "judgments"):
            connection.execute(f"CREATE VIEW {name} AS FROM '{folder}/{name}.parquet'")
        return sum(batch.num_rows for batch in connection.sql(query).to_arrow_reader(8192))


def measured(prompts: int, queries: list[str]) -> list[dict[str, Any]]:
    """Ours against each query, on data that is made for it and removed."""
    with tempfile.TemporaryDirectory(prefix="srlm-pairs-") as folder:
        call(write, folder, prompts)
        return [
            paired(lambda: call(ours, folder), lambda query=query: call(by_hand, folder, query), 3)
            for query in queries
        ]


def figures(quick: bool) -> Iterator[Figure]:
    """What pairing promises."""
    large = 100_000 if quick else 1_000_000
    [small] = measured(large // 10, [BY_HAND_THE_SAME])
    same, least = measured(large, [BY_HAND_THE_SAME, BY_HAND])
    size = f"{large * 12:,} judgments"
    assert same["one"].said == same["other"].said
    yield Figure(
        f"pairs: {size}, time over that of a query by hand for the same pairs",
        same["seconds"], "x", "<= 1.5",
        f"{same['one'].seconds:.1f} s against {same['other'].seconds:.1f} s",
    )  # fmt: skip
    yield Figure(
        "pairs: the same, over a query that merges no equal answers and leaves ties to chance",
        least["seconds"], "x",
    )  # fmt: skip
    yield Figure(f"pairs: {size}, peak memory", same["one"].megabytes / 1024, "GB", "<= 2")
    yield Figure(
        "pairs: ten times the rows, times the processor time",
        same["one"].processor / small["one"].processor, "x", "<= 11",
    )  # fmt: skip
    yield Figure(
        "pairs: ten times the rows, times the memory",
        same["one"].megabytes / small["one"].megabytes, "x", "" if quick else "<= 1.3",
    )  # fmt: skip
