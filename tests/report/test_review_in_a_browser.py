"""A review in a browser, from the first key to the labels in the store."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import srlm_data
from browsing import opened
from srlm_data.evaluation.judge_accuracy import MeasureJudge, measure_judge
from srlm_data.store import Store
from synthetic import Filled

HOSTILE = (
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "$script ${window.pwned = 1} {{ 7 * 7 }}",
    "a\u2028b\u202etxt.exe\u202c \u0007",
    "x" * 3000,
    "```py\nprint(1)\n```\nand more",
)

pytestmark = pytest.mark.slow


@pytest.fixture
def store(filled: Filled, tmp_path: Path) -> Store:
    """60 pairs, some of them hostile."""
    return filled(tmp_path / "store", hostile=HOSTILE, unread=0)


def items_of(file: Path) -> list[dict[str, Any]]:
    match = re.search(r'id="data">(.*?)</script>', file.read_text(encoding="utf-8"), re.DOTALL)
    assert match
    items: list[dict[str, Any]] = json.loads(match[1])["items"]
    return items


def focused(page: Any, tabs: int) -> list[str]:
    """What the Tab key comes to, one after another, from the item on."""
    page.locator("#item").focus()
    names = []
    while len(names) < tabs:
        page.keyboard.press("Tab")
        here = "const here = document.activeElement;"
        name = page.evaluate(f"{{ {here} here.dataset.choice || here.id }}")
        if name:
            names.append(name)
    return names


HELD_DOWN = "document.dispatchEvent(new KeyboardEvent('keydown', {key: '1', repeat: true}))"


def test_sixty_pairs_are_reviewed_by_keyboard_and_become_labels(
    new_context: Any, store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "review.html"
    srlm_data.write_review("one.pairs", by="Reader 😀", n=60, output=file, store=store)
    keys = "12=s21" * 10
    with new_context(accept_downloads=True) as context:
        page, complaints = opened(context, file.as_uri())
        for place, key in enumerate(keys[:30]):
            assert page.locator("#place").inner_text() == f"{place + 1} of 60"
            if place == 3:
                page.keyboard.press("n")
                page.keyboard.type("1 = neither says s")  # no key acts while a note is written
                page.keyboard.press("Enter")
            page.keyboard.press(key)
        page.keyboard.press("ArrowLeft")
        assert page.locator("[aria-pressed=true]").get_attribute("data-choice") == "first"
        page.keyboard.press("=")  # another choice replaces it
        page.reload()  # nothing is lost, and it goes on where it was
        page.locator("html[data-ready=yes]").wait_for()
        assert page.locator("#place").inner_text() == "31 of 60"
        page.evaluate(HELD_DOWN)
        assert page.locator("#place").inner_text() == "31 of 60"
        for key in keys[30:]:
            page.keyboard.press(key)
        assert "All 60 are labelled" in page.locator("#end-title").inner_text()
        with page.expect_download() as download:
            page.locator("#download-end").press("Enter")
        labels = tmp_path / download.value.suggested_filename
        download.value.save_as(labels)
        assert page.locator("#command").inner_text() == (
            "srlm-data review one.pairs --import one.pairs-Reader.jsonl --by 'Reader 😀'"
        )
        assert page.evaluate("window.pwned") is None
    assert complaints == []
    manifest = srlm_data.import_labels("one.pairs", labels, by="Reader 😀", store=store)
    rows = list(store.rows(manifest).dicts())
    expected = Counter(keys[:29] + "=" + keys[30:])
    assert Counter(row["choice"] for row in rows) == {
        "first": expected["1"],
        "second": expected["2"],
        "tie": expected["="],
        "skip": expected["s"],
    }
    assert Counter(row["note"] for row in rows) == {None: 59, "1 = neither says s": 1}
    assert all(0 <= row["seconds"] < 60 for row in rows)

    measured = measure_judge(
        MeasureJudge(),
        store.version("one.candidates"),
        store.version("one.judgments"),
        store.rows(manifest),
    )
    found = {row["metric"]: row["value"] for row in measured.dicts()}
    assert found["human_kappa"] == pytest.approx(kappa_by_hand(store, rows))


def kappa_by_hand(store: Store, labels: list[dict[str, Any]]) -> float:
    """Cohen's kappa of a person and the judge, in plain arithmetic."""
    scores: dict[str, list[float]] = {}
    for row in store.version("one.judgments").dicts():
        scores.setdefault(row["candidate_id"], []).append(row["score"])
    table: Counter[tuple[str, str]] = Counter()
    for row in labels:
        first, second = (
            sum(scores[row[side]]) / len(scores[row[side]]) for side in ("first_id", "second_id")
        )
        judge = "first" if first > second else "second" if second > first else "tie"
        if row["choice"] != "skip":
            table[row["choice"], judge] += 1
    total = sum(table.values())
    observed, chance = 0.0, 0.0
    for choice in ("first", "second", "tie"):
        person = sum(count for (said, _), count in table.items() if said == choice)
        judge = sum(count for (_, said), count in table.items() if said == choice)
        observed += table[choice, choice] / total
        chance += person / total * judge / total
    return (observed - chance) / (1 - chance)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_every_text_is_text_and_fits_and_every_control_can_be_used(
    new_context: Any, store: Store, tmp_path: Path, width: int, scheme: str
) -> None:
    file = tmp_path / "review.html"
    srlm_data.write_review("one.candidates", by=HOSTILE[0][:60], n=60, output=file, store=store)
    items = items_of(file)
    with new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, accept_downloads=True
    ) as context:
        page, complaints = opened(context, file.as_uri())
        for item in items:
            assert page.locator("#first").text_content() == item["first"]
            assert page.locator("#second").text_content() == item["second"]
            assert page.evaluate("document.documentElement.scrollWidth") == width
            page.keyboard.press("1")
        for name in ("Second is better", "Tie", "Skip", "First is better"):
            page.get_by_role("button", name="Look at the answers again").click()
            page.get_by_label("Note").fill(f"clicked {name}")
            page.get_by_role("button", name=name).click()
        # Each replaced the label of the first pair, and the last of them is what counts.
        page.get_by_role("button", name="Look at the answers again").click()
        assert page.get_by_label("Note").input_value() == "clicked First is better"
        page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Previous").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download labels").click()
        assert download.value.path().read_text(encoding="utf-8").count("\n") == 60
        assert focused(page, 7) == ["first", "tie", "second", "skip", "note", "forward", "download"]
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, dark[4:-1].split(","))) < 200) == (scheme == "dark")
        assert page.evaluate("window.pwned") is None
    assert complaints == []


def test_nobody_is_kept_out_by_how_the_page_is_made(
    new_context: Any, store: Store, tmp_path: Path
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    file = tmp_path / "review.html"
    srlm_data.write_review("one.pairs", by="reader", n=3, output=file, store=store)
    for scheme in ("light", "dark"):
        with new_context(color_scheme=scheme) as context:
            page, _ = opened(context, file.as_uri())
            states = [Axe().run(page)]
            page.keyboard.press("1")
            page.keyboard.press("ArrowLeft")
            states.append(Axe().run(page))
            for _ in range(3):
                page.keyboard.press("=")
            states.append(Axe().run(page))
            assert "labelled. Thank you" in page.locator("#end-title").inner_text()
        for state in states:
            assert [found["id"] for found in state.response["violations"]] == []


def lose_labels(route: Any) -> None:
    if route.request.method == "POST":
        route.abort()
    else:
        route.continue_()


@pytest.mark.parametrize(
    ("words", "path", "ends"),
    [
        (["review", "one.pairs", "--by", "reader", "--n", "60"], "", signal.SIGINT),
        (["view", "one"], "review/one.pairs?by=reader&n=60", signal.SIGTERM),
    ],
)
def test_a_live_review_goes_into_the_store_and_ends_with_the_server(
    new_context: Any, serving: Any, store: Store, words: list[str], path: str, ends: signal.Signals
) -> None:
    with serving(store, *words, ends=ends) as address, new_context() as context:
        context.new_page().goto(address)  # its token becomes a cookie
        page, complaints = opened(context, f"{address.partition('?')[0]}{path}")
        for key in "12=s1":
            page.keyboard.press(key)
        page.get_by_text("saved", exact=True).wait_for()  # it goes with each label that is not yet
        page.route("**", lose_labels)
        page.keyboard.press("2")
        page.get_by_text("1 not saved yet").wait_for()
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        assert page.locator("#place").inner_text() == "7 of 60"
        page.get_by_text("1 not saved yet").wait_for()  # it is sent again, and again lost
        page.unroute("**")
        page.get_by_text("saved", exact=True).wait_for()
        assert "token" not in page.url
    assert store.resolve("one.pairs_labels").notes["people"] == {"reader": 6}
    assert [said for said in complaints if "ERR_FAILED" not in said] == []


def test_a_page_may_be_closed_once_its_labels_are_in_the_store(
    new_context: Any, serving: Any, store: Store
) -> None:
    with (
        serving(store, "review", "one.pairs", "--by", "reader", "--n", "1") as address,
        new_context() as context,
    ):
        page, _ = opened(context, address)
        page.route("**", lose_labels)
        page.keyboard.press("1")
        page.get_by_text("Keep this page open until they are").wait_for()
        page.unroute("**")
        page.get_by_text("This page can be closed").wait_for()
