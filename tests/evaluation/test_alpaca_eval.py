import json

import numpy as np
import pytest

from builders import checked
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


def read(tmp_path, **files):
    config = {"model_outputs": "model_outputs.json", "annotations": "annotations.json", **files}
    return read_leaderboard(ReadLeaderboard.model_validate(config, context={"base": tmp_path}))


def change(file, number, key, value):
    records = json.loads(file.read_text())
    records[number][key] = value
    file.write_text(json.dumps(records))


def annotate(tmp_path, number, key, value):
    change(tmp_path / "annotations.json", number, key, value)


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
        ("annotations.json", "{}", "expected a list of objects"),
        ("annotations.json", "[]", "expected a list of objects"),
        ("model_outputs.json", '[{"instruction": "i0"}]', "entry 1 has 'output': Field required"),
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


def test_an_output_that_is_missing_because_it_was_empty_counts_as_no_characters(tmp_path):
    write(tmp_path, [2, 1])
    file = tmp_path / "model_outputs.json"
    file.write_text(json.dumps(json.loads(file.read_text())[1:]))  # i0 is gone: 10 characters
    with pytest.raises(DataError, match="1 instructions have no output, such as 'i0'"):
        read(tmp_path)
    for empty in ("", None):
        annotate(tmp_path, 0, "output_2", empty)
        made = {row["metric"]: row["value"] for row in checked(read(tmp_path))}
        assert made["leaderboard.avg_length"] == 5  # 0 and 11
        assert made["leaderboard.n_total"] == 2


@pytest.mark.parametrize("value", [None, 7, ["x"], {"text": "x"}])
@pytest.mark.parametrize("key", ["output", "instruction", "generator"])
def test_an_output_that_is_no_text_is_named(tmp_path, key, value):
    write(tmp_path, [2, 1])
    change(tmp_path / "model_outputs.json", 1, key, value)
    with pytest.raises(
        DataError, match=rf"model_outputs.json: entry 2 has '{key}' .* valid string"
    ):
        read(tmp_path)


@pytest.mark.parametrize("key", ["instruction", "generator_1", "generator_2"])
def test_an_annotation_of_something_that_is_no_text_is_named(tmp_path, key):
    write(tmp_path, [2, 1])
    annotate(tmp_path, 0, key, ["x"])
    with pytest.raises(DataError, match=rf"annotations.json: entry 1 has '{key}'"):
        read(tmp_path)


def baselines(tmp_path, count=60):
    """The annotations of a model, and AlpacaEval's files about the baseline, for ``count``."""
    draw = np.random.default_rng(3)
    difficulties = draw.normal(0, 1, count)
    rows = ["preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline,model"]
    for bias in (-1.5, 1.5):
        shorter = draw.normal(bias, 1, count)
        chance = 1 / (1 + np.exp(1.2 * np.tanh(shorter) - 0.6 * difficulties))
        rows += [f"{p},{n},{s},{d},False,g" for n, (p, s, d) in
                 enumerate(zip(chance, shorter, difficulties, strict=True))]  # fmt: skip
    (tmp_path / "df_gamed.csv").write_text("\n".join(rows))
    longer = draw.normal(60, 40, count).astype(int)
    shorter = -longer / longer.std(ddof=1)
    chance = 1 / (1 + np.exp(1.2 * np.tanh(shorter) - 0.6 * difficulties - 0.5))
    write(tmp_path, [1 + p for p in chance])
    annotations = json.loads((tmp_path / "annotations.json").read_text())
    for row, more in zip(annotations, longer, strict=True):
        row.update(output_1="b" * 500, output_2="x" * (500 + int(more)))
    (tmp_path / "annotations.json").write_text(json.dumps(annotations))
    return 100 * (1 / (1 + np.exp(-0.6 * difficulties - 0.5))).mean()


def test_the_length_controlled_win_rate_is_computed_from_alpacaevals_files(tmp_path):
    truth = baselines(tmp_path)
    made = {
        row["metric"]: row["value"] for row in checked(read(tmp_path, baselines="df_gamed.csv"))
    }
    # The preferences are chances of a known regression, so the figure at equal length is known.
    assert made["leaderboard.length_controlled_winrate"] == pytest.approx(truth, abs=1.5)
    assert made["leaderboard.win_rate"] > truth + 8
    assert 0 < made["leaderboard.lc_standard_error"] < 5


def test_difficulties_of_a_file_of_their_own_are_used(tmp_path):
    baselines(tmp_path)
    own = "\n".join([",instruction_difficulty", *(f"{n},0.0" for n in range(60))])
    (tmp_path / "instruction_difficulty.csv").write_text(own)
    files = {"baselines": "df_gamed.csv", "difficulties": "instruction_difficulty.csv"}
    figure = "leaderboard.length_controlled_winrate"
    [even] = [row["value"] for row in checked(read(tmp_path, **files)) if row["metric"] == figure]
    [apart] = [
        row["value"]
        for row in checked(read(tmp_path, baselines="df_gamed.csv"))
        if row["metric"] == figure
    ]
    assert even != pytest.approx(apart, abs=0.1)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("df_gamed.csv", "index,preference\n0,1\n", "expected columns of numbers"),
        ("df_gamed.csv", "preference,index,std_delta_len,instruction_difficulty\n1,0,x,1\n",
         "expected columns of numbers"),
        ("df_gamed.csv", "preference,index,std_delta_len,instruction_difficulty\n1,0,1,1\n",
         "60 annotations, and difficulties of 1 instructions"),
    ],
)  # fmt: skip
def test_baselines_that_are_none_are_refused(tmp_path, file, text, message):
    baselines(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path, baselines="df_gamed.csv")
