import pytest

from srlm_data.core.errors import DataError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import METRICS
from srlm_data.evaluation._bootstrap import Estimate, metric
from srlm_data.evaluation.table import paper_table

NAMES = {"sha-sft": "SFT", "sha-1": "M1", "sha-2": "M2"}


def dataset(*rows):
    return Rows.of(METRICS, [metric(m, v, name, Estimate(*figure)) for m, v, name, figure in rows])


def test_models_stand_in_columns_in_the_order_of_their_names():
    judge = dataset(
        ("sha-2", None, "spearman", (0.331, None, None, 9)),
        ("sha-2", None, "pairwise_accuracy", (0.804, 0.78, 0.83, 9)),
        ("sha-1", None, "pairwise_accuracy", (0.787, 0.76, 0.81, 9)),
        ("sha-sft", None, "pairwise_accuracy", (None, None, None, 0)),
    )
    assert paper_table([judge], NAMES) == "\n".join([
        "                     SFT                 M1                 M2",
        "--------------------------------------------------------------",
        "pairwise accuracy %    -  78.7 [76.0, 81.0]  80.4 [78.0, 83.0]",
        "Spearman               -                  -              0.331",
    ])  # fmt: skip


def test_meetings_stand_below_one_line_each():
    shares = {"wins": 0.555, "ties": 0.328, "losses": 0.117, "win_rate": 0.719}
    met = [("sha-2", "sha-1", name, (share, None, None, 256)) for name, share in shares.items()]
    early = ("sha-1", "sha-sft", "win_rate", (0.5, 0.4, 0.6, 256))
    lines = paper_table([dataset(*met, early)], NAMES).splitlines()
    assert lines[0].split("  ")[0] == "head to head"
    assert lines[2].split()[:3] == ["M1", "v", "SFT"]
    assert lines[3].split() == ["M2", "v", "M1", "55.5", "32.8", "11.7", "71.9", "-", "-", "256"]
    assert "50.0 [40.0, 60.0]" in lines[2]


def test_a_users_own_metric_and_an_unnamed_model_are_shown_as_they_are():
    own = ("0123456789abcdef", None, "oracle_score", (3.2, None, None, 9))
    text = paper_table([dataset(own)], {})
    assert "0123456789ab\n" in text
    assert text.splitlines()[-1].split() == ["oracle_score", "3.200"]


def test_leaderboard_figures_stand_with_their_model():
    rows = dataset(
        ("sha-2", "gpt-4", "leaderboard.win_rate", (15.38, None, None, 805)),
        ("sha-2", "gpt-4", "leaderboard.n_wins", (117, None, None, 805)),
    )
    assert paper_table([rows], NAMES).splitlines()[2:] == ["AlpacaEval win %  15.38"]


def test_figures_against_two_baselines_are_two_rows_and_names_are_whole():
    name = "a-model-of-a-long-name"
    rows = dataset(
        (name, "gpt-4", "leaderboard.win_rate", (15.38, None, None, 805)),
        (name, "davinci-003", "leaderboard.win_rate", (80.5, None, None, 805)),
        (name, "gpt-4", "leaderboard.avg_length", (1500, None, None, 805)),
    )
    assert paper_table([rows], NAMES).splitlines() == [
        "                                a-model-of-a-long-name",
        "------------------------------------------------------",
        "AlpacaEval win % v davinci-003                   80.50",
        "AlpacaEval win % v gpt-4                         15.38",
        "AlpacaEval mean length                            1500",
    ]


def test_two_figures_for_one_cell_are_refused():
    one, two = (dataset(("sha-1", None, "words", (value, None, None, 4))) for value in (3, 5))
    assert paper_table([one, one], NAMES)
    with pytest.raises(DataError, match=r"'words' of 'M1' has two figures, found 3\.0 and 5\.0"):
        paper_table([one, two], NAMES)


def test_no_metrics_give_no_table():
    assert paper_table([], NAMES) == ""
