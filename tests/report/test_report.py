"""The report: what it counts, the rows behind it, and that it is one inert file."""

from __future__ import annotations

import json
import resource
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import synthetic
from checkout import Cli
from srlm_data import report
from srlm_data.analysis import figures
from srlm_data.analysis.figures import connect
from srlm_data.core import packages
from srlm_data.core.errors import MissingError, StoreError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import JUDGMENTS
from srlm_data.report import _flows, _sample
from srlm_data.report._page import page_of
from srlm_data.report._prompt_map import draw_map, sample_prompts
from srlm_data.report._rows import Selection, count_rows, find_rows
from srlm_data.report._texts import Reader, shortened
from srlm_data.report.funnel import funnel
from srlm_data.store import Store
from texts import HOSTILE


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two iterations in which models write what no page should obey."""
    return synthetic.fill(tmp_path_factory.mktemp("report") / "store", hostile=HOSTILE)


@pytest.fixture(scope="module")
def data(store: Store) -> dict[str, Any]:
    """What the page of both iterations and the metrics shows."""
    subject = _flows.subject_of(store, ["one", "two", "measured"])
    return report.offline_data(store, subject, report.health_of(store, subject), map_points=60)


def clickable(value: Any) -> list[dict[str, Any]]:
    """Everything of a summary that lists rows when it is clicked."""
    if isinstance(value, dict):
        inner = [one for part in value.values() for one in clickable(part)]
        return [value, *inner] if "select" in value else inner
    return [one for part in value for one in clickable(part)] if isinstance(value, list) else []


# what is counted ----------------------------------------------------------------------------


def test_a_flow_is_followed_from_its_pairs_back_to_the_prompts(store: Store) -> None:
    subject = _flows.subject_of(store, ["one", "measured"])
    [flow] = subject.flows
    assert [one.name for one in flow.chain] == [
        "one.prompts", "one.candidates", "one.judgments", "one.pairs",
    ]  # fmt: skip
    assert [one.name for one in subject.metrics] == ["measured.judges"]
    assert list(subject.models.values()) == ["M1", "M2", "M3"]


def test_the_page_shows_the_versions_that_the_pairs_were_made_from(store: Store) -> None:
    before = store.resolve("one.judgments")
    rows = list(store.rows(before).dicts())[:30]
    store.commit("one.judgments", Rows.of(JUDGMENTS, rows), identity={"fewer": 1}, inputs=[])
    try:
        [flow] = _flows.subject_of(store, ["one"]).flows
        assert flow.judgments.version == before.version
        [other] = _flows.subject_of(store, [f"one.judgments@{before.version[:6]}"]).flows
        assert (other.judgments.version, other.pairs) == (before.version, None)
    finally:
        store.point("one.judgments", before.version)


def test_metrics_alone_and_judgments_alone_are_reports_too(store: Store) -> None:
    subject = _flows.subject_of(store, ["measured"])
    metrics = report.offline_data(store, subject, {}, map_points=60)["summary"]
    assert [chart["metric"] for chart in metrics["metrics"]] == ["pairwise_accuracy", "five_best"]
    assert (metrics["flows"], metrics["charts"]) == ([], [])
    subject = _flows.subject_of(store, ["one.judgments"])
    judged = report.offline_data(store, subject, {}, map_points=0)["summary"]
    assert [chart["id"] for chart in judged["charts"]] == [
        "scores",
        "states",
        "agreement",
        "length",
    ]
    assert [figure["figure"] for figure in judged["flows"][0]["figures"]] == [
        "parse_rate",
        "modal_share",
        "agreement",
    ]


def test_the_funnel_accounts_for_every_prompt_and_every_judgment(store: Store) -> None:
    [flow] = _flows.subject_of(store, ["one"]).flows
    judgments = store.rows(flow.judgments).table().to_pylist()
    states = dict.fromkeys(("parsed", "unparsed"), 0)
    for row in judgments:
        states[row["state"]] += 1
    steps = {step.unit: step for step in funnel(flow, states)}
    assert [step.came for step in steps.values()] == [60, 240, 720, 60]
    assert (steps["answers"].fan, steps["judgments"].fan) == (4, 3)
    assert steps["judgments"].drops == {"unparsed": states["unparsed"]}
    assert states["unparsed"] > 0
    assert flow.pairs
    assert steps["pairs"].drops.items() == flow.pairs.drops.items()
    assert steps["pairs"].kept + sum(steps["pairs"].drops.values()) == 60


def test_the_figures_are_those_that_a_loop_over_the_rows_would_count(store: Store) -> None:
    subject = _flows.subject_of(store, ["one", "two"])
    with report.connected(store, subject.flows) as connection:
        found = {one["dataset"]: one for one in figures.overview(connection)}
        agreement = figures.histogram(connection, figures.APART)
        by_score = figures.ask(connection, "scores")
        shipped = {row["dataset"]: row for row in figures.ask(connection, "self_agreement")}
    rows = list(store.rows(subject.flows[0].judgments).dicts())
    scores = [row["score"] for row in rows if row["score"] is not None]
    answers: dict[str, list[float]] = {}
    for row in rows:
        if row["score"] is not None:
            answers.setdefault(row["candidate_id"], []).append(row["score"])
    repeated = [each for each in answers.values() if len(each) > 1]
    modal = max(scores.count(score) for score in set(scores))
    one = found["one"]
    assert one["parsed"] == len(scores)
    assert one["parse_rate"] == pytest.approx(len(scores) / len(rows))
    assert one["mean_score"] == pytest.approx(sum(scores) / len(scores))
    assert one["modal_share"] == pytest.approx(modal / len(scores))
    assert one["agreement"] == pytest.approx(
        sum(len(set(each)) == 1 for each in repeated) / len(repeated), abs=1e-4
    )
    own = shipped["one"]["scored_twice"], shipped["one"]["all_equal"]
    assert (one["repeated"], one["agreement"]) == own
    pairs = list(store.rows(store.resolve("one.pairs")).dicts())
    longer = sum(len(p["chosen"][0]["content"]) > len(p["rejected"][0]["content"]) for p in pairs)
    assert one["longer_chosen"] == pytest.approx(longer / len(pairs), abs=1e-4)
    for table in (agreement, by_score):
        shares = [row["share"] for row in table if row["dataset"] == "one"]
        assert sum(shares) == pytest.approx(1, abs=1e-3)


def test_bins_fit_means_of_three_scores_and_wide_values(store: Store) -> None:
    values = "SELECT 'one' AS dataset, unnest({}) AS value"
    with connect(store) as connection:

        def bars(numbers: list[float]) -> list[tuple[float, int]]:
            rows = figures.histogram(connection, values.format(numbers))
            assert sum(row["share"] for row in rows) == pytest.approx(1 if numbers else 0)
            return [(row["at"], row["count"]) for row in rows]

        thirds = [n / 3 for n in range(13)]
        assert bars(thirds) == [(pytest.approx(one), 1) for one in thirds]
        assert bars([0.5, 1.5, 1.5, 4.0]) == [(0.5, 1), (1.5, 2), (4.0, 1)]
        wide = figures.histogram(connection, values.format([n**1.7 for n in range(500)]))
        assert len(wide) <= 22
        assert not any(row["exact"] for row in wide)
        assert (wide[0]["low"], wide[-1]["high"]) == (None, None)  # the ends hold what is beyond
        assert bars([]) == []
        assert bars([7.3]) == [(pytest.approx(7.3), 1)]


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert figures.wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert figures.wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert figures.wilson(0.3, 0) == (0.0, 1.0)


def test_four_figures_have_a_verdict_and_their_change_since_the_iteration_before(
    data: dict[str, Any],
) -> None:
    one, two = (flow["figures"] for flow in data["summary"]["flows"])
    assert [figure["figure"] for figure in one] == [
        "paired",
        "parse_rate",
        "modal_share",
        "longer_chosen",
    ]
    assert {figure["verdict"] for figure in one} <= {"fine", "look"}
    assert one[1]["verdict"] == "look"  # a tenth is unread
    assert all(figure["low"] <= figure["share"] <= figure["high"] for figure in one + two)
    assert [figure["before"] for figure in one] == [None] * 4
    for figure, before in zip(two, one, strict=True):
        assert figure["before"] == {"name": "one", "share": before["share"], "n": before["n"]}


# the rows behind it -------------------------------------------------------------------------


def test_every_figure_counts_the_rows_that_it_lists(store: Store, data: dict[str, Any]) -> None:
    subject = _flows.subject_of(store, ["one", "two"])
    counted = 0
    with report.connected(store, subject.flows) as connection:
        for one in clickable(data["summary"]["charts"]):
            chosen = Selection(**one["select"])
            assert count_rows(connection, chosen) == one["count"], one
            counted += 1
        for one in clickable(data["summary"]["flows"]):
            if one["select"]["table"] == "prompts" and "reason" in one:
                assert count_rows(connection, Selection(**one["select"])) == one["count"], one
                counted += 1
    assert counted > 60


def test_the_sample_has_rows_of_everything_that_can_be_clicked(data: dict[str, Any]) -> None:
    rows = data["sample"]["rows"]
    for one in clickable(data["summary"]["charts"]):
        chosen = one["select"]
        found = [
            row
            for row in rows[chosen["table"]]
            if row["dataset"] == chosen["dataset"]
            and (not chosen.get("word") or str(row[chosen["word"]]) == chosen["value"])
            and ("low" not in chosen or (row[chosen["field"]] or 0) >= chosen["low"])
            and ("high" not in chosen or (row[chosen["field"]] or 0) < chosen["high"])
        ]
        assert found, one
    refs = {node["ref"] for flow in data["summary"]["flows"] for node in flow["nodes"]}
    assert {row["dataset"] for row in rows["version"]} >= {ref for ref in refs if "prompts" in ref}


def test_pairs_are_sorted_searched_and_told_apart_by_their_judgments(store: Store) -> None:
    subject = _flows.subject_of(store, ["one"])
    with report.connected(store, subject.flows) as connection:
        reader = Reader(connection, subject.models)

        def pairs(**chosen: Any) -> list[dict[str, Any]]:
            return reader.read("pairs", find_rows(connection, Selection(**chosen)))

        for sort in ("margin", "length", "spread", "disagreement"):
            values = [row[sort] for row in pairs(sort=sort)]
            assert values == sorted(values, reverse=True), sort
        widest = pairs(sort="margin", limit=1)[0]
        assert widest["margin"] == widest["chosen"]["score"] - widest["rejected"]["score"]
        for side in ("chosen", "rejected"):
            scores = [said["score"] for said in widest[side]["judgments"] if said["score"]]
            assert sum(scores) / max(len(scores), 1) == pytest.approx(widest[side]["score"])
        least = min(s["score"] for s in widest["chosen"]["judgments"] if s["score"] is not None)
        most = max(s["score"] for s in widest["rejected"]["judgments"] if s["score"] is not None)
        assert widest["disagreement"] == most - least
        assert widest["model"] == "M1"
        for search in ("NUMBER 41", widest["id"][:9]):
            assert pairs(search=search)
        assert pairs(search="%_") == pairs(search="nowhere to be found") == []
        assert [row["id"] for row in pairs(id=widest["id"])] == [widest["id"]]


def test_a_sample_that_is_too_large_is_cut_and_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sample, "BUDGET", 60_000)
    subject = _flows.subject_of(store, ["one"])
    small = report.offline_data(store, subject, {}, map_points=0)["sample"]
    assert len(json.dumps(small["rows"])) <= 70_000
    assert small["longest"] == 250
    assert small["rows"]["pairs"]
    assert small["counts"]["pairs"] == {"one": store.resolve("one.pairs").rows}


def test_a_long_text_says_how_much_of_it_is_left_out() -> None:
    assert shortened("a" * 4000) == "a" * 4000
    assert shortened("a" * 9000).endswith("… (5,000 characters more)")


def test_the_map_names_its_clusters_and_needs_a_hundred_prompts(
    store: Store, data: dict[str, Any]
) -> None:
    assert data["map"] is None  # 60 prompts would be shown
    flows = _flows.subject_of(store, ["one", "two"]).flows
    with report.connected(store, flows) as connection:
        drawn = draw_map(sample_prompts(connection, store, flows, 200))
    assert drawn
    assert 100 <= len(drawn["points"]) <= 200
    assert {point["kind"] for point in drawn["points"]} == {"IFT", "EFT", "one", "two"}
    assert sum(cluster["prompts"] for cluster in drawn["clusters"]) == len(drawn["points"])
    assert all(cluster["words"] for cluster in drawn["clusters"])
    assert max(len(point["text"]) for point in drawn["points"]) <= 250


# one inert file -----------------------------------------------------------------------------


class Outline(HTMLParser):
    """The elements of a page, and what stands in its scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.raw.append(data)


def test_the_page_loads_nothing_and_obeys_only_its_own_script(data: dict[str, Any]) -> None:
    page = page_of("<one> & two", data)
    outline = Outline(page)
    tags = [tag for tag, _ in outline.elements]
    assert set(tags).isdisjoint({"link", "img", "iframe", "object", "embed", "base", "form"})
    assert (tags.count("script"), tags.count("style")) == (2, 1)
    for tag, attributes in outline.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        assert attributes.get("href", "#").startswith("#")  # type: ignore[union-attr]
        assert "src" not in attributes
    [policy] = [
        attributes["content"]
        for tag, attributes in outline.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "connect-src" not in policy
    assert "<title>&lt;one&gt; &amp; two</title>" in page
    [_, shown, script] = outline.raw
    assert json.loads(shown) == json.loads(json.dumps(data))
    assert not set("<>&") & set(shown)
    assert "innerHTML" not in script


def test_the_same_store_gives_the_same_page(store: Store, data: dict[str, Any]) -> None:
    subject = _flows.subject_of(store, ["one", "two", "measured"])
    again = report.offline_data(store, subject, report.health_of(store, subject), map_points=60)
    assert page_of("page", again) == page_of("page", data)


# the command --------------------------------------------------------------------------------


def test_a_report_is_written_and_what_is_not_there_is_a_sentence(
    cli: Cli, project: Path, store: Store
) -> None:
    where = ("--store", store.root)
    written = cli(*where, "report", "recipes/one.yaml", "-o", "page.html", "--map-points", "0")
    assert written.returncode == 0, written.stderr
    assert written.stdout == "wrote page.html\n"
    [warning] = written.stderr.splitlines()
    assert warning.startswith("warning: one.judgments: 11.9 %")
    assert "of the judgments have no score, most of them are 'unparsed'" in warning
    text = (project / "page.html").read_text(encoding="utf-8")
    assert "one.pairs" in text
    assert warning.split(": ")[2].split(", most")[0] in text

    absent = cli(*where, "report", "ones")
    assert absent.returncode == 4
    assert "no recipe 'ones' was built. Did you mean 'one'? It has " in absent.stderr
    assert absent.stderr.endswith(". Build it first.\n")
    empty = cli(*where, "report", "seed")
    assert empty.returncode == 4
    assert "neither judgments nor pairs nor metrics" in empty.stderr
    nowhere = cli(*where, "report", "one", "-o", "no/such/folder.html", "--map-points", "0")
    assert nowhere.returncode == 4
    assert "cannot be written" in nowhere.stderr


def test_a_full_disk_leaves_the_page_that_was_there(store: Store, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("the old page")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StoreError, match="cannot be written, found 'File too large'"):
            report.write_report("one", output=page, map_points=0, store=store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert page.read_text() == "the old page"
    assert list(tmp_path.iterdir()) == [page]


def test_without_its_package_a_report_says_how_to_get_it_or_do_without(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "is_installed", lambda package: False)
    with pytest.raises(MissingError, match=r"'sklearn' is not installed. Install.*report"):
        report.write_report("one", output=tmp_path / "page.html", store=store)
    report.write_report("one", output=tmp_path / "page.html", store=store, map_points=0)
