"""The report: what it counts, that it is one inert file, and what a browser makes of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import synthetic
from checkout import Cli
from srlm_data.analysis import figures
from srlm_data.core.rows import Rows
from srlm_data.core.schema import JUDGMENTS
from srlm_data.report import _flows, _inert, _page, _samples
from srlm_data.report._funnel import funnel
from srlm_data.store import Store

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "</script></p><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "<svg onload=window.pwned=1><style>body{display:none}</style>",
    "[click](javascript:window.pwned=1) ![x](https://evil.example/x.png) **bold**",
    "{{ 7 * 7 }} {% raw %} ${window.pwned = 1}",
    '{"expr": "window.pwned = 1", "signal": "datum.x"} datum["x"]',
    "\"><iframe src='https://evil.example'></iframe><!-- ",
    "a\u2028b\u2029c\u202etxt.exe\u202c d\u0007e",
    "&lt;b&gt; &amp; \\u003cscript\\u003e",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two iterations in which models write what no page should obey."""
    return synthetic.fill(tmp_path_factory.mktemp("report") / "store", hostile=HOSTILE)


@pytest.fixture(scope="module")
def html(store: Store) -> str:
    """The report of both iterations and the metrics."""
    names = ["one", "two", "measured"]
    return _page.page_of(store, _flows.subject_of(store, names), map_points=60)


class Outline(HTMLParser):
    """The elements of a page, and the text of all that are no scripts or styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[str] = []
        self.text = ""
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
        else:
            self.text += data


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
    metrics = _page.page_of(store, _flows.subject_of(store, ["measured"]), map_points=60)
    assert 'id="metric-0"' in metrics
    assert 'id="funnel"' not in metrics
    judged = _page.page_of(store, _flows.subject_of(store, ["one.judgments"]), map_points=0)
    assert 'id="agreement"' in judged
    assert 'id="margins"' not in judged
    assert "margin of a pair" not in judged


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
    with _page.connected(store, subject.flows) as connection:
        found = {one["dataset"]: one for one in figures.overview(connection)}
        agreement = figures.agreement(connection)
        by_score = figures.ask(connection, "scores")
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
    pairs = list(store.rows(store.resolve("one.pairs")).dicts())
    longer = sum(len(p["chosen"][0]["content"]) > len(p["rejected"][0]["content"]) for p in pairs)
    assert one["longer_chosen"] == pytest.approx(longer / len(pairs), abs=1e-4)
    for table in (agreement, by_score):
        shares = [row["share"] for row in table if row["dataset"] == "one"]
        assert sum(shares) == pytest.approx(1, abs=1e-3)


def test_pairs_to_look_at_are_the_extremes_with_every_judgment(store: Store) -> None:
    subject = _flows.subject_of(store, ["one"])
    with _page.connected(store, subject.flows) as connection:
        shown = _samples.pairs_to_look_at(connection, each=3)
    margins = sorted(row["margin"] for row in store.rows(store.resolve("one.pairs")).dicts())
    kinds = {kind: [one for one in shown if one["kind"] == kind] for kind in _samples.KINDS}
    assert {kind: len(some) for kind, some in kinds.items()} == dict.fromkeys(_samples.KINDS, 3)
    assert sorted(one["margin"] for one in kinds["best"]) == margins[-3:]
    assert sorted(one["margin"] for one in kinds["borderline"]) == margins[:3]
    assert all(len(side["judgments"]) == 3 for one in shown for side in one["answers"])


def test_a_long_text_says_how_much_of_it_is_left_out() -> None:
    assert _samples.shortened("a" * _samples.LONGEST) == "a" * _samples.LONGEST
    assert _samples.shortened("a" * 9000).endswith("… (5,000 characters more)")


# one inert file -----------------------------------------------------------------------------


def test_the_page_loads_nothing_and_obeys_only_its_own_scripts(html: str) -> None:
    outline = Outline(html)
    tags = {tag for tag, _ in outline.elements}
    assert tags.isdisjoint({"link", "img", "iframe", "object", "embed", "base", "form"})
    assert [tag for tag, _ in outline.elements].count("script") == 3
    assert [tag for tag, _ in outline.elements].count("style") == 1
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


def test_what_a_model_wrote_is_text_to_the_letter(html: str, store: Store) -> None:
    outline = Outline(html)
    shown = [text for text in HOSTILE if _inert.visible(text) in outline.text]
    rows = store.rows(store.resolve("one.pairs")).dicts()
    prompts = [row["prompt"][0]["content"] for row in rows]
    assert len(shown) >= 3
    assert set(shown) <= set(HOSTILE) & set(prompts)
    [data, library, script] = outline.raw[1:]
    panels: dict[str, Any] = json.loads(data)
    assert "<" not in data
    assert {"scores", "prompt-map", "duel"} <= {one["id"] for one in panels["panels"]}
    assert not any(text in library + script for text in HOSTILE)


def test_orders_that_nobody_sees_are_spelt_out() -> None:
    assert (
        _inert.visible("a\u202eb\u2066c\u2028d\x07\n\te")
        == "a[U+202E]b[U+2066]c[U+2028]d[U+0007]\n\te"
    )
    assert _inert.visible("שלום 👩‍👩‍👧 é") == "שלום 👩‍👩‍👧 é"


def test_the_same_store_gives_the_same_page(html: str, store: Store) -> None:
    subject = _flows.subject_of(store, ["one", "two", "measured"])
    assert _page.page_of(store, subject, map_points=60) == html


# the command --------------------------------------------------------------------------------


def test_a_report_is_written_and_what_is_not_there_is_a_sentence(
    cli: Cli, project: Path, store: Store
) -> None:
    where = ("--store", store.root)
    written = cli(*where, "report", "one", "-o", "page.html", "--map-points", "0")
    assert written.returncode == 0, written.stderr
    assert written.stdout == "wrote page.html\n"
    [warning] = written.stderr.splitlines()
    assert warning.startswith("warning: one.judgments: 11.9 %")
    assert "of the judgments have no score, most of them are 'unparsed'" in warning
    text = (project / "page.html").read_text(encoding="utf-8")
    assert "one.pairs" in text
    assert warning.split(": ")[2].split(", most")[0] in text
    assert 'id="prompt-map"' not in text

    absent = cli(*where, "report", "ones")
    assert absent.returncode == 4
    assert "no recipe 'ones' was built. Did you mean 'one'?" in absent.stderr
    empty = cli(*where, "report", "seed")
    assert empty.returncode == 4
    assert "neither judgments nor pairs nor metrics" in empty.stderr
    nowhere = cli(*where, "report", "one", "-o", "no/such/folder.html", "--map-points", "0")
    assert nowhere.returncode == 3
    assert "cannot be written" in nowhere.stderr


def test_without_its_packages_a_report_says_how_to_get_them(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from srlm_data import report
    from srlm_data.core.errors import MissingError

    monkeypatch.setattr(report, "_NEEDED", {"no_such_module": "no-such-package"})
    with pytest.raises(MissingError, match=r"'no-such-package' is not installed. Run: pip install"):
        report.write_report("one", output=tmp_path / "page.html", store=store)


# in a browser -------------------------------------------------------------------------------

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium of this machine's."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_a_browser_draws_everything_within_its_width_and_asks_nobody(
    browser: Any, html: str, tmp_path: Path, width: int, scheme: str
) -> None:
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    said, asked = [], []
    with browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme
    ) as context:
        shown = context.new_page()
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(file.as_uri())
        shown.wait_for_function("document.documentElement.dataset.ready === 'yes'")

        charts = shown.locator(".chart")
        assert charts.count() >= 6
        assert shown.locator(".chart:not([data-drawn])").count() == 0
        assert shown.locator(".chart:has(svg path[aria-label])").count() == charts.count()
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        assert shown.evaluate(_CUT_OFF) == []
        dark = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")

        shown.get_by_role("button", name="borderline").click()
        kinds = shown.evaluate(
            "[...document.querySelectorAll('[data-card]:not([hidden])')].map(c => c.dataset.kind)"
        )
        assert set(kinds) == {"borderline"}
        shown.locator("#prompt-map path[aria-label]").first.hover(force=True)
        shown.wait_for_selector("#vg-tooltip-element.visible")
        assert shown.evaluate("window.pwned") is None
    assert said == []
    assert asked == [file.as_uri()]


# Texts of charts that reach beyond the page: a legend too wide for it, say.
_CUT_OFF = """
    [...document.querySelectorAll(".chart text")]
        .filter(text => text.getBoundingClientRect().right > innerWidth
            || text.getBoundingClientRect().left < 0)
        .map(text => text.textContent)
"""


@pytest.mark.slow
def test_the_policy_stops_a_script_even_if_one_came_through(
    browser: Any, html: str, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    broken = "<script>window.pwned = 1</script><img src='https://evil.example/x.png'></body>"
    file.write_text(html.replace("</body>", broken), encoding="utf-8")
    asked = []
    with browser.new_context() as context:
        shown = context.new_page()
        shown.on("requestfinished", lambda request: asked.append(request.url))
        shown.goto(file.as_uri())
        shown.wait_for_function("document.documentElement.dataset.ready === 'yes'")
        assert shown.evaluate("window.pwned") is None
    assert asked == [file.as_uri()]
