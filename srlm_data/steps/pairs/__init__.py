"""candidates, judgments -> pairs: the best answer against the worst one (paper, section 2.2).

The paper's rule has its own, fast implementation; every other rule is a SQL file, see
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
        description="Which answers to pair: best_worst, best_random, best_second, all_pairs, "
        "length_controlled, wrap_around, or a SQL file of your own (see docs/recipes.md).",
    )
    min_margin: float = Field(0, ge=0, description="Minimum difference of the two mean scores.")
    max_spread: float | None = Field(
        None,
        ge=0,
        description="Maximum difference among an answer's own scores; beyond it, the answer counts "
        "as unscored.",
    )
    rho: float = Field(
        0, ge=0, lt=1, description="With length_controlled: share of the range to choose from."
    )
    k: int = Field(10, ge=1, le=10**6, description="With wrap_around: maximum pairs per prompt.")
    wins_from: float | None = Field(
        None,
        description="With wrap_around: lowest score of a winner; unset: the top of the judge's "
        "scale.",
    )
    seed: int = Field(0, ge=0, description="Seed for choosing among equally good or bad answers.")

    @model_validator(mode="after")
    def _settings_of_the_rule(self) -> Self:
        for name in ("rho", "k", "wins_from"):
            if name in self.model_fields_set and not self.rule.reads(name):
                raise ValueError(f"rule '{self.rule.name}' has no setting '{name}'")
        return self

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """At most a pair for every two candidates, where a rule matches an answer once."""
        known = rows.get("candidates")
        return Expected(known // 2 if known is not None and self.rule.name in _ONCE else None)


def pair(config: Pair, candidates: Candidates, judgments: Judgments | Scores) -> Pairs:
    """Pair each prompt's best answer with its worst, or by another rule, by the mean scores.

    A judgment without a score is ignored: an answer without any parsed judgment is unscored, never
    0. A judgment that names another prompt than its candidate does not count.
    Candidates of one prompt with the same text, up to white space, are one answer, scored by the
    mean of all their judgments, so that it does not matter which copy the judge saw.
    Among equally good (or bad) answers a hash of the seed and the candidate's id chooses, so that
    neither the first sample nor the length is favored.

    Every prompt becomes a pair or is dropped under the first reason that applies:
    ``fewer_than_two_scored`` (candidates), ``identical_texts`` (all of them are equal),
    ``equal_scores``, ``margin_too_small``. The notes count ``prompts``, ``unscored_candidates`` and
    ``judgments_of_other_candidates``.

    The other rules (see :mod:`srlm_data.steps.pairs.rules`), and ``max_spread``, add the reason
    ``no_match`` and the notes ``contradicted_candidates`` and ``matches_below_margin``.
    """
    if config.rule.name == "best_worst" and config.max_spread is None:
        return pair_best_with_worst(config, candidates, judgments)
    return pair_by_rule(config, candidates, judgments)
