"""Variants as lines of a recipe, built by the real command in one go."""

from __future__ import annotations

import json
from pathlib import Path

from checkout import Cli
from toy import asked, write_recipe

VARIANTS = """\
  other: {step: 'toy:toy_model', weights: m2}

  # An outside judge beside the model's own.
  outside: {step: judge, candidates: candidates, model: other, repeats: 2}
  both:
    step: sql
    inputs: {own: judgments, outside: outside}
    query: FROM own UNION ALL FROM outside
  beside: {step: pair, candidates: candidates, judgments: both}

  # A past model's answers as the rejected side.
  past: {step: generate, prompts: prompts, model: other, n: 2, seed: 9}
  past_judgments: {step: judge, candidates: past, model: model, repeats: 2}
  temporal:
    step: pair_across
    chosen: candidates
    rejected: past
    chosen_judgments: judgments
    rejected_judgments: past_judgments

  # Answers compared in both orders, and their win probabilities.
  comparisons: {step: compare_all, candidates: candidates, model: model}
  wins: {step: rate, candidates: candidates, comparisons: comparisons}
  by_wins: {step: pair, candidates: candidates, judgments: wins, rule: best_second}

  # Judgments that are judged.
  disputed: {step: select_uncertain, candidates: candidates, judgments: judgments}
  meta: {step: compare_all, candidates: disputed, model: model, template: meta_judge}
  ratings: {step: rate, candidates: disputed, comparisons: meta, by: elo}
  judge_pairs: {step: pair, candidates: disputed, judgments: ratings}
"""
RULES = """\
  one: {step: pair, candidates: candidates, judgments: judgments, rule: best_random}
  two: {step: pair, candidates: candidates, judgments: judgments, rule: wrap_around, wins_from: 3}
  three: {step: pair, candidates: candidates, judgments: judgments, rule: all_pairs}
"""


def query(cli: Cli, sql: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in cli("sql", "--format", "json", sql).stdout.splitlines()]


def test_variants_are_some_lines_of_a_recipe_and_rules_ask_no_model(
    cli: Cli, project: Path
) -> None:
    file = write_recipe(project)
    file.write_text(file.read_text() + VARIANTS)
    built = cli("build", "toy.yaml")
    assert built.returncode == 0, built.stderr
    counts = "SELECT dataset, count(*) AS n FROM all_pairs GROUP BY dataset"
    found = {row["dataset"] for row in query(cli, counts)}
    names = ("pairs", "beside", "temporal", "by_wins", "judge_pairs")
    assert found == {f"toy.{name}" for name in names}

    # Beside: both judges' rows are there, and the mean is over all of them.
    [row] = query(
        cli,
        """
        SELECT min(judges) AS judges, min(n) AS n, bool_and(abs(chosen_score - mean) < 1e-9) AS same
        FROM toy.beside JOIN (
            SELECT candidate_id, count(DISTINCT model) AS judges, count(*) AS n, avg(score) AS mean
            FROM toy.both GROUP BY candidate_id
        ) ON candidate_id = chosen_id
        """,
    )
    assert row == {"judges": 2, "n": 4, "same": True}

    # Temporal: today's model on one side, the past one on the other.
    sides = """
        SELECT DISTINCT good.model AS chosen, bad.model AS rejected FROM toy.temporal
        JOIN toy.candidates AS good ON good.candidate_id = chosen_id
        JOIN toy.past AS bad ON bad.candidate_id = rejected_id
    """
    assert query(cli, sides) == [{"chosen": "m1", "rejected": "m2"}]

    before = len(asked(project))
    file.write_text(file.read_text() + RULES)
    assert cli("build", "toy.yaml").returncode == 0
    assert len(asked(project)) == before
