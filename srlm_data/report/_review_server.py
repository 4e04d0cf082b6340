"""The routes of a live review: its page, and where labels come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from srlm_data.report._blind import Item
from srlm_data.report._label_files import Label
from srlm_data.report._labels import keep_draft, take_in_drafts
from srlm_data.report._review_page import page_of
from srlm_data.store import Manifest, Store


def routes_of(
    store: Store, reviewed: Manifest, items: Sequence[Item], by: str, seed: int
) -> list[BaseRoute]:
    """Return the routes of one person's review; a label is on the disk when it is answered."""
    shown = {(item.first_id, item.second_id) for item in items}
    labels: dict[str, Any] = {}

    async def page(_: Request) -> Response:
        return HTMLResponse(page_of(reviewed, items, by, seed, live="label", labels=labels))

    async def take(request: Request) -> Response:
        try:
            label = Label.model_validate_json(await request.body())
        except ValidationError:
            return PlainTextResponse("review: this is not a label.\n", status_code=400)
        if (label.first_id, label.second_id) not in shown:
            return PlainTextResponse("review: these answers were not shown.\n", status_code=400)
        label = label.model_copy(update={"person": by, "reviewed": reviewed.ref})
        await run_in_threadpool(keep_draft, store, reviewed, label)
        labels[f"{label.first_id} {label.second_id}"] = label.model_dump(mode="json")
        if len(labels) == len(items):
            await run_in_threadpool(take_in_drafts, store, reviewed)
        return PlainTextResponse("kept\n")

    return [Route("/", page), Route("/label", take, methods=["POST"])]
