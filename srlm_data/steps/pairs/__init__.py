"""candidates, judgments -> pairs: the best answer against the worst one (paper, section 2.2).

The paper's rule has a form of its own, which is fast; every other one is a SQL file, see
:mod:`srlm_data.steps.pairs.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from pydantic import Field, model_validator

from srlm_data.core.config import Expected
from srlm_data.core.rows import Candidates, Judgments, Pairs, Scores
from srlm_data.steps.pairs._best_worst import pair_best_with_worst
from srlm_data.steps.pairs._by_rule import pair_by_rule
from srlm_data.steps.pairs.rules import Reasoning, Rule

_ONCE: Final = ("best_worst", "best_random", "best_second", "length_controlled")


class Pair(Reasoning):
    """How two answers of a prompt become a pair."""

    rule: Rule = Field(
        default="best_worst",
        validate_default=True,
        description="Which answers meet: best_worst, best_random, best_second, all_pairs, "
        "length_controlled, wrap_around, or a SQL file of your own (see docs/recipes.md).",
    )
    min_margin: float = Field(0, ge=0, description="Least difference of the two mean scores.")
    max_spread: float | None = Field(
        None,
        ge=0,
        description="Largest difference among an answer's own scores; where its judge contradicts "
        "itself more, the answer is unscored.",
    )
    rho: float = Field(
        0, ge=0, lt=1, description="With length_controlled: what is nearly best, or nearly worst."
    )
    k: int = Field(10, ge=1, le=10**6, description="With wrap_around: most pairs a prompt.")
    wins_from: float | None = Field(
        None,
        description="With wrap_around: least score of a winner; unset: the best of the judge's "
        "scale.",
    )
    seed: int = Field(0, ge=0, description="Seed of the choice among equally good or bad answers.")

    @model_validator(mode="after")
    def _settings_of_the_rule(self) -> Self:
        for name in ("rho", "k", "wins_from"):
            if name in self.model_fields_set and not self.rule.reads(name):
                raise ValueError(f"rule '{self.rule.name}' reads no '{name}'")
        return self

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """At most a pair for every two candidates, where a rule matches an answer once."""
        known = rows.get("candidates")
        return Expected(known // 2 if known is not None and self.rule.name in _ONCE else None)


def pair(config: Pair, candidates: Candidates, judgments: Judgments | Scores) -> Pairs:
    """Pair each prompt's best answer with its worst, or by another rule, by the mean scores.

    A judgment without a score counts for nothing: an answer with none that parsed is unscored,
    never 0. One that names another prompt than its candidate does is none of that candidate.
    Candidates of one prompt with the same text, but for white space, are one answer, and its score
    is the mean of all their judgments: what the judge says of a text must not hang on which copy it
    saw.
    Among equally good (or bad) answers a hash of the seed and the candidate's id chooses, so that
    neither the first sample nor the length is favoured.

    Every prompt becomes a pair or is dropped under the first reason that applies:
    ``fewer_than_two_scored`` (candidates), ``identical_texts`` (all of them say the same),
    ``equal_scores``, ``margin_too_small``. The notes count ``prompts``, ``unscored_candidates`` and
    ``judgments_of_other_candidates``.

    The other rules (see :mod:`srlm_data.steps.pairs.rules`), and ``max_spread``, add the reason
    ``no_match`` and the notes ``contradicted_candidates`` and ``matches_below_margin``.
    """
    if config.rule.name == "best_worst" and config.max_spread is None:
        return pair_best_with_worst(config, candidates, judgments)
    return pair_by_rule(config, candidates, judgments)
