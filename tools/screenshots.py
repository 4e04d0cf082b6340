"""The screenshots of the docs: a report on a desktop and a phone, its reader, and a review.

    python tools/screenshots.py store iter1

Needs a store with the recipes and a Chromium of the machine's; writes into docs/.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import srlm_data

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHOTS: dict[str, tuple[str, int, int, str, str | None]] = {
    "report-light.png": ("report", 1280, 900, "light", None),
    "report-dark.png": ("report", 1280, 900, "dark", None),
    "report-pair.png": ("report", 1280, 800, "light", "#read .entry"),
    "report-phone.png": ("report", 390, 844, "dark", "#read .entry"),
    "review.png": ("review", 1280, 800, "light", None),
}
"""File -> page, width, height, scheme, and what is clicked first."""


def main() -> None:
    """Write a report of the recipes and a review of the first one's pairs, and photograph them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("recipes", nargs="+")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        pages = {name: Path(folder) / f"{name}.html" for name in ("report", "review")}
        srlm_data.write_report(*options.recipes, output=pages["report"], store=options.store)
        srlm_data.write_review(
            f"{options.recipes[0]}.pairs", by="me", output=pages["review"], store=options.store
        )
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (page, width, height, scheme, click) in SHOTS.items():
            _photograph(browser, pages[page], DOCS / name, width, height, scheme, click)
        browser.close()


def _photograph(
    browser: Any, page: Path, file: Path, width: int, height: int, scheme: str, click: str | None
) -> None:
    with browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme
    ) as context:
        tab = context.new_page()
        tab.goto(page.as_uri())
        tab.locator("html[data-ready=yes]").wait_for()
        if click:
            tab.locator(click).first.click()
            tab.wait_for_selector(".detail .answer")
            tab.evaluate("document.activeElement.blur()")
        tab.screenshot(path=file)


if __name__ == "__main__":
    main()
