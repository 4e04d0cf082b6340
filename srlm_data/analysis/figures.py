"""Every fact that is shown anywhere, counted by one query each: the only source of figures.

The dataset card, the report, diffs, health checks and notebooks read what stands here. A fact that
has a shipped query (``queries/*.sql``) is counted by that very query, so that all of them agree.

Every row has the column ``dataset``: the label of the version. Lengths are characters.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import duckdb

from srlm_data.analysis import queries
from srlm_data.analysis._views import quoted
from srlm_data.core import database
from srlm_data.core.rows import Rows
from srlm_data.core.scale import Scale
from srlm_data.core.schema import (
    CANDIDATES,
    CONVERSATION,
    DATASET_TYPES,
    JUDGMENTS,
    PAIRS,
    DatasetType,
)
from srlm_data.store import Manifest, Store

Figures = list[dict[str, Any]]


@contextlib.contextmanager
def connect(
    store: Store, **versions: Mapping[str, Manifest]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection to versions by their labels: ``candidates={...}`` are ``all_candidates``.

    The views of candidates, judgments and pairs are always there, with no row where none is given.
    """
    with database.session(memory=database.LOOKING) as connection:
        create_views(connection, store, **versions)
        yield connection


def create_views(
    connection: duckdb.DuckDBPyConnection, store: Store, **versions: Mapping[str, Manifest]
) -> None:
    """Create the views of :func:`connect` in a connection that is open."""
    for name in {CANDIDATES.name, JUDGMENTS.name, PAIRS.name, *versions}:
        _union(connection, store, DATASET_TYPES[name], versions.get(name, {}))


def _union(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    dataset_type: DatasetType,
    versions: Mapping[str, Manifest],
) -> None:
    """Create a view over versions of a dataset type; its ``model_name`` is empty in all rows."""
    rows_of = {label: store.rows(manifest) for label, manifest in versions.items()}
    parts = []
    for number, (label, rows) in enumerate((rows_of or {"": Rows.of(dataset_type, [])}).items()):
        view = f"{dataset_type.name}_{number}"
        rows.view(connection, view)
        parts.append(f"SELECT {quoted(label)} AS dataset, '' AS model_name, * FROM {view}")
    union = " UNION ALL BY NAME ".join(parts)  # an older version may lack a column
    connection.execute(f"CREATE VIEW all_{dataset_type.name} AS {union}")


def characters(dataset_type: str, column: str) -> str:
    """Return SQL for the length of a text, or of all turns of a conversation."""
    if DATASET_TYPES[dataset_type].schema.field(column).type == CONVERSATION:
        return f"list_sum([length(turn.content) FOR turn IN {column}])"
    return f"length({column})"


# A candidate's id is hashed to 64 bits: ten million judgments take a third of the memory, and the
# chance that any two of four million ids collide is one in two million.
_ANSWERS = f"""
    CREATE TEMP TABLE answers AS
    WITH judged AS (
        SELECT dataset, hash(candidate_id) AS id, count(*) AS judgments, count(score) AS scored,
               min(score) AS least, max(score) AS greatest, avg(score) AS score
        FROM all_judgments GROUP BY ALL
    )
    SELECT c.dataset, hash(c.candidate_id) AS id, judged.* EXCLUDE (dataset, id), c.prompt_id,
           length(response) AS length, hash({database.without_spaces("response")}) AS text,
           finish_reason = 'length' AS cut_off
    FROM all_candidates AS c LEFT JOIN judged
      ON c.dataset = judged.dataset AND hash(c.candidate_id) = judged.id
    WHERE judged.id IS NOT NULL OR c.dataset NOT IN (SELECT dataset FROM judged)
"""


def count_answers(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table ``answers``, once for all figures that need it.

    It has one row a judged candidate (any candidate, where nobody judged): its prompt, its length,
    its judgments, the least, the greatest and the mean of their scores, a hash of its text without
    white space, and whether ``max_tokens`` cut it off.
    """
    connection.execute(_ANSWERS)


def fetch(connection: duckdb.DuckDBPyConnection, query: str, *values: object) -> Figures:
    """Return the rows of a query as dicts."""
    rows: Figures = connection.sql(query, params=list(values)).to_arrow_table().to_pylist()
    return rows


def ask(connection: duckdb.DuckDBPyConnection, name: str) -> Figures:
    """Return the rows of a shipped query that reads candidates, judgments or pairs."""
    return fetch(connection, queries.load(name))


def count_notes(store: Store, manifest: Manifest) -> dict[str, int]:
    """Return note -> how many answers of a model have it, the most frequent first."""
    with database.session(memory=database.LOOKING) as connection:
        store.rows(manifest).view(connection, "rows")
        if "note" not in connection.table("rows").columns:  # written before the column existed
            return {}
        counts = connection.execute(
            """
            WITH noted AS (SELECT answer_key, unnest(string_split(note, '; ')) AS note FROM rows)
            SELECT note, count(DISTINCT answer_key) FROM noted GROUP BY note ORDER BY 2 DESC, 1
            """
        ).fetchall()
    return dict(counts)


def percent(share: float) -> str:
    """Return a share in words."""
    return f"{100 * share:.1f} %"


def most_first(drops: Mapping[str, int]) -> dict[str, int]:
    """Return reason -> how many rows were left out, the most frequent first."""
    return dict(sorted(drops.items(), key=lambda drop: (-drop[1], drop[0])))


def overview(connection: duckdb.DuckDBPyConnection) -> Figures:
    """Return one row a dataset that has answers: all its single figures, None where there is none.

    It reads ``answers``, as do the figures below: see :func:`count_answers`.
    The figures that a shipped query counts are taken from it, but for the judge's agreement with
    itself: ``answers`` tells it at once, and the query would group all judgments again.
    """
    rows = fetch(
        connection,
        """
        WITH judged AS (
            SELECT dataset, count(*) AS judgments, count(score) AS parsed,
                   count(score) / count(*) AS parse_rate, avg(score) AS mean_score,
                   count(DISTINCT template) AS templates
            FROM all_judgments GROUP BY dataset
        ), answered AS (
            SELECT dataset, count(*) AS answers, avg(length) AS length,
                   CASE WHEN isfinite(corr(score, length)) THEN corr(score, length) END
                       AS score_by_length,
                   count(*) FILTER (scored > 1) AS repeated,
                   round(avg((greatest = least)::INTEGER) FILTER (scored > 1), 4) AS agreement
            FROM answers GROUP BY dataset
        ), paired AS (
            SELECT dataset, count(*) AS pairs, avg(margin) AS margin FROM all_pairs GROUP BY dataset
        )
        SELECT * FROM answered LEFT JOIN judged USING (dataset) LEFT JOIN paired USING (dataset)
        """,
    )
    common = most_common_scores(ask(connection, "scores"))
    lengths = {row["dataset"]: row for row in ask(connection, "lengths")}
    for row in rows:
        row["modal_score"], row["modal_share"] = common.get(row["dataset"], (None, None))
        length = lengths.get(row["dataset"], {})
        row["chosen_length"] = length.get("mean_chosen")
        row["rejected_length"] = length.get("mean_rejected")
        row["longer_chosen"] = length.get("chosen_is_longer")
    return rows


def whole_scale(connection: duckdb.DuckDBPyConnection) -> list[tuple[float, int]]:
    """Return score -> judgments, the points of their scale always there; [] of no scores."""
    counts = {row["score"]: row["judgments"] for row in ask(connection, "scores")}
    [ends] = connection.sql("SELECT min(scale_low), max(scale_high) FROM all_judgments").fetchall()
    scale = Scale.of(*ends)
    whole = dict.fromkeys(map(float, (scale.points() if scale else None) or ()), 0)
    return sorted((whole | counts).items()) if counts else []


def most_common_scores(scores: Figures) -> dict[str, tuple[float, float]]:
    """Return each dataset's most common score and its share of the scores; of ties, the lowest."""
    counts: dict[str, dict[float, int]] = {}
    for row in scores:
        counts.setdefault(row["dataset"], {})[row["score"]] = row["judgments"]
    return {
        dataset: (max(of, key=of.__getitem__), max(of.values()) / sum(of.values()))
        for dataset, of in counts.items()
    }


def agreement_of_judges(manifest: Manifest | None) -> str | None:
    """Return how far the judges of a panel agree, in words; None of what is no panel's."""
    if manifest is None or manifest.identity.get("step") != "combine_judges":
        return None
    agreed = manifest.notes.get("agreement")
    if agreed is None or agreed["alpha"] is None:
        return "unknown"
    ends = [agreed[end] for end in ("low", "high") if agreed[end] is not None]
    between = f" [{ends[0]:.2f}, {ends[1]:.2f}]" if len(ends) == 2 else ""
    return f"{agreed['alpha']:.2f}{between}"


def spending(manifest: Manifest) -> dict[str, Any]:
    """Return what a version took: seconds, requests, tokens, money; what it did not is left out."""
    counts = ("calls", "reused", "failed", "prompt_tokens", "completion_tokens")
    return {
        "seconds": manifest.provenance.get("seconds"),
        **{name: int(manifest.cost[name]) for name in counts if name in manifest.cost},
        **({"money": manifest.cost["money"]} if "money" in manifest.cost else {}),
    }


def score_by_length(connection: duckdb.DuckDBPyConnection) -> Figures:
    """Return the mean score of ten equal shares of the answers, from shortest to longest.

    ``error`` is half of a 95 % interval of the mean.
    """
    return fetch(
        connection,
        """
        WITH edges AS (
            SELECT dataset, approx_quantile(length, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
                         AS edges
            FROM answers WHERE scored > 0 GROUP BY dataset
        )
        SELECT dataset, avg(length) AS length, min(length) AS shortest, max(length) AS longest,
               avg(score) AS score, count(*) AS answers,
               coalesce(1.96 * stddev_samp(score) / sqrt(count(*)), 0) AS error
        FROM answers JOIN edges USING (dataset) WHERE scored > 0
        GROUP BY dataset, len(list_filter(edges, lambda edge: edge < length))
        ORDER BY dataset, length
        """,
    )


SCORES: Final = "SELECT dataset, score AS value FROM all_judgments"
APART: Final = "SELECT dataset, greatest - least AS value FROM answers WHERE scored > 1"
"""The queries of two histograms: the scores, and how far the scores of one answer are apart."""

_MOST_BARS: Final = 64
_RANGES: Final = 20
_STEPS: Final = (1.0, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6, 1 / 10, 1 / 12)


def histogram(connection: duckdb.DuckDBPyConnection, values: str) -> Figures:
    """Count the values of a query (columns ``dataset`` and ``value``) by bins that fit them.

    Means of three scores are thirds, and bins of halves would heap them up: where all values are
    multiples of a step, each multiple has a bar of its own, around it. Else there are twenty even
    ranges, which cover 98 of 100 values; what lies beyond is counted at the ends.

    Returns:
        A row a dataset and bin: ``low`` and ``high``, ``at`` (the value that the bar stands for, or
        its middle), ``exact``, ``count`` and ``share``.
    """
    values = f"SELECT dataset, value::DOUBLE AS value FROM ({values}) WHERE value IS NOT NULL"
    query = f"SELECT DISTINCT round(value, 6) FROM ({values}) ORDER BY 1 LIMIT 1000"
    distinct = [float(value) for (value,) in connection.sql(query).fetchall()]
    if not distinct:
        return []
    step = _step(distinct)
    exact = step is not None
    if step is None:
        [(least, most)] = connection.sql(
            f"SELECT quantile_cont(value, 0.01), quantile_cont(value, 0.99) FROM ({values})"
        ).fetchall()
        step = _round_up((most - least) / _RANGES) or 1.0
        low, high = math.floor(least / step), math.ceil(most / step) - 1
        place = f"greatest(least(floor(value / $1), {high}), {low})"
    else:
        place = "round(value / $1)"
    rows = fetch(
        connection,
        f"""
        SELECT dataset, {place} AS place, count(*) AS count,
               count(*) / sum(count(*)) OVER (PARTITION BY dataset) AS share
        FROM ({values}) GROUP BY 1, 2 ORDER BY ALL
        """,
        step,
    )
    ends = {min(row["place"] for row in rows), max(row["place"] for row in rows)}
    for row in rows:
        place = row.pop("place")
        row["exact"] = exact
        row["at"] = round((place if exact else place + 0.5) * step, 9)
        row["low"], row["high"] = row["at"] - step / 2, row["at"] + step / 2
        if not exact and place in ends:  # values beyond the ends are counted in the end bars
            row["low" if place == min(ends) else "high"] = None
    return rows


def _step(values: Sequence[float]) -> float | None:
    """Return the coarsest step of which all values are multiples; None if there is none."""
    for step in _STEPS:
        if max(values) - min(values) <= step * _MOST_BARS and all(
            abs(value / step - round(value / step)) < 1e-4 for value in values
        ):
            return step
    return None


def _round_up(width: float) -> float:
    """Return the smallest number that is not below ``width`` and 1, 2 or 5 times a power of ten."""
    if width <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(width))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= width * (1 - 1e-9))


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of ``n`` (Wilson's)."""
    if not n:
        return 0.0, 1.0
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def own_answers(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Count judgments, and those of an answer that the judge itself wrote."""
    [(judged, own)] = connection.sql(
        "SELECT count(*), count(*) FILTER (j.model = c.model) "
        "FROM all_judgments AS j JOIN all_candidates AS c USING (dataset, candidate_id)"
    ).fetchall()
    return judged, own
