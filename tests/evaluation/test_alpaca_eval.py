import json

import pytest

from evaluation_rows import checked
from srlm_data.core.errors import DataError
from srlm_data.evaluation.alpaca_eval import ReadLeaderboard, read_leaderboard

PREFERENCES = [2, 1.9, 1.5, 1.2, 1.0, None, 0, 7, float("nan")]


def write(tmp_path, preferences, **more):
    outputs = [
        {"instruction": f"i{n}", "output": "x" * (10 + n), "generator": "ours"}
        for n in range(len(preferences))
    ]
    annotations = [
        {"instruction": f"i{n}", "output_1": "b", "output_2": "x" * (10 + n), "generator_1": "base",
         "generator_2": "ours", "annotator": "judge", "preference": preference,
         "raw_completion": {"text": "M"}, **{key: values[n] for key, values in more.items()}}
        for n, preference in enumerate(preferences)
    ]  # fmt: skip
    (tmp_path / "model_outputs.json").write_text(json.dumps(outputs))
    (tmp_path / "annotations.json").write_text(json.dumps(annotations))
    return read(tmp_path)


def read(tmp_path):
    config = {"model_outputs": "model_outputs.json", "annotations": "annotations.json"}
    return read_leaderboard(ReadLeaderboard.model_validate(config, context={"base": tmp_path}))


def test_the_columns_are_those_of_the_leaderboard(tmp_path):
    rows = write(tmp_path, PREFERENCES)
    made = checked(rows)
    # Six preferences: 1, .9, .5, .2, 0, and the 0 of old files, which is a draw: .5.
    # Deviations from the mean .51667: .23361 .14694 .00028 .10028 .26694 .00028, over 5 and 6.
    assert {row["metric"].removeprefix("leaderboard."): row["value"] for row in made} == (
        pytest.approx({
            "win_rate": 100 * 3.1 / 6,
            "standard_error": 100 * (0.748333 / 5 / 6) ** 0.5,
            "n_wins": 2,
            "n_wins_base": 2,
            "n_draws": 2,
            "n_total": 6,
            "discrete_win_rate": 50,
            "avg_length": 14,
        }, abs=1e-4)
    )  # fmt: skip
    assert {(row["model"], row["versus"]) for row in made} == {("ours", "base")}
    assert rows.drops == {"no_preference": 2, "out_of_range": 1}


def test_the_mean_length_is_cut_off_and_not_rounded(tmp_path):
    made = checked(write(tmp_path, [1, 2, 2, 2]))  # lengths 10 11 12 13: 11.5
    assert [row["value"] for row in made if row["metric"] == "leaderboard.avg_length"] == [11]


def test_the_length_controlled_win_rate_is_given_where_the_file_has_it(tmp_path):
    assert not [r for r in checked(write(tmp_path, [2, 1])) if "controlled" in r["metric"]]
    made = checked(write(tmp_path, [2, 1], glm_preference=[0.9, 0.3]))
    assert [r["value"] for r in made if "controlled" in r["metric"]] == pytest.approx([60])


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("annotations.json", "[{", "annotations.json: it is not JSON"),
        ("annotations.json", "{}", "a list of objects is wanted"),
        ("annotations.json", "[]", "a list of objects is wanted"),
        ("model_outputs.json", '[{"instruction": "i0"}]', r"entry 1 has no \['output', 'gen"),
        ("model_outputs.json", '[{"instruction": "i0", "output": "x", "generator": "theirs"}]',
         "the annotations are of 'ours', the outputs of 'theirs'"),
        ("model_outputs.json", '[{"instruction": "i9", "output": "x", "generator": "ours"}]',
         "1 instructions have no output, such as 'i0'"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_of_this_form_is_refused_by_name(tmp_path, file, text, message):
    write(tmp_path, [2])
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("preference", "message"), [("2", "entry 1 has 'preference' '2'"), (None, "nothing was judged")]
)
def test_a_preference_must_be_a_number(tmp_path, preference, message):
    with pytest.raises(DataError, match=message):
        write(tmp_path, [preference])
