"""The live page in a browser: every row, SQL, a build that is followed, and the way to a review."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from browsing import is_narrow, opened, serious
from srlm_data.core.rows import Rows
from srlm_data.core.schema import PAIRS
from srlm_data.store import Store
from synthetic import Filled
from texts import HOSTILE

pytestmark = pytest.mark.slow


def test_the_live_page_shows_rows_answers_sql_and_leads_to_reviews(
    new_context: Any, serving: Any, filled: Filled, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    store = filled(tmp_path / "store", prompts=90, hostile=HOSTILE)
    with serving(store, "view", "one", "two") as address, new_context() as context:
        page, complaints = opened(context, address)
        assert "token" not in page.url
        assert serious(page) == []
        page.locator("#read .entry").first.click()
        page.locator(".detail .answer").first.wait_for()
        assert "pairs." in page.locator(".reader .about").inner_text()
        page.locator(".more").click()
        page.wait_for_function("() => document.querySelectorAll('.list button').length > 20")
        page.get_by_label("Search the texts").fill("it, number 41")
        expect(page.locator(".detail .prompt")).to_contain_text("number 41")
        page.locator(".close").click()
        page.locator("#read .entry:text-is('unparsed judgments')").click()
        expect(page.locator(".reader .about")).to_have_text(re.compile(r"^\d+ judgments\.$"))
        page.locator(".close").click()

        page.locator("#sql textarea").fill("SELECT 40 + 2 AS answer")
        page.get_by_role("button", name="Run").click()
        expect(page.locator(".answer-of table")).to_contain_text("42")
        page.get_by_label("one", exact=True).uncheck()
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.locator("h1")).to_have_text("two")
        assert page.evaluate("window.pwned") is None

        page.set_viewport_size({"width": 390, "height": 844})
        assert is_narrow(page)
        page.get_by_label("What is reviewed").select_option("two.candidates")
        page.get_by_label("Your name").fill("Reader & co")
        page.get_by_label("How many").fill("7")
        page.get_by_role("button", name="Review").click()
        expect(page.locator("#place")).to_have_text("1 of 7")
        expect(page.locator("#dataset")).to_have_text("two.candidates")
        expect(page.locator("#by")).to_have_text("by Reader & co")
        assert complaints == []


def test_an_open_page_follows_a_running_build(
    new_context: Any, serving: Any, filled: Filled, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    store = filled(tmp_path / "store", prompts=20)
    built = store.resolve("one.pairs")
    with serving(store, "view", "one") as address, new_context() as context:
        page, complaints = opened(context, address)
        pairs = page.locator(".node-rows[aria-label*='one.pairs']")
        expect(pairs).to_have_text(re.compile(rf"^{built.rows}\s*pairs$"))
        page.evaluate("window.stays = true")
        page.locator("#sql textarea").fill("SELECT 7")
        with store.lock(f"one.pairs.{built.version}"):
            expect(page.locator(".status")).to_have_text("one.pairs is being built")
            build(store, 7)
        expect(pairs).to_have_text(re.compile(r"^7\s*pairs$"))
        expect(page.locator(".status")).to_have_text("")

        page.locator("#read .entry").first.click()
        page.locator(".detail .answer").first.wait_for()
        build(store, 5)
        for _ in range(2):  # one may have been on its way
            page.wait_for_event("response", lambda response: "api/state" in response.url)
        expect(page.locator(".list button")).to_have_count(7)  # it is read, and stays as it is
        page.keyboard.press("Escape")
        expect(pairs).to_have_text(re.compile(r"^5\s*pairs$"))
        assert page.locator("#sql textarea").input_value() == "SELECT 7"
        assert page.evaluate("window.stays")
        assert complaints == []


def build(store: Store, count: int) -> None:
    """Make a version of ``one.pairs`` with so many of its pairs."""
    rows = list(store.version("one.pairs").dicts())[:count]
    inputs = [(name, store.resolve(f"one.{name}")) for name in ("candidates", "judgments")]
    store.commit("one.pairs", Rows.of(PAIRS, rows), identity={"pairs": count}, inputs=inputs)


def test_a_page_says_what_is_counted_until_it_is_there(
    new_context: Any, serving: Any, filled: Filled, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    store = filled(tmp_path / "store", prompts=5)
    counting = {"rows": 12_000_000, "parts": 7, "done": 2, "what": "the health of one.judgments"}
    state = {"fingerprint": "", "names": ["one"], "recipes": [], "building": [], "queries": {}}
    waiting: list[Any] = []

    def hold(route: Any) -> None:
        waiting.append(route)

    def say(route: Any) -> None:
        route.fulfill(json={**state, "counting": counting})

    with serving(store, "view", "one") as address, new_context() as context:
        context.route("**/api/summary*", hold)
        context.route("**/api/state*", say)
        page = context.new_page()
        page.goto(address)
        expect(page.locator(".status")).to_have_text(
            re.compile("^Counting 12,000,000 rows: the health of one.judgments")
        )
        assert page.locator(".status progress").evaluate("bar => bar.position") == 2 / 7
        assert page.locator("#flow").count() == 0
        context.unroute("**/api/state*")  # before the end: a route in flight fails another test
        waiting.pop().continue_()
        page.locator("#flow").wait_for()
        expect(page.locator(".status")).to_have_text("")
