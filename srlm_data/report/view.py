"""The page over a store, live."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from srlm_data.core.packages import require
from srlm_data.report._flows import subject_of
from srlm_data.store import Place, open_store


def serve_view(
    *names: str,
    port: int = 0,
    announce: Callable[[str], None] = print,
    store: Place = None,
) -> None:
    """Serve the page over a store on 127.0.0.1 until Ctrl-C, as ``srlm-data view`` does.

    Args:
        names: recipes to begin with; all that have something to show where none is named.
        port: 0 takes one that is free.
        announce: called with the address, which holds a token, once it answers.
        store: the store to use.

    Raises:
        MissingError: a package of the extra ``view`` is not installed.
        ArgumentError: the port is taken.
        StoreError: the store does not have what is named.
    """
    require(("starlette", "uvicorn"), "view", "view", "write one file with 'srlm-data report'")
    from srlm_data.report._live import Live, routes_of
    from srlm_data.report._review_server import Reviews
    from srlm_data.report._server import serve

    opened = open_store(store)
    subject_of(opened, names)
    reviews = Reviews(opened)
    with contextlib.closing(Live(opened, names)) as live, contextlib.closing(reviews):
        serve([*routes_of(live), *reviews.routes], announce, port, live.stop)
