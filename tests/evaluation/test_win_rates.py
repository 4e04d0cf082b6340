import pytest

from builders import checked, figures
from srlm_data.core.errors import DataError
from srlm_data.core.ids import row_id
from srlm_data.core.rows import Rows
from srlm_data.core.schema import COMPARISONS
from srlm_data.evaluation.win_rates import WinRates, win_rates


def comparison(prompt, winner, swapped=False, models=("M2", "M1"), judge="J", lengths=(10, 10)):
    return {
        "comparison_id": row_id(prompt, models, swapped, judge), "prompt_id": prompt,
        "first_id": row_id(prompt, models[0]), "second_id": row_id(prompt, models[1]),
        "first_model": models[0], "second_model": models[1], "swapped": swapped,
        "state": "parsed" if winner else "unparsed", "winner": winner, "first_length": lengths[0],
        "second_length": lengths[1], "text": "", "template": "pairwise", "model": judge,
    }  # fmt: skip


def both(prompt, forward, backward, **more):
    return [comparison(prompt, forward, **more), comparison(prompt, backward, True, **more)]


def dataset(*parts):
    return Rows.of(COMPARISONS, [row for part in parts for row in part])


def test_orders_that_disagree_are_a_tie_and_a_missing_verdict_is_neither():
    rows = win_rates(WinRates(), [dataset(
        both("won", "first", "first"), both("lost", "second", "second"),
        both("disagreed", "first", "second"), both("half", "first", "tie"),
        both("unread", "first", None), both("won too", "first", "first"),
    )])  # fmt: skip
    found = figures(rows)
    assert {name: found[name] for name in ("wins", "ties", "losses", "win_rate")} == (
        pytest.approx({"wins": 2 / 5, "ties": 2 / 5, "losses": 1 / 5, "win_rate": 3 / 5})
    )
    assert found["unjudged"] == pytest.approx(1 / 6)
    assert {(row["model"], row["versus"]) for row in checked(rows)} == {("M2", "M1")}
    assert {row["n"] for row in checked(rows)} == {5, 6}


def test_all_meetings_are_summed_up_from_all_datasets():
    rows = win_rates(WinRates(), [
        dataset(both("p", "first", "first")),
        dataset(both("p", "second", "second", models=("M3", "M2"))),
        dataset(both("q", "second", "second")),
    ])  # fmt: skip
    rates = [row for row in checked(rows) if row["metric"] == "win_rate"]
    assert {(row["model"], row["versus"]): row["value"] for row in rates} == {
        ("M2", "M1"): 0.5,
        ("M3", "M2"): 0,
    }


def test_the_interval_is_over_prompts_and_holds_the_win_rate():
    rows = win_rates(WinRates(), [dataset(*(
        both(f"p{n}", *(["first"] * 2 if n % 4 else ["second"] * 2)) for n in range(100)
    ))])  # fmt: skip
    rate = next(row for row in checked(rows) if row["metric"] == "win_rate")
    # 1.96 standard errors of a share of 0.75 among 100 are 0.085.
    assert rate["value"] == 0.75
    assert (rate["low"], rate["high"]) == pytest.approx((0.665, 0.835), abs=0.02)


def test_a_model_that_wins_by_length_alone_does_not_win_at_equal_length():
    # The longer answer wins nine times in ten, whoever wrote it; the first model's is longer in
    # three prompts of four.
    def meeting(n):
        longer, wins = n % 4 > 0, (n // 4) % 10 > 0
        lengths = (300, 100) if longer else (100, 300)
        return both(f"p{n}", *["first" if longer == wins else "second"] * 2, lengths=lengths)

    found = figures(win_rates(WinRates(), [dataset(*(meeting(n) for n in range(200)))]))
    assert found["win_rate"] == pytest.approx(0.75 * 0.9 + 0.25 * 0.1)
    assert found["win_rate_at_equal_length"] == pytest.approx(0.5, abs=0.01)


def test_nothing_judged_has_no_win_rate():
    found = figures(win_rates(WinRates(), [dataset(both("p", None, None))]))
    assert found["win_rate"] is None
    assert found["win_rate_at_equal_length"] is None
    assert found["unjudged"] == 1


def test_two_judges_of_the_same_models_are_refused():
    with pytest.raises(DataError, match="two judges compared 'M2' and 'M1'"):
        win_rates(WinRates(), [
            dataset(both("p", "first", "first")), dataset(both("q", "tie", "tie", judge="K")),
        ])  # fmt: skip


@pytest.mark.parametrize("nothing", [[], [dataset()]])
def test_nothing_to_sum_up_is_refused(nothing):
    with pytest.raises(DataError, match=r"no (dataset of )?comparisons"):
        win_rates(WinRates(), nothing)
