"""Draw what a reviewer sees: two answers to a prompt, without a hint at which one the judge chose.

A hash of the seed and the ids decides which pairs are drawn, and their order: all who review a
dataset with the same seed see the same pairs, so that people can be compared. Which answer comes
first also depends on the person, so that a habit of choosing the first favours neither answer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from srlm_data.core import database
from srlm_data.core.errors import DataError
from srlm_data.core.ids import row_id
from srlm_data.core.messages import text_of
from srlm_data.core.schema import CANDIDATES, PAIRS
from srlm_data.store import Manifest, Store

Answers = frozenset[str]
"""The ids of two answers, in no order."""


@dataclass(frozen=True)
class Item:
    """Two answers as a reviewer sees them."""

    pair_id: str | None  # None if candidates are reviewed instead of pairs
    first_id: str
    second_id: str
    prompt: list[dict[str, str]]  # ``{role, text}`` of each turn
    first: str
    second: str

    @property
    def answers(self) -> Answers:
        """The ids of both answers."""
        return frozenset((self.first_id, self.second_id))


def draw_items(
    store: Store,
    reviewed: Manifest,
    n: int,
    *,
    seed: int = 0,
    by: str = "",
    labelled: Collection[Answers] = (),
) -> list[Item]:
    """Draw ``n`` pairs, or two answers to each of ``n`` prompts, without those labelled already."""
    if reviewed.type not in _DRAWN:
        raise DataError(
            f"{reviewed.ref}: pairs and candidates can be reviewed, found {reviewed.type}. "
            "Name a dataset of one of these types."
        )
    with database.connect(memory=database.LOOKING) as connection:
        store.rows(reviewed).view(connection, "reviewed")
        database.set_variables(connection, seed=str(seed), n=min(n, reviewed.rows))
        rows = connection.sql(_DRAWN[reviewed.type]).to_arrow_table().to_pylist()
    if not rows:
        raise DataError(
            f"{reviewed.ref}: there are no two answers to one prompt that differ, so there is "
            "nothing to choose from. Review another dataset."
        )
    items = [_blind(row, f"{seed}/{by}") for row in rows]
    return [item for item in items if item.answers not in labelled]


def _blind(row: dict[str, Any], key: str) -> Item:
    texts = {row["chosen_id"]: row["chosen"], row["rejected_id"]: row["rejected"]}
    first_id, second_id = sorted(texts, key=lambda answer: row_id("review", key, answer))
    prompt = [{"role": turn["role"], "text": text_of(turn)} for turn in row["prompt"]]
    first, second = _text(texts[first_id]), _text(texts[second_id])
    return Item(row["pair_id"], first_id, second_id, prompt, first, second)


def _text(answer: str | list[dict[str, Any]]) -> str:
    return answer if isinstance(answer, str) else "\n\n".join(map(text_of, answer))


_PLACE: Final = "md5(concat_ws('/', getvariable('seed'), 'review', {id}))"

_DRAWN: Final = {
    PAIRS.name: f"""
        SELECT pair_id, prompt, chosen_id, rejected_id, chosen, rejected
        FROM reviewed SEMI JOIN (
            SELECT pair_id FROM reviewed
            ORDER BY {_PLACE.format(id="pair_id")}, pair_id LIMIT getvariable('n')
        ) USING (pair_id)
        ORDER BY {_PLACE.format(id="pair_id")}, pair_id
    """,
    # Of answers that differ only in white space, one stands for all, as in the step `pair`; two of
    # the remaining answers are drawn.
    CANDIDATES.name: f"""
        WITH texts AS (
            SELECT prompt_id, min(candidate_id) AS candidate_id FROM reviewed
            GROUP BY prompt_id, md5({database.without_spaces("response")})
        ), drawn AS (
            SELECT prompt_id, list(candidate_id ORDER BY {_PLACE.format(id="candidate_id")})[:2]
                     AS ids
            FROM texts GROUP BY prompt_id HAVING count(*) > 1
            ORDER BY {_PLACE.format(id="prompt_id")}, prompt_id LIMIT getvariable('n')
        )
        SELECT NULL AS pair_id, one.prompt, ids[1] AS chosen_id, ids[2] AS rejected_id,
               one.response AS chosen, other.response AS rejected
        FROM drawn JOIN reviewed AS one ON one.candidate_id = ids[1]
          JOIN reviewed AS other ON other.candidate_id = ids[2]
        ORDER BY {_PLACE.format(id="one.prompt_id")}, one.prompt_id
    """,
}
"""Dataset type -> the query that draws from it; which answer is chosen is dropped afterwards."""
