"""Serve live reviews: their pages, and the route that receives labels."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from srlm_data.core.errors import ArgumentError
from srlm_data.report._label_files import Label
from srlm_data.report._labels import keep_draft, take_in_drafts
from srlm_data.report._review_page import Review
from srlm_data.store import Store


class Session:
    """One person's review; a label is on disk before its request is answered."""

    def __init__(self, store: Store, review: Review) -> None:
        self._store, self._review = store, review
        self._shown = {(item.first_id, item.second_id) for item in review.items}
        self._labels: dict[str, Any] = {}

    def page(self, live: str) -> Response:
        """Return the page; labels are sent to the address ``live``."""
        return HTMLResponse(self._review.page(live, self._labels))

    async def take(self, request: Request) -> Response:
        """Save the label in a request."""
        try:
            label = Label.model_validate_json(await request.body())
        except ClientDisconnect:  # the page sends the label again when it is reopened
            return PlainTextResponse("review: this label did not arrive.\n", status_code=400)
        except ValidationError:
            return PlainTextResponse("review: this is not a label.\n", status_code=400)
        if (label.first_id, label.second_id) not in self._shown:
            return PlainTextResponse("review: these answers were not shown.\n", status_code=400)
        reviewed = self._review.reviewed
        label = label.model_copy(update={"person": self._review.by, "reviewed": reviewed.ref})
        await run_in_threadpool(keep_draft, self._store, reviewed, label)
        self._labels[f"{label.first_id} {label.second_id}"] = label.model_dump(mode="json")
        if len(self._labels) == len(self._review.items):
            await run_in_threadpool(self.close)
        return PlainTextResponse("kept\n")

    def close(self) -> None:
        """Add the labels to a version."""
        take_in_drafts(self._store, self._review.reviewed)


def routes_of(session: Session) -> list[BaseRoute]:
    """Return the routes of a server with a single review."""

    async def page(_: Request) -> Response:
        return session.page("label")

    return [Route("/", page), Route("/label", session.take, methods=["POST"])]


class Reviews:
    """The reviews of a store, by address: ``/review/iter1.pairs?by=me&n=100&seed=0``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions: dict[tuple[str, str, int, int], Session] = {}

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes that open reviews and that receive their labels."""
        return [Route("/review/{ref}", self._answer, methods=["GET", "POST"])]

    async def _answer(self, request: Request) -> Response:
        session = await run_in_threadpool(self._session, request)
        if request.method == "POST":
            return await session.take(request)
        return session.page(f"{request.url.path}?{request.url.query}")

    def _session(self, request: Request) -> Session:
        asked = request.query_params
        try:
            n, seed = int(asked.get("n", 100)), int(asked.get("seed", 0))
        except ValueError:
            n = seed = -1
        if n < 1 or seed < 0:
            raise ArgumentError("review: 'n' and 'seed' are numbers. Correct the address.")
        if "by" not in asked:
            raise ArgumentError("review: no reviewer is named. Add ?by=NAME to the address.")
        key = request.path_params["ref"], asked["by"], n, seed
        if key not in self._sessions:
            self._sessions[key] = Session(self._store, Review.draw(self._store, *key))
        return self._sessions[key]

    def close(self) -> None:
        """Add the labels of all reviews to versions."""
        for session in self._sessions.values():
            session.close()
