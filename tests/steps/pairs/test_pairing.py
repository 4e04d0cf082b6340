"""Pairing rules: each does what its first line says, and every prompt is still accounted for."""

import random

import pytest
from pydantic import ValidationError

from builders import judged_answers
from checkout import Cli, Path
from srlm_data.core.errors import DataError
from srlm_data.steps.pairs import Pair, pair, pair_by_rule, rules

CHANCE = random.Random(7)
MANY = {
    f"p{number}": [
        [CHANCE.choice([None, 0, 1, 2, 3, 4, 5]) for _ in range(3)] for _ in range(5)
    ]
    for number in range(200)
}  # fmt: skip


def ids(scores, texts=None, **config):
    """The matches of a rule, as ``chosen>rejected``."""
    rows = pair(Pair(**config), *judged_answers(scores, texts))
    return sorted(f"{row['chosen_id']}>{row['rejected_id']}" for row in rows.dicts())


def means(scores):
    found = {}
    for prompt, answers in scores.items():
        for sample, given in enumerate(answers):
            if parsed := [score for score in given if score is not None]:
                found[f"{prompt}{sample}"] = sum(parsed) / len(parsed)
    return found


def test_the_file_of_the_papers_rule_gives_the_rows_of_the_step():
    given = judged_answers(MANY)
    config = Pair(min_margin=1, seed=3)
    by_file, step = pair_by_rule(config, *given), pair(config, *given)
    assert by_file.table() == step.table()
    assert by_file.drops == step.drops
    assert by_file.notes.items() >= step.notes.items()


@pytest.mark.parametrize("rule", rules.shipped())
def test_the_chosen_answer_of_every_rule_scores_higher_and_no_pair_comes_twice(rule):
    found, scores = ids(MANY, rule=rule), means(MANY)
    assert len(found) == len(set(found)) > 0
    for match in found:
        chosen, rejected = match.split(">")
        assert scores[chosen] > scores[rejected]


@pytest.mark.parametrize("rule", rules.shipped())
def test_every_prompt_is_paired_or_counted_under_one_reason_by_every_rule(rule):
    rows = pair(Pair(rule=rule, min_margin=2), *judged_answers(MANY))
    paired = {row["prompt_id"] for row in rows.dicts()}
    assert len(paired) + rows.drops.total() == rows.notes.get("prompts") == len(MANY)


def test_the_best_meets_the_next_best_and_not_its_equal():
    assert ids({"p": [[5], [5], [3], [1]]}, rule="best_second")[0].endswith(">p2")


def test_the_best_meets_any_worse_one_as_the_seed_decides():
    scores = {f"p{number}": [[5], [3], [2], [1]] for number in range(40)}
    first, second = (ids(scores, rule="best_random", seed=seed) for seed in (0, 1))
    assert {match[-1] for match in first} == {"1", "2", "3"}
    assert first == ids(scores, rule="best_random", seed=0) != second


@pytest.mark.parametrize("rule", ["best_random", "best_second"])
def test_the_best_meets_a_partner_that_passes_the_margin_where_there_is_one(rule):
    scores = {f"p{number}": [[5], [4.5], [2], [1]] for number in range(20)}
    found = ids(scores, rule=rule, min_margin=2)
    assert len(found) == 20
    assert {match[-1] for match in found} == ({"2"} if rule == "best_second" else {"2", "3"})
    rows = pair(Pair(rule=rule, min_margin=2), *judged_answers({"p": [[5], [4.5], [4]]}))
    assert rows.table().num_rows == 0
    assert rows.drops == {"margin_too_small": 1}


def test_all_pairs_are_those_a_margin_apart():
    scores = {"p": [[5], [4], [2]], "q": [[3], [3]]}
    assert ids(scores, rule="all_pairs") == ["p0>p1", "p0>p2", "p1>p2"]
    assert ids(scores, rule="all_pairs", min_margin=2) == ["p0>p2", "p1>p2"]
    rows = pair(Pair(rule="all_pairs", min_margin=2), *judged_answers(scores))
    rows.table()
    assert rows.notes["matches_below_margin"] == 1
    assert rows.drops == {"equal_scores": 1}


def test_a_walk_with_wrap_around_uses_every_winner_and_loser_and_repeats_no_pair():
    scores = {"p": [[5], [5], [0], [0], [0]]}
    assert len(ids(scores, rule="wrap_around", k=4)) == 4
    assert len(ids(scores, rule="wrap_around", k=10)) == 6  # two winners times three losers
    assert {match[:2] for match in ids(scores, rule="wrap_around", k=3)} == {"p0", "p1"}
    assert {match[-1] for match in ids(scores, rule="wrap_around", k=3)} == {"2", "3", "4"}


def test_only_winners_win_a_walk():
    scores = {"p": [[4], [3], [2]], "none": [[3], [2]]}
    assert ids(scores, rule="wrap_around", wins_from=4) == ["p0>p1", "p0>p2"]
    rows = pair(Pair(rule="wrap_around", wins_from=4), *judged_answers(scores))
    rows.table()
    assert rows.drops == {"no_match": 1}


def test_length_decides_among_the_nearly_best_and_the_nearly_worst():
    texts = {"p0": "x" * 90, "p1": "x" * 50, "p2": "x" * 10, "p3": "x" * 60, "p4": "x" * 20}
    scores = {"p": [[5], [4], [3], [1], [0]]}
    assert ids(scores, texts, rule="length_controlled") == ["p0>p4"]
    assert ids(scores, texts, rule="length_controlled", rho=0.2) == ["p1>p3"]
    assert ids(scores, texts, rule="length_controlled", rho=0.4) == ["p2>p3"]


def test_equally_good_answers_are_told_apart_by_length_at_rho_zero():
    texts = {"p0": "a long answer", "p1": "short", "p2": "bad", "p3": "bad and long"}
    assert ids({"p": [[5], [5], [1], [1]]}, texts, rule="length_controlled") == ["p1>p3"]


def test_an_answer_whose_judge_contradicts_itself_is_unscored_and_counted():
    scores = {"p": [[5, 0, 5], [4, 4, 3], [1, 1, 2]], "q": [[5, 1], [2, 2]]}
    rows = pair(Pair(max_spread=1), *judged_answers(scores))
    assert [row["chosen_id"] for row in rows.dicts()] == ["p1"]
    assert rows.notes["contradicted_candidates"] == 2
    assert rows.drops == {"fewer_than_two_scored": 1}


def test_a_setting_that_the_rule_does_not_read_is_a_mistake():
    with pytest.raises(ValidationError, match="rule 'best_second' has no setting 'rho'"):
        Pair(rule="best_second", rho=0.3)


def test_a_rule_of_ones_own_is_a_sql_file_and_its_text_its_identity(tmp_path):
    (tmp_path / "mine.sql").write_text(
        "SELECT min(candidate_id) AS chosen_id, max(candidate_id) AS rejected_id\n"
        "FROM answers GROUP BY prompt_id -- whatever they score\n"
    )

    def mine():
        return Pair.model_validate({"rule": "mine.sql"}, context={"base": tmp_path})

    rows = pair(mine(), *judged_answers({"good": [[5], [1]], "bad": [[1], [5]]}))
    assert [row["prompt_id"] for row in rows.dicts()] == ["good"]
    assert rows.drops == {"no_match": 1}
    before = mine().identity()
    (tmp_path / "mine.sql").write_text("SELECT 'a' AS chosen_id, 'b' AS rejected_id")
    assert mine().identity() != before


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("DROP TABLE answers", "must be one SELECT"),
        ("SELECT 1; SELECT 2", "must be one SELECT"),
        ("SELECT FROM", "is not SQL"),
    ],
)
def test_a_rule_that_is_no_single_select_is_a_mistake_of_the_recipe(tmp_path, text, wrong):
    (tmp_path / "bad.sql").write_text(text)
    with pytest.raises(ValidationError, match=wrong):
        Pair.model_validate({"rule": "bad.sql"}, context={"base": tmp_path})


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("SELECT candidate_id FROM answers", "expected the columns chosen_id and rejected_id"),
        ("SELECT no AS chosen_id, no AS rejected_id FROM answers", "DuckDB refuses it"),
        ("SELECT content AS chosen_id, '' AS rejected_id FROM read_text('/etc/hosts')", "refuses"),
    ],
)
def test_a_rule_sees_the_answers_and_nothing_else(tmp_path, text, wrong):
    (tmp_path / "bad.sql").write_text(text)
    config = Pair.model_validate({"rule": "bad.sql"}, context={"base": tmp_path})
    with pytest.raises(DataError, match=wrong):
        pair(config, *judged_answers({"p": [[5], [1]]})).table()


def test_a_misspelt_rule_is_told_with_the_line_before_anything_runs(cli: Cli, project: Path):
    from toy import write_recipe

    write_recipe(project, ("judgments: judgments}", "judgments: judgments, rule: best_wurst}"))
    told = cli("plan", "toy.yaml").stderr
    assert "toy.yaml:10: 'rule': no rule 'best_wurst'" in told
    assert "Did you mean 'best_worst'?" in told
