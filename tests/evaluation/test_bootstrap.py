import numpy as np
import pytest

from srlm_data.evaluation._bootstrap import Bootstrap, at_equal_length, mean, ratio


def test_a_ratio_is_a_ratio_of_sums_and_not_a_mean_of_ratios():
    found = ratio(Bootstrap(), [3, 0], [3, 1])
    assert (found.value, found.n) == (0.75, 4)


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation_for_many_prompts():
    values = np.random.default_rng(3).normal(2, 1, 2000)
    found = mean(Bootstrap(resamples=2000), values)
    half = 1.96 * values.std() / 2000**0.5
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=half / 10
    )


def test_prompts_are_resampled_and_not_the_pairs_within_them():
    # Ten prompts whose ten pairs agree: as a hundred free pairs the interval would be far narrower.
    whole = ratio(Bootstrap(), [10, 0] * 5, [10] * 10)
    free = ratio(Bootstrap(), [1, 0] * 50, [1] * 100)
    assert whole.value == free.value == 0.5
    assert whole.high - whole.low > 2 * (free.high - free.low)


def test_nothing_has_no_mean_and_one_prompt_has_no_interval():
    assert (mean(Bootstrap(), []).value, mean(Bootstrap(), []).n) == (None, 0)
    one = mean(Bootstrap(), [1.0])
    assert (one.value, one.low, one.high) == (1.0, None, None)
    assert ratio(Bootstrap(), [1, 0], [2, 0]).low is None
    assert mean(Bootstrap(resamples=0), [1.0, 2.0]).low is None


def test_the_seed_decides_the_interval():
    values = np.arange(50) % 7
    assert mean(Bootstrap(), values) == mean(Bootstrap(), values)
    assert mean(Bootstrap(), values) != mean(Bootstrap(seed=1), values)


def test_blocks_of_resamples_cover_every_resample(monkeypatch):
    whole = mean(Bootstrap(resamples=101), np.arange(40))
    monkeypatch.setattr("srlm_data.evaluation._bootstrap._BLOCK", 400)
    parts = mean(Bootstrap(resamples=101), np.arange(40))
    assert (parts.low, parts.high) == (whole.low, whole.high)


def test_equal_lengths_leave_the_win_rate_as_it_is():
    found = at_equal_length(Bootstrap(), [1] * 60 + [0.5] * 20 + [0] * 20, [0] * 100)
    assert found.value == pytest.approx(0.7, abs=1e-3)
    assert found.low < 0.7 < found.high


def test_length_that_decides_nothing_changes_little():
    random = np.random.default_rng(0)
    found = at_equal_length(Bootstrap(), random.random(500) < 0.7, random.normal(0, 50, 500))
    assert found.value == pytest.approx(0.7, abs=0.05)


def test_a_known_effect_of_length_is_taken_out():
    random = np.random.default_rng(1)
    apart = random.normal(80, 100, 20_000)  # the first model writes more
    chance = 1 / (1 + np.exp(-(0.4 + 1.5 * np.tanh(apart / apart.std()))))
    wins = random.random(20_000) < chance
    found = at_equal_length(Bootstrap(resamples=50), wins, apart)
    assert wins.mean() > 0.68
    assert found.value == pytest.approx(1 / (1 + np.exp(-0.4)), abs=0.015)
    assert found.low < found.value < found.high


def test_one_model_that_always_wins_gives_a_finite_figure():
    always = at_equal_length(Bootstrap(), [1] * 50, np.arange(50) - 25)
    assert 0.97 < always.value <= 1
    split = at_equal_length(Bootstrap(), [1] * 25 + [0] * 25, [9] * 25 + [-9] * 25)
    assert split.value == pytest.approx(0.5, abs=1e-6)
    assert np.isfinite([split.low, split.high]).all()


def test_there_is_no_estimate_at_equal_length_where_one_side_always_writes_more():
    found = at_equal_length(Bootstrap(), [1, 0] * 50, np.arange(100) + 1)
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 100)
