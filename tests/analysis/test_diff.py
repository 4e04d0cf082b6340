"""Two versions compared: why they differ, in which rows, how far scores and judges lie apart."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import builders
import toy
from builders import answer, preferred
from checkout import Cli
from srlm_data.analysis._diff import Diff, diff
from srlm_data.analysis._distribution_diff import agreement, compare
from srlm_data.core import database, filesystem
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import JUDGMENTS, PAIRS, DatasetType
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.store import Manifest, Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The toy built three times: as it is, with more repeats, with a least margin as well."""
    folder = tmp_path_factory.mktemp("built")
    store = Store(folder / "store")
    more = ("repeats: 2", "repeats: 3")
    margin = ("judgments}", "judgments, min_margin: 2}")
    for tag, changes in (("first", ()), ("second", (more,)), ("third", (more, margin))):
        for name, made in build(load(toy.write_recipe(folder, *changes)), store).items():
            store.point(name, made.version, tag)
    return store


def compared(store: Store, before: str, after: str, samples: int = 3) -> Diff:
    return diff(store, store.resolve(before), store.resolve(after), samples=samples)


def test_a_version_does_not_differ_from_itself(store: Store) -> None:
    found = compared(store, "toy.pairs@first", "toy.pairs@first")
    assert found.equal
    assert (found.causes, found.environment, found.columns) == ([], {}, {})
    assert (found.rows.same, found.rows.changed, found.rows.removed, found.rows.added) == (
        6, 0, 0, 0,
    )  # fmt: skip
    assert found.agreement is None, "both have the same judgments"


def test_the_cause_is_the_field_that_was_changed(store: Store) -> None:
    [cause] = compared(store, "toy.pairs@second", "toy.pairs@third").causes
    assert cause.parameters == ()
    assert cause.changes == {"config.min_margin": (0.0, 2.0)}


def test_a_cause_is_followed_up_to_the_input_where_versions_part(store: Store) -> None:
    own, above = compared(store, "toy.pairs@first", "toy.pairs@third").causes
    refs = tuple(store.resolve(f"toy.judgments@{tag}").ref for tag in ("first", "third"))
    assert own.changes == {"config.min_margin": (0.0, 2.0), "inputs.judgments": refs}
    assert above.parameters == ("judgments",)
    assert (above.before, above.after) == refs
    assert above.changes == {"config.repeats": (2, 3)}


def test_rows_are_matched_by_id(store: Store) -> None:
    found = compared(store, "toy.judgments@first", "toy.judgments@second").rows
    assert (found.same, found.changed, found.removed, found.added) == (48, 0, 0, 24)
    assert [len(found.samples[what]) for what in ("removed", "added", "changed")] == [0, 3, 0]
    back = compared(store, "toy.judgments@second", "toy.judgments@first", samples=1).rows
    assert (back.same, back.removed, back.added) == (48, 24, 0)
    assert [row["repeat"] for row in back.samples["removed"]] == [2]


def commit(
    store: Store, name: str, rows: Iterable[dict[str, Any]], dataset_type: DatasetType = JUDGMENTS
) -> Manifest:
    return store.commit(
        f"toy.{name}", Rows.of(dataset_type, rows), identity={"of": name}, inputs=[]
    )


def judged(identity: str, score: float | None, candidate: str = "c") -> dict[str, Any]:
    row = {"candidate_id": candidate, "prompt_id": "p"}
    return builders.judged(row, score, judgment_id=identity, text="so")[0]


def test_a_changed_row_is_told_by_its_columns(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    before = commit(store, "old", [judged("a", 1), judged("b", 2), judged("c", 3)])
    after = commit(store, "new", [judged("a", 1), judged("b", 5), judged("c", None)])
    found = diff(store, before, after)
    assert (found.rows.same, found.rows.changed) == (1, 2)
    assert found.rows.changed_columns == {"state": 1, "score": 2}
    assert found.rows.samples["changed"] == [
        {"judgment_id": "b", "score": [2.0, 5.0]},
        {"judgment_id": "c", "state": ["parsed", "unparsed"], "score": [3.0, None]},
    ]
    assert found.states == {"parsed": (3, 2), "unparsed": (0, 1)}


def test_a_column_of_another_type_or_none_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    before = commit(store, "old", [judged("a", 1)])
    after = commit(store, "new", [judged("a", 1)])
    file = store.files(after)[0]
    with database.connect() as connection:
        connection.execute(
            f"COPY (SELECT * EXCLUDE (finish_reason, score), score::FLOAT AS score FROM '{file}') "
            f"TO '{file}.new' (FORMAT parquet)"
        )
    Path(f"{file}.new").rename(file)
    after.files[0] = after.files[0].__class__(
        **vars(after.files[0]) | {"bytes": file.stat().st_size, "sha256": filesystem.digest(file)}
    )
    found = diff(store, before, after)
    assert found.columns == {"finish_reason": ("VARCHAR", None), "score": ("DOUBLE", "FLOAT")}


def test_two_stages_cannot_be_compared(store: Store) -> None:
    with pytest.raises(DataError, match=r"toy\.pairs \(pairs\) and toy\.judgments \(judgments\)"):
        compared(store, "toy.pairs", "toy.judgments")


# Figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_statistic_is_scipys_whatever_ties_there_are(seed: int) -> None:
    random = np.random.default_rng(seed)
    before, after = random.integers(0, 6, 300), random.integers(1, 6, 500)
    with database.connect() as connection:
        connection.execute("CREATE TABLE all_scores (dataset VARCHAR, score DOUBLE)")
        for name, values in (("before", before), ("after", after)):
            scores = [[name, int(value)] for value in values]
            connection.executemany("INSERT INTO all_scores VALUES (?, ?)", [*scores, [name, None]])
        found = compare(connection, "scores", "score")
    wanted = stats.ks_2samp(before, after, method="asymp")
    assert found.statistic == pytest.approx(wanted.statistic)
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.n == (300, 500)
    assert found.mean == pytest.approx((before.mean(), after.mean()))
    assert found.median == (statistics.median_low(before), statistics.median_low(after))
    assert sum(one for one, _ in found.values.values()) == 300


def test_a_side_without_rows_has_no_statistic() -> None:
    with database.connect() as connection:
        connection.execute(
            "CREATE TABLE all_scores AS SELECT 'before' AS dataset, 1.0 AS score "
            "UNION ALL SELECT 'after', NULL"
        )
        found = compare(connection, "scores", "score")
    assert (found.n, found.statistic, found.p) == ((1, 0), None, None)
    assert found.mean == (1.0, None)


def test_judges_are_compared_on_the_answers_that_both_have_scored() -> None:
    old = {"a": [5, 3], "b": [2], "c": [1], "d": [4], "only_old": [5]}
    new = {"a": [4], "b": [3, 3], "c": [1], "d": [2, None], "only_new": [0]}
    with database.connect() as connection:
        connection.execute(
            "CREATE TABLE all_judgments "
            "(dataset VARCHAR, candidate_id VARCHAR, prompt_id VARCHAR, score DOUBLE)"
        )
        for name, scores in (("before", old), ("after", new)):
            for candidate, given in scores.items():
                for one in given:
                    row = [name, candidate, one]
                    connection.execute("INSERT INTO all_judgments VALUES (?, ?, 'p', ?)", row)
        found = agreement(connection, "judgments")
    before, after = [4, 2, 1, 4], [4, 3, 1, 2]
    assert found.answers == 4
    assert (found.equal, found.within_one) == (0.5, 0.75)
    assert found.mean_difference == -0.25
    assert found.spearman == pytest.approx(stats.spearmanr(before, after).statistic)
    assert found.ordered == 6  # a tie of the one with an order of the other is neither
    assert (found.same_order, found.opposite_order) == pytest.approx((4 / 6, 1 / 6))


def test_of_several_criteria_the_judgment_is_compared_and_not_its_parts(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    parts = [judged("p", 0) | {"criterion": "tone"}, judged("q", 1) | {"criterion": "facts"}]
    before = commit(store, "old", [judged("a", 4), *parts])
    after = commit(store, "new", [judged("a", 4)])
    found = diff(store, before, after)
    assert (found.rows.same, found.rows.removed) == (1, 2)
    assert (found.scores["score"].n, found.states) == ((1, 1), {"parsed": (1, 1)})
    assert found.agreement
    assert found.agreement.equal == 1


def test_judges_that_share_no_answer_agree_on_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    before = commit(store, "old", [judged("a", 1, "one")])
    found = diff(store, before, commit(store, "new", [judged("b", 1, "other")])).agreement
    assert found
    assert (found.answers, found.equal, found.spearman, found.same_order) == (0, None, None, None)


def test_pairs_are_compared_by_lengths_and_by_what_they_prefer(
    store: Store, tmp_path: Path
) -> None:
    def pair(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
        sides = (answer(prompt, text, candidate_id=text) for text in (chosen, rejected))
        return preferred(*sides)

    own = Store(tmp_path / "store")
    old = [pair("1", "aa", "b"), pair("2", "cc", "d"), pair("3", "ee", "f"), pair("4", "gg", "h")]
    new = [pair("1", "aa", "b"), pair("2", "cc", "x"), pair("3", "f", "ee")]
    found = diff(own, commit(own, "old", old, PAIRS), commit(own, "new", new, PAIRS))
    assert found.preferences
    assert vars(found.preferences) == {"prompts": 3, "same": 1, "same_chosen": 2, "swapped": 1}
    assert found.lengths["chosen"].mean == pytest.approx((2, 5 / 3))
    assert found.agreement is None, "nobody knows what judged these"
    judged_anew = compared(store, "toy.pairs@first", "toy.pairs@second").agreement
    assert judged_anew
    assert judged_anew.answers == 24


# The command --------------------------------------------------------------------------------


def test_the_command_tells_it_and_exits_as_it_is_told(cli: Cli, store: Store) -> None:
    place = ("--store", store.root)
    told = cli(*place, "diff", "toy.pairs@first", "toy.pairs@third")
    assert told.returncode == 0, told.stderr
    assert "config.min_margin: 0.0 -> 2.0" in told.stdout
    assert "  read judgments: toy.judgments@" in told.stdout
    assert "    config.repeats: 2 -> 3" in told.stdout
    assert "answers that both have scored" in told.stdout
    different = cli(*place, "diff", "toy.pairs@first", "toy.pairs@third", "--exit-code", "--json")
    assert different.returncode == 10
    rows = json.loads(different.stdout)["rows"]
    assert rows["same"] + rows["changed"] + rows["removed"] == store.resolve("toy.pairs@first").rows
    same = cli(*place, "diff", "toy.pairs@first", "toy.pairs@first", "--exit-code")
    assert (same.returncode, same.stderr) == (0, "")
    assert same.stdout.endswith("\nthe rows are the same\n")


def test_a_template_is_told_line_by_line(cli: Cli, project: Path) -> None:
    versions = []
    text = "Judge {prompt}\n<response>\n{response}\n</response>\nScore: <total>"
    for line in ("Be kind.", "Be strict."):
        (project / "mine.txt").write_text(f"{line}\n{text}")
        recipe = toy.write_recipe(project, ("repeats: 2", "repeats: 2, template: mine.txt"))
        made = build(load(recipe), Store(project / "store"), only=["judgments"])
        versions.append(made["toy.judgments"].ref)
    told = cli("diff", *versions).stdout
    assert "  config.template.text:\n    -Be kind.\n    +Be strict.\n" in told
