"""The server: who is let in, and what it says to those who are not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from srlm_data.core.errors import StoreError
from srlm_data.report._server import create_app

ADDRESS = "http://127.0.0.1:8000"


def said(request: Request) -> JSONResponse:
    if request.method == "POST":
        raise StoreError("iter1.pairs: no such version. 'srlm-data ls' lists what there is.")
    return JSONResponse("in")


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = create_app([Route("/", said, methods=["GET", "POST"])], token="right")
    with TestClient(app, base_url=ADDRESS) as client:
        yield client


def test_only_the_token_opens_the_page_and_then_a_cookie_does(client: TestClient) -> None:
    for refused in (client.get("/"), client.get("/?token=wrong"), client.get("/?token=ä")):
        assert refused.status_code == 403
        assert "Open the address that the command printed." in refused.text
    opened = client.get("/?token=right")
    assert opened.json() == "in"
    assert "token" not in str(opened.url)  # it does not stay in the address bar
    cookie = opened.history[0].headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/").headers["cache-control"] == "no-store"


def test_other_hosts_names_and_other_pages_are_refused(client: TestClient) -> None:
    client.get("/?token=right")
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    elsewhere = client.post("/", headers={"Origin": "http://127.0.0.1:9999"})
    assert elsewhere.status_code == 403


def test_an_expected_failure_is_a_sentence(client: TestClient) -> None:
    client.get("/?token=right")
    failed = client.post("/", headers={"Origin": ADDRESS})
    assert failed.status_code == 400
    assert failed.json()["error"].startswith("iter1.pairs: no such version.")
    accept = {"Origin": ADDRESS, "Accept": "text/html,*/*"}  # a person opened it
    assert client.post("/", headers=accept).text.startswith("iter1.pairs: no such version.")
