"""What a browser makes of the page: every control, width and scheme, and the keyboard alone."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import synthetic
from browsing import is_narrow, serious
from srlm_data.core.messages import user
from srlm_data.core.rows import Drops, Rows
from srlm_data.core.schema import METRICS, PROMPTS
from srlm_data.engines.failures import Failure
from srlm_data.report import write_report
from srlm_data.store import Store
from synthetic import Filled
from texts import HOSTILE

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def file(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two iterations, their metrics and a map, with texts that no page should obey."""
    folder = tmp_path_factory.mktemp("page")
    store = filled(folder / "store", prompts=90, hostile=HOSTILE)
    commit_strange_facts(store)
    write_report("one", "two", "measured", output=folder / "report.html", store=store)
    return folder / "report.html"


def commit_strange_facts(store: Store) -> None:
    """Commit metrics, failed requests and records left out with texts that no page should obey."""
    metrics = [
        {"metric_id": f"{model}/{n}", "model": model, "metric": text[:99], "value": n + m, "n": 9}
        for n, text in enumerate(HOSTILE)
        for m, model in enumerate(("seed.m1", "one.m2"))
    ]
    store.commit("measured.strange", Rows.of(METRICS, metrics), identity={"facts": 1}, inputs=[])
    rows = Rows.of(PROMPTS, [{"prompt_id": "p", "prompt": user("?"), "source": HOSTILE[0]}])
    rows.drops = Drops()
    for text in HOSTILE:
        rows.drops.add("strange", where=text[:99], record=text)
    failures = {f"kind {n}": Failure(n + 1, text[:99]) for n, text in enumerate(HOSTILE)}
    store.commit(
        "one.strange",
        rows,
        identity={"facts": 2},
        inputs=[],
        complete=lambda manifest: replace(manifest, failures=failures),
    )


@pytest.fixture
def open_page(new_context: Any, file: Path) -> Iterator[Open]:
    """Open the page; what it says to the console or asks for is an error at the end."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_page(width: int = 1280, scheme: str = "light") -> Any:
        context = new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        page.locator("html[data-ready=yes]").wait_for()
        page.locator(".map circle").first.wait_for()
        page.wait_for_function("() => !document.querySelector('.chart:not(:has(svg))')")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert set(asked) == {file.as_uri()}


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_width_and_scheme_shows_all_of_it_to_everybody(
    open_page: Open, width: int, scheme: str
) -> None:
    page = open_page(width, scheme)
    assert page.locator(".chart svg").count() >= 7
    assert is_narrow(page)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == (scheme == "dark")
    assert serious(page) == []
    page.locator("#read .entry").first.click()
    page.locator(".detail .answer").first.wait_for()
    assert is_narrow(page)
    assert serious(page) == []


@pytest.mark.slow
def test_everything_that_is_clicked_lists_its_rows(open_page: Open) -> None:
    page = open_page()
    about = page.locator(".reader .about")

    def clicked(selector: str, title: str) -> None:
        page.locator(selector).first.click()
        page.locator(".reader[open]:not([aria-busy]) .detail > *").first.wait_for()
        assert title in page.locator("#reader-title").inner_text()
        assert page.locator(".list button").count() > 0, selector
        assert page.locator(".detail .text").count() > 0, selector
        page.locator(".close").click()

    clicked("[aria-label*='one: score'][role=button]", "Which scores does it give?")
    clicked("[aria-label*='points between chosen'][role=button]", "How clear are they?")
    clicked("[aria-label*='characters by which'][role=button]", "Is chosen longer")
    clicked("[aria-label*='between the scores of one answer'][role=button]", "agree with itself")
    clicked("[aria-label*='characters: mean score'][role=button]", "longer answers")
    clicked(".states button:text('unparsed')", "unparsed")
    for node in ("one.prompts", "one.candidates", "one.judgments", "one.pairs", "one.m2"):
        clicked(f".node-rows[aria-label*='{node}']", node)
    clicked(".drops button", "unparsed")
    for figure in range(4):
        clicked(f".figure >> nth={figure}", "one: ")
    clicked("#read .entry:text-is('left out by steps')", "What steps left out")
    titled = ("tied: all scores equal", "prompts without a pair", "answers cut off")
    for entry in page.locator("#read .entry").all_inner_texts():
        if entry not in (*titled, "left out by steps"):
            clicked(f"#read .entry:text-is('{entry}')", entry)
    clicked("#versions .plain-link", "one.")
    page.locator("#read .entry:text-is('judgments')").click()
    assert re.search(
        r"^\d+ judgments of [\d,]+ in the sample that this file holds", about.inner_text()
    )


@pytest.mark.slow
def test_pairs_are_read_by_the_keyboard_alone(open_page: Open) -> None:
    from playwright.sync_api import expect

    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the data"
    while not page.evaluate("document.activeElement.matches('#read .entry')"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".detail .answer").first.wait_for()
    current = page.locator(".list [aria-current]")
    margins = []
    for key in "jjk":
        page.keyboard.press(key)
        margins.append(page.locator(".facts b").nth(1).inner_text())
        assert current.count() == 1
        assert page.evaluate("document.activeElement.hasAttribute('aria-current')")
    assert margins[0] == margins[2]
    page.keyboard.press("/")
    page.keyboard.type("number 41")
    page.wait_for_function("() => document.querySelectorAll('.list button').length <= 2")
    expect(page.locator(".detail .prompt")).to_contain_text("number 41")
    page.keyboard.press("Escape")  # empties the search, as a browser does, or closes
    page.keyboard.press("Escape")
    expect(page.locator(".reader[open]")).to_have_count(0)
    assert page.evaluate("document.activeElement.matches('#read .entry')")
    bar = page.locator(".point[tabindex='0']").first
    bar.focus()
    before = bar.get_attribute("aria-label")
    page.keyboard.press("ArrowRight")
    after = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert before != after
    assert page.locator(".note-box").inner_text() == after
    page.keyboard.press("Enter")
    page.locator(".reader[open] .detail > *").first.wait_for()


@pytest.mark.slow
def test_the_map_and_the_curves_are_reached_by_the_keyboard(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("navigation").get_by_role("link", name="The prompts").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#map"
    page.keyboard.press("Tab")
    here = "document.activeElement.getAttribute('aria-label')"
    seen = {page.evaluate(here)}
    assert page.evaluate("document.activeElement.matches('.map .spot')")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
        seen.add(page.evaluate(here))
        assert page.locator(".note-box").inner_text() == page.evaluate(here)
    assert len(seen) > 1
    assert all(re.match(r"(one|two|IFT|EFT)(, .+)?: ", label) for label in seen)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#models') !== null")
    assert "pairwise accuracy" in page.evaluate(here).lower()


@pytest.mark.slow
def test_a_pair_stands_side_by_side_with_its_differences_and_its_judgments(
    open_page: Open,
) -> None:
    page = open_page()
    page.locator("#read .entry").first.click()
    page.locator(".detail .answer").first.wait_for()
    assert page.locator(".detail .answer").count() == 2
    boxes = [page.locator(".detail .answer").nth(side).bounding_box() for side in (0, 1)]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert page.locator(".detail .judgment[open]").count() == 6
    assert re.search(r"written by M\d", page.locator(".facts").inner_text())
    assert re.search(r"by M\d", page.locator(".judgment summary").first.inner_text())
    assert page.locator(".detail mark").count() > 0
    page.get_by_label("mark the words that differ").uncheck()
    assert page.locator(".detail mark").count() == 0
    assert re.fullmatch(r"srlm-data lineage \w{12}", page.locator(".lineage code").inner_text())
    page.locator(".lineage button").click()
    page.wait_for_function(
        "() => /cop(ied|y it now)/.test(document.querySelector('.lineage button').textContent)"
    )
    first = page.locator(".list b").first.inner_text()
    page.get_by_role("button", name="highest first").click()
    page.get_by_role("button", name="lowest first").wait_for()
    assert page.locator(".list b").first.inner_text() != first
    page.get_by_label("Sort by").select_option("disagreement")
    page.get_by_label("Iteration").select_option("two")
    page.wait_for_function("() => document.querySelector('.facts .key').textContent === 'two'")


@pytest.mark.slow
def test_hostile_texts_are_shown_to_the_letter_and_do_nothing(open_page: Open) -> None:
    page = open_page()
    page.locator("#read .entry:text-is('judgments')").click()
    page.locator(".detail .answer").first.wait_for()
    page.locator(".close").click()
    page.locator("#read .entry:text-is('an even draw')").click()
    shown = ""
    for search in ("<script>", "onerror", "txt.exe", "A word of a megabyte"):
        page.locator(".reader input[type=search]").fill(search)
        page.wait_for_function(
            "text => document.querySelector('.detail').textContent.includes(text)", arg=search
        )
        shown += page.locator(".detail .prompt").inner_text()
        assert is_narrow(page)
    assert "<script>window.pwned = 1</script>" in shown
    assert "a[U+2028]b[U+2029]c[U+202E]txt.exe[U+202C] d[U+0007]e" in shown
    assert "characters more)" in shown
    page.locator(".close").click()
    for section in ("#failures", "#models"):
        text = page.locator(section).inner_text()
        assert "<script>window.pwned = 1</script>" in text
        assert "c[U+202E]txt.exe[U+202C]" in text
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img, main iframe, dialog img, dialog iframe").count() == 0


@pytest.mark.slow
def test_the_policy_stops_a_script_even_if_one_came_through(
    new_context: Any, file: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.html"
    strange = "<script>window.pwned = 1</script><img src='https://evil.example/x.png'></body>"
    broken.write_text(file.read_text("utf-8").replace("</body>", strange), encoding="utf-8")
    asked = []
    with new_context() as context:
        page = context.new_page()
        page.on("requestfinished", lambda request: asked.append(request.url))
        page.goto(broken.as_uri())
        page.locator("html[data-ready=yes]").wait_for()
        assert page.evaluate("window.pwned") is None
    assert asked == [broken.as_uri()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompts", "texts", "rows", "least"),
    [
        # As text they would be several times as large as a page may be.
        (7_200, [], 250_000, 0),
        (300, [f"{n} {'word ' * 4000}" for n in range(300)], 10_000, 5_000_000),
    ],
    ids=["a quarter of a million rows", "as large as a page may be"],
)
def test_a_page_is_small_and_opens_at_once(
    new_context: Any, tmp_path: Path, prompts: int, texts: list[str], rows: int, least: int
) -> None:
    store = synthetic.fill(tmp_path / "store", prompts=prompts, hostile=texts)
    assert sum(manifest.rows for manifest in store.latest()) > rows
    file = tmp_path / "report.html"
    write_report("one", "two", output=file, store=store)
    assert least < file.stat().st_size < 15_000_000
    with new_context() as context:
        page = context.new_page()
        began = time.perf_counter()
        page.goto(file.as_uri())
        page.locator("html[data-ready=yes]").wait_for()
        page.locator(".map circle").first.wait_for()
        assert time.perf_counter() - began < 3
        page.locator("#read .entry").first.click()
        page.locator(".detail .answer").first.wait_for()
