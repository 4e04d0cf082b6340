"""Where the prompts lie: TF-IDF over words and pairs of words, to 50 dimensions, then t-SNE.

The paper's appendix shows the same map of its IFT, EFT and AIFT data, over other features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from srlm_data.analysis.figures import Figures, fetch
from srlm_data.core.schema import EXAMPLES
from srlm_data.report._flows import Flow
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph

_FEWEST = 12  # with fewer prompts than this there is nothing to see, and t-SNE has no neighbours


def prompt_map(
    connection: duckdb.DuckDBPyConnection, store: Store, flows: Sequence[Flow], points: int
) -> Figures:
    """A place for a sample of prompts of every kind: the seed's, and each flow's pairs.

    At most ``points`` in all, shared evenly by the kinds; a hash of the prompt's text draws them,
    so the same prompts are always shown. Empty when there are too few of them.
    """
    sources = [_examples(connection, store, flows), "SELECT dataset AS kind, prompt FROM all_pairs"]
    rows = fetch(
        connection,
        f"""
        WITH prompts AS (
            SELECT kind, list_aggregate(list_transform(prompt, lambda turn: turn.content),
                                        'string_agg', '\n') AS text
            FROM ({" UNION ALL ".join(filter(None, sources))})
        )
        SELECT kind, text FROM (SELECT DISTINCT kind, text FROM prompts)
        QUALIFY row_number() OVER (PARTITION BY kind ORDER BY md5(text))
                <= $1 / (SELECT count(DISTINCT kind) FROM prompts)
        ORDER BY kind, md5(text)
        """,
        points,
    )
    if len(rows) < _FEWEST:
        return []
    places = _places([row["text"] for row in rows])
    return [
        {"kind": row["kind"], "text": _ends(row["text"]), "x": round(x, 2), "y": round(y, 2)}
        for row, (x, y) in zip(rows, places, strict=True)
    ]


def _examples(
    connection: duckdb.DuckDBPyConnection, store: Store, flows: Sequence[Flow]
) -> str | None:
    """A query for the examples that the flows' models were trained on."""
    found: dict[str, Manifest] = {
        one.ref: one
        for flow in flows
        for parent in Graph(store).ancestors(flow.judgments or flow.candidates)
        if (one := parent.manifest) and one.type == EXAMPLES.name
    }
    for number, manifest in enumerate(found.values()):
        store.rows(manifest).view(connection, f"examples_{number}")
    parts = [f"SELECT upper(kind) AS kind, prompt FROM examples_{n}" for n in range(len(found))]
    return " UNION ALL ".join(parts) or None


def _places(texts: Sequence[str]) -> list[tuple[float, float]]:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.manifold import TSNE

    words: Any = TfidfVectorizer(
        token_pattern=r"(?u)\S+", ngram_range=(1, 2), max_features=20_000, sublinear_tf=True
    ).fit_transform(texts)
    dimensions = min(50, words.shape[0] - 1, words.shape[1] - 1)
    if dimensions > 1:
        words = TruncatedSVD(dimensions, random_state=0).fit_transform(words)
    else:
        words = words.toarray()
    places: list[tuple[float, float]] = (
        TSNE(perplexity=min(30.0, (len(texts) - 1) / 3), max_iter=500, random_state=0)
        .fit_transform(words)
        .tolist()
    )
    return places


def _ends(text: str) -> str:
    """The beginning and the end of a text: a judge's prompt begins with the rules, always."""
    return text if len(text) <= 240 else f"{text[:100]} … {text[-140:]}"
