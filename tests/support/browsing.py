"""What the tests of pages ask a browser."""

from __future__ import annotations

from typing import Any


def serious(page: Any) -> list[str]:
    """What axe finds that keeps people out."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def is_narrow(page: Any) -> bool:
    """Whether nothing reaches beyond the page's width."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def opened(context: Any, address: str) -> tuple[Any, list[str]]:
    """A page that is ready, and what it has complained of or asked elsewhere."""
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.locator("html[data-ready=yes]").wait_for()
    return page, complaints
