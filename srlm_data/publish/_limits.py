"""Write the card's section on the limits of its data, with figures from the data."""

from __future__ import annotations

from collections.abc import Iterator

from srlm_data.analysis import figures
from srlm_data.core.schema import CANDIDATES, JUDGMENTS, PAIRS
from srlm_data.publish._bundle import Bundle
from srlm_data.publish._sources import table
from srlm_data.store import Store
from srlm_data.store.graph import Graph


def limits(bundle: Bundle, store: Store) -> Iterator[str]:
    """Yield the limits and biases of what is published, as lines of Markdown."""
    yield (
        "- Nobody has checked these rows for truth, harmful content or personal data: the texts "
        "were written by models and by the people of the seed."
    )
    for part in bundle.of_type(PAIRS.name):
        with figures.connect(store, pairs={part.config: part.manifest}) as connection:
            [facts] = figures.ask(connection, "lengths")
        shorter = 1 - facts["chosen_is_longer"] - facts["equally_long"]
        yield (
            f"- Length, `{part.config}`: chosen answers have {facts['mean_chosen']:,} characters "
            f"on average, rejected ones {facts['mean_rejected']:,}. The chosen one is longer in "
            f"{100 * facts['chosen_is_longer']:.1f} % of the pairs and shorter in "
            f"{100 * shorter:.1f} %. If the judge favors length, DPO learns to."
        )
    rows = []
    for part in bundle.of_type(JUDGMENTS.name):
        answers = Graph(store).read_as(part.manifest, CANDIDATES.name)
        with figures.connect(
            store,
            judgments={part.config: part.manifest},
            candidates={part.config: answers} if answers else {},
        ) as connection:
            scores = figures.ask(connection, "scores")
            states = figures.ask(connection, "states")
            judged, own = figures.own_answers(connection)
        judgments = sum(row["judgments"] for row in states)  # rows may be single criteria
        scored = sum(row["judgments"] for row in scores)
        score, share = figures.most_common_scores(scores).get(part.config, (0.0, 0.0))
        rows.append(
            (
                f"`{part.config}`",
                f"{score:g}: {100 * share:.1f} %" if scored else "none",
                _share(own, judged) if judged else "unknown",
                _share(judgments - scored, judgments),
            )
        )
    if rows:
        yield (
            "- A score that most answers get cannot rank them, and a judge may favor its own "
            "answers and miss what it does not know:\n"
        )
        yield table(
            "judgments | most frequent score: | of the judge's own answers: | without a score:",
            rows,
        )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
