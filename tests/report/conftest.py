"""What the tests of pages share: a browser of the machine's, a server, and pairs to review."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import reviewing
import synthetic
from forked import Start
from srlm_data.store import Store
from synthetic import Filled

PATIENCE = 60_000
"""Milliseconds that a page is waited for: a loaded machine is slow, and not wrong."""

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """A Chromium of this machine's."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not installed: apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_context(browser: Any) -> Callable[..., Any]:
    """Open a context of the browser, in which nothing scrolls by itself."""

    def new_context(**options: Any) -> Any:
        context = browser.new_context(reduced_motion="reduce", **options)
        context.set_default_timeout(PATIENCE)
        return context

    return new_context


@pytest.fixture(scope="package")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Fill a store as `synthetic.fill` does; one that is asked for again is copied."""
    folders: dict[str, Path] = {}

    def filled(root: Path, **options: Any) -> Store:
        known = repr(options)
        if known not in folders:
            folders[known] = tmp_path_factory.mktemp("filled") / "store"
            synthetic.fill(folders[known], **options)
        shutil.copytree(folders[known], root)
        return Store(root)

    return filled


Serving = Callable[..., contextlib.AbstractContextManager[str]]


@pytest.fixture
def serving(start: Start) -> Serving:
    """Serve with the real command: ``with serving(store, "view", "one") as address``."""

    @contextlib.contextmanager
    def serving(store: Store, *words: str, ends: signal.Signals = signal.SIGTERM) -> Iterator[str]:
        with start("--store", store.root, *words, "--no-open") as server:
            while not (said := server.stdout.read_text()).endswith("\n"):
                assert server.poll() is None, server.stderr.read_text()
                time.sleep(0.02)
            yield said.split(" at ")[1].split()[0]
            server.send_signal(ends)
            assert server.wait(60) == {signal.SIGINT: 0, signal.SIGTERM: 143}[ends]
            complaints = server.stderr.read_text()
        assert "Traceback" not in complaints, complaints
        assert "Build again" not in complaints, complaints

    return serving


@pytest.fixture
def pairs(tmp_path: Path) -> Store:
    """A store of 20 pairs that tests may label."""
    store = Store(tmp_path / "store")
    reviewing.commit_pairs(store, range(20))
    return store
