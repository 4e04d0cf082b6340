"""Draw a map of the prompts: TF-IDF of words and word pairs, reduced to 50 dimensions, then t-SNE.

Similar prompts form a cluster, which is named by the words that distinguish it from the others.

The paper's appendix shows such a map of its IFT, EFT and AIFT data, from other features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import duckdb

from srlm_data.analysis.figures import Figures, fetch
from srlm_data.core.schema import EXAMPLES
from srlm_data.report._flows import Flow
from srlm_data.store import Store
from srlm_data.store.graph import Graph

FEWEST: Final = 100
"""With fewer prompts there is no map, for it would show nothing."""

_PROMPTS_A_CLUSTER: Final = 40
_MOST_CLUSTERS: Final = 12
_NAMED_BY: Final = 3


def sample_prompts(
    connection: duckdb.DuckDBPyConnection, store: Store, flows: Sequence[Flow], points: int
) -> Figures:
    """Return a sample of prompts of every kind: the seed's, and those of each flow's pairs.

    There are at most ``points`` in all, the same number of each kind. A hash of the prompt's text
    decides, so that the same prompts are always shown.
    """
    sources = [_examples(connection, store, flows), "SELECT dataset AS kind, prompt FROM all_pairs"]
    return fetch(
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


def draw_map(rows: Figures) -> dict[str, Any] | None:
    """Return a map of prompts (columns ``kind`` and ``text``); None if there are too few.

    Returns:
        ``points`` (``kind``, ``text``, ``x``, ``y``) and ``clusters`` (``x``, ``y``, ``words``).
    """
    if len(rows) < FEWEST:
        return None
    places, clusters = _places([row["text"] for row in rows])
    return {
        "points": [
            {"kind": row["kind"], "text": _ends(row["text"]), "x": round(x, 2), "y": round(y, 2)}
            for row, (x, y) in zip(rows, places, strict=True)
        ],
        "clusters": clusters,
    }


def _examples(
    connection: duckdb.DuckDBPyConnection, store: Store, flows: Sequence[Flow]
) -> str | None:
    """Return a query for the examples among the flows' ancestors; None if there are none."""
    ends = [flow.judgments or flow.candidates for flow in flows]
    parts = []
    for number, parent in enumerate(Graph(store).ancestors(*ends)):
        if parent.manifest and parent.manifest.type == EXAMPLES.name:
            store.rows(parent.manifest).view(connection, f"examples_{number}")
            parts.append(f"SELECT upper(kind) AS kind, prompt FROM examples_{number}")
    return " UNION ALL ".join(parts) or None


def _places(texts: Sequence[str]) -> tuple[list[tuple[float, float]], list[dict[str, Any]]]:
    """Return a place for each text, and the clusters with their words and median places."""
    import numpy
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.manifold import TSNE

    vectorizer = TfidfVectorizer(
        token_pattern=r"(?u)\S+", ngram_range=(1, 2), max_features=20_000, sublinear_tf=True
    )
    words: Any = vectorizer.fit_transform(texts)
    dimensions = min(50, max(2, words.shape[1] - 1))
    dense = TruncatedSVD(dimensions, random_state=0).fit_transform(words)
    places = TSNE(perplexity=30, max_iter=500, random_state=0).fit_transform(dense)
    wanted = min(
        _MOST_CLUSTERS, len(texts) // _PROMPTS_A_CLUSTER + 1, len(numpy.unique(dense, axis=0))
    )
    cluster_of = KMeans(wanted, n_init=4, random_state=0).fit_predict(dense)
    terms = numpy.array(vectorizer.get_feature_names_out())
    is_word = numpy.array([" " not in term and any(map(str.isalpha, term)) for term in terms])
    everywhere = numpy.asarray(words.mean(axis=0)).ravel()
    clusters = []
    for cluster in range(wanted):
        own = cluster_of == cluster
        apart = numpy.asarray(words[own].mean(axis=0)).ravel() - everywhere
        best = [place for place in numpy.argsort(-apart) if is_word[place] and apart[place] > 0]
        x, y = numpy.median(places[own], axis=0).tolist()
        named = [terms[place].strip(".,:;!?\"'()[]") for place in best]
        clusters.append(
            {
                "x": round(x, 2),
                "y": round(y, 2),
                "words": list(dict.fromkeys(filter(None, named)))[:_NAMED_BY],
                "prompts": int(own.sum()),
            }
        )
    return places.tolist(), clusters


def _ends(text: str) -> str:
    """Return the beginning and end of a text, since all judge prompts begin with the same rules."""
    return text if len(text) <= 240 else f"{text[:100]} … {text[-140:]}"
