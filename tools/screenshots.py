"""The screenshots of the docs: a report on a desktop and a phone, light and dark, and its reader.

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
SHOTS = {
    "report-light.png": (1280, 900, "light", None),
    "report-dark.png": (1280, 900, "dark", None),
    "report-pair.png": (1280, 800, "light", "#read .entry"),
    "report-phone.png": (390, 844, "dark", "#read .entry"),
}
"""File -> width, height, scheme, and what is clicked first."""


def main() -> None:
    """Write a report of the recipes, and photograph it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("recipes", nargs="+")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "report.html"
        srlm_data.write_report(*options.recipes, output=page, store=options.store)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, shot in SHOTS.items():
            _photograph(browser, page, DOCS / name, *shot)
        browser.close()


def _photograph(
    browser: Any, page: Path, file: Path, width: int, height: int, scheme: str, click: str | None
) -> None:
    with browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme
    ) as context:
        tab = context.new_page()
        tab.goto(page.as_uri())
        tab.wait_for_selector("#versions")
        if click:
            tab.locator(click).first.click()
            tab.wait_for_selector(".detail .answer")
            tab.evaluate("document.activeElement.blur()")
        tab.screenshot(path=file)


if __name__ == "__main__":
    main()
