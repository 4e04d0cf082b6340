"""The live page: every row of a store, new ones as they come, SQL, and nothing written."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import synthetic
from checkout import Cli
from srlm_data.core import packages
from srlm_data.core.errors import MissingError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import JUDGMENTS
from srlm_data.report import view
from srlm_data.report._live import Live, routes_of
from srlm_data.report._server import create_app, serve
from srlm_data.store import Store
from texts import HOSTILE

ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return synthetic.fill(tmp_path_factory.mktemp("view") / "store", prompts=90, hostile=HOSTILE)


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[TestClient]:
    with (
        contextlib.closing(Live(store)) as live,
        TestClient(
            create_app(routes_of(live), token="right"),
            base_url=ADDRESS,
            headers={"Origin": ADDRESS},
        ) as client,
    ):
        client.get("/?token=right")
        yield client


def files_of(store: Store) -> dict[Path, float]:
    return {file: file.stat().st_mtime for file in store.root.rglob("*") if file.is_file()}


def test_every_row_of_a_store_is_there_and_nothing_is_written(
    client: TestClient, store: Store
) -> None:
    before = files_of(store)
    summary = client.get("/api/summary").json()
    assert [flow["label"] for flow in summary["flows"]] == ["one", "two"]
    assert summary["counts"]["judgments"] == {"one": 1080, "two": 1080}
    ids = set()
    for offset in range(0, 360, 50):
        asked = {"table": "answers", "dataset": "one", "offset": offset}
        page = client.post("/api/rows", json=asked).json()
        assert page["total"] == 360
        ids |= {row["id"] for row in page["rows"]}
    assert len(ids) == 360
    version = summary["flows"][0]["nodes"][0]["ref"]
    page = client.post("/api/rows", json={"table": "version", "dataset": version}).json()
    assert (page["total"], len(page["rows"])) == (90, 50)
    assert client.get("/api/summary?name=two").json()["title"] == "two"
    assert files_of(store) == before


def test_a_long_text_is_there_as_a_whole_when_it_is_asked_for(client: TestClient) -> None:
    asked = {"table": "answers", "dataset": "one", "search": "a word of a megabyte"}
    [*_, row] = client.post("/api/rows", json=asked).json()["rows"]
    assert "characters more)" in row["prompt"][0]["text"]
    asked = {"table": "answers", "dataset": "one", "id": row["key"], "whole": True}
    [row] = client.post("/api/rows", json=asked).json()["rows"]
    assert row["prompt"][0]["text"].endswith("and its end")


def test_sql_reads_and_does_nothing_else(client: TestClient) -> None:
    def ask(query: str) -> Any:
        return client.post("/api/sql", json={"query": query}).json()

    counted = ask("SELECT state, count(*) AS n FROM one.judgments GROUP BY ALL ORDER BY n DESC")
    assert counted["columns"] == ["state", "n"]
    assert counted["rows"][0][0] == "parsed"
    assert ask("FROM all_judgments")["more"] is True
    assert ask("SELECT 'nan'::DOUBLE, 2::HUGEINT ** 60, [1]")["rows"][0][0] == "nan"
    for refused in ("COPY (SELECT 1) TO 'x.csv'", "FROM read_text('/etc/passwd')", "SELEC", ""):
        assert "error" in ask(refused), refused


def test_what_is_no_selection_is_a_sentence(client: TestClient) -> None:
    for asked in (
        {"table": "secrets"},
        {"table": "pairs", "sort": "margin; DROP TABLE x"},
        {"table": "pairs", "field": "margin", "low": "1"},
        {"limit": 100_000},
        {"offset": -1},
        {"strange": 1},
    ):
        answer = client.post("/api/rows", json=asked)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("rows: ")
    assert client.post("/api/rows", content=b"\xff").status_code == 400
    missing = client.get("/api/summary?name=ones")
    assert "Did you mean 'one'?" in missing.json()["error"]


def test_a_running_build_is_followed(client: TestClient, store: Store) -> None:
    first = client.get("/api/state").json()
    assert first["building"] == []
    assert first["recipes"] == ["measured", "one", "two"]
    before = store.resolve("one.judgments")
    lock = f"one.judgments.{before.version}"
    with store.lock(lock):
        [building] = client.get("/api/state").json()["building"]
        assert building["name"] == "one.judgments"
    rows = list(store.rows(before).dicts())[:30]
    store.commit("one.new", Rows.of(JUDGMENTS, rows), identity={"fewer": 1}, inputs=[])
    assert client.get("/api/state").json()["fingerprint"] != first["fingerprint"]


def test_without_its_packages_it_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, cli: Cli, store: Store
) -> None:
    monkeypatch.setattr(packages, "is_installed", lambda package: False)
    with pytest.raises(MissingError, match=r"'starlette' is not installed. Run: .*view") as error:
        view.serve_view(store=store)
    assert error.value.exit_code == 8
    absent = cli("--store", store.root, "view", "ones", "--no-open")
    assert absent.returncode == 4
    assert "Did you mean 'one'?" in absent.stderr


@pytest.mark.slow
def test_the_live_page_shows_rows_and_answers_sql_in_a_browser(browser: Any, store: Store) -> None:
    addresses: list[str] = []
    told = threading.Event()

    def announce(address: str) -> None:
        addresses.append(address)
        told.set()

    arguments = (routes_of(Live(store, ["one", "two"])), announce)
    threading.Thread(target=serve, args=arguments, daemon=True).start()
    assert told.wait(20)
    errors: list[str] = []
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.goto(addresses[0])
        page.wait_for_selector("#sql textarea")
        assert "token" not in page.url
        page.locator("#read .entry").first.click()
        page.wait_for_selector(".detail .answer")
        assert "pairs." in page.locator(".reader .about").inner_text()
        page.locator(".more").click()
        page.wait_for_function("() => document.querySelectorAll('.list button').length > 20")
        page.locator(".close").click()
        page.locator("#sql textarea").fill("SELECT 40 + 2 AS answer")
        page.get_by_role("button", name="Run").click()
        page.wait_for_selector(".answer-of table")
        assert "42" in page.locator(".answer-of table").inner_text()
        page.get_by_label("one", exact=True).uncheck()
        page.get_by_role("button", name="Show", exact=True).click()
        page.wait_for_selector("#sql textarea")
        assert page.locator("h1").inner_text() == "two"
        assert page.evaluate("window.pwned") is None
    assert errors == []
