"""The live page: every row of a store, new ones as they come, SQL, and nothing written."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from starlette.testclient import TestClient

from checkout import Cli
from srlm_data.core import packages
from srlm_data.core.errors import DataError, MissingError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import JUDGMENTS, PAIRS
from srlm_data.report import _live, _session, view
from srlm_data.report._live import Live, routes_of
from srlm_data.report._rows import find_rows
from srlm_data.report._server import create_app
from srlm_data.store import Manifest, Store
from synthetic import Filled
from texts import HOSTILE

ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def store(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filled(tmp_path_factory.mktemp("view") / "store", prompts=90, hostile=HOSTILE)


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
    asked = {"table": "judgments", "limit": 200}
    pages = [
        client.post("/api/rows", json={**asked, "offset": n}).json() for n in range(0, 2160, 200)
    ]
    assert len({row["id"] for page in pages for row in page["rows"]}) == 2160
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


def test_a_search_finds_what_stands_in_a_text_whatever_it_is(
    client: TestClient, store: Store
) -> None:
    prompts = store.resolve("one.prompts")
    answer = next(store.version("one.candidates").dicts())["candidate_id"]
    for table, search in (
        ("answers", "ONERROR='window"),
        ("answers", answer[:12]),
        ("judgments", "onerror='WINDOW"),
        ("pairs", "describe it, number 4"),
        ("version", "<SVG onload"),
    ):
        dataset = prompts.ref if table == "version" else "one"
        asked = {"table": table, "dataset": dataset, "search": search, "limit": 5}
        found = client.post("/api/rows", json=asked).json()
        assert found["total"] >= len(found["rows"]) > 0, asked
        assert all(search.lower() in json.dumps(row).lower() for row in found["rows"]), asked
        nothing = client.post("/api/rows", json=asked | {"search": f"{search} %"}).json()
        assert nothing == {"rows": [], "total": 0}


def test_a_search_that_nobody_waits_for_is_stopped(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = threading.Event()

    def find_slowly(connection: Any, selection: Any) -> Any:
        if selection.search:
            began.set()
            connection.execute("SELECT sum(n % 7) FROM range(1000000000000) AS t(n)").fetchall()
        return find_rows(connection, selection)

    monkeypatch.setattr(_session, "find_rows", find_slowly)
    asked = {"table": "answers", "dataset": "one", "search": "slow"}
    with monkeypatch.context() as context:
        context.setattr(_session, "SECONDS_OF_SEARCH", 0.3)
        stopped = client.post("/api/rows", json=asked)
    assert stopped.status_code == 400
    assert stopped.json()["error"].startswith("rows: it took longer than 30 seconds, or another")
    began.clear()
    with ThreadPoolExecutor(1) as beside:
        left = beside.submit(client.post, "/api/rows", json=asked)
        assert began.wait(60)
        assert client.post("/api/rows", json={"table": "answers"}).status_code == 200
        assert left.result().status_code == 400


def test_what_is_counted_is_said_and_kept_and_stopped(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "store", prompts=5)
    checked, go = SimpleQueue[str](), threading.Semaphore(0)

    def check(_: Store, manifest: Manifest) -> list[Any]:
        checked.put(manifest.name)
        assert go.acquire(timeout=60)
        return []

    monkeypatch.setattr(_live, "check_health", check)
    live = Live(store)
    assert live.state([])["counting"] is None
    with ThreadPoolExecutor(1) as beside:
        counted = beside.submit(live.summary, ["one"])
        assert checked.get(timeout=60) == "one.prompts"
        assert live.state([])["counting"] == {
            "rows": sum(store.resolve(f"one.{name}").rows for name in DATASETS),
            "parts": 7,
            "done": 2,
            "what": "the health of one.prompts",
        }
        go.release(4)
        before = counted.result(timeout=60)
        assert [checked.get() for _ in range(3)] == [f"one.{name}" for name in DATASETS[1:]]

        judgments = store.resolve("one.judgments")
        inputs = [("candidates", store.resolve("one.candidates")), ("judgments", judgments)]
        pairs = list(store.version("one.pairs").dicts())[:1]
        store.commit("one.pairs", Rows.of(PAIRS, pairs), identity={"fewer": 1}, inputs=inputs)
        recounted = beside.submit(live.summary, ["one"])
        assert checked.get(timeout=60) == "one.pairs"  # the others' versions are the same
        asked = {"table": "pairs", "dataset": "one"}
        assert live.rows(["one"], asked)["total"] == before["counts"]["pairs"]["one"] > 1
        live.stop()
        go.release()
        with pytest.raises(DataError, match="the server has ended"):
            recounted.result(timeout=60)
    assert checked.empty()


DATASETS = ("prompts", "candidates", "judgments", "pairs")


def test_sql_reads_and_does_nothing_else(client: TestClient) -> None:
    def ask(query: str) -> Any:
        return client.post("/api/sql", json={"query": query}).json()

    counted = ask("SELECT state, count(*) AS n FROM one.judgments GROUP BY ALL ORDER BY n DESC")
    assert counted["columns"] == ["state", "n"]
    assert counted["rows"][0][0] == "parsed"
    assert ask("FROM all_judgments")["more"] is True
    assert ask("SELECT 'nan'::DOUBLE, 2::HUGEINT ** 60, [1]")["rows"][0][0] == "nan"
    assert ask("SELECT said(prompt) FROM one.pairs LIMIT 1")["rows"][0][0].startswith("user: ")
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
    with pytest.raises(
        MissingError, match=r"'starlette' is not installed. Install it with: .*view"
    ) as error:
        view.serve_view(store=store)
    assert error.value.exit_code == 8
    absent = cli("--store", store.root, "view", "ones", "--no-open")
    assert absent.returncode == 4
    assert "Did you mean 'one'?" in absent.stderr
