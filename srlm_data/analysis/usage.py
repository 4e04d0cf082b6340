"""What the rows of a store cost: by dataset, by model, and by accepted pair.

All of it is read from manifests. A pair costs what its prompts, answers and judgments cost,
whatever version or recipe they came from, and nothing of what its model cost to train.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from srlm_data.analysis._views import model_names
from srlm_data.core import database
from srlm_data.core.errors import StoreError, did_you_mean
from srlm_data.core.schema import MODELS, PAIRS
from srlm_data.engines.cache.response_cache import read_sizes
from srlm_data.engines.settings import Price
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph


@dataclass(frozen=True)
class Spending:
    """One line of the account."""

    name: str  # a version, or a model's digest
    about: str  # the dataset type of a version, or the dataset that names a model
    units: int  # the rows or pairs that the cost is divided by
    cost: Counter[str]  # the sums, with the keys of a manifest's ``cost``
    model: str | None = None  # digest of the model that was asked, where there is one
    # ancestors of the rows that are not in the store; the sums leave them out
    missing: tuple[str, ...] = ()

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens that were written a second, while the engine was waited for."""
        seconds = self.cost["seconds"]
        return self.cost["new_completion_tokens"] / seconds if seconds else None


def datasets(store: Store, recipes: Collection[str] = ()) -> list[Spending]:
    """The latest version of every dataset that asked a model, of these recipes or of all."""
    return [
        Spending(asked.ref, asked.type, asked.rows, Counter(asked.cost), _model(store, asked))
        for asked in _latest(store, recipes)
        if asked.cost
    ]


def models(lines: Iterable[Spending], store: Store) -> list[Spending]:
    """The same figures by the model that was asked."""
    sums: dict[str, Counter[str]] = {}
    rows: Counter[str] = Counter()
    for line in lines:
        if line.model:
            sums.setdefault(line.model, Counter()).update(line.cost)
            rows[line.model] += line.units
    names = model_names(store)
    return [
        Spending(model, names.get(model, "no longer in the store"), rows[model], cost, model)
        for model, cost in sums.items()
    ]


def pairs(store: Store, recipes: Collection[str] = ()) -> list[Spending]:
    """The latest pairs, with the cost of all that they were made from."""
    lines = []
    for manifest in _latest(store, recipes):
        if manifest.type == PAIRS.name:
            ancestors = list(Graph(store).ancestors(manifest, stop=MODELS))
            missing = tuple(ancestor.ref for ancestor in ancestors if not ancestor.manifest)
            whole: Counter[str] = Counter(manifest.cost)
            for ancestor in ancestors:
                whole.update(ancestor.manifest.cost if ancestor.manifest else {})
            if whole:
                line = Spending(manifest.ref, PAIRS.name, manifest.rows, whole, missing=missing)
                lines.append(line)
    return lines


def answers(store: Store) -> tuple[Spending, Spending]:
    """All answers that were ever paid for, and those of them that no row of a version came from.

    The second ones were dropped by their step, or their build did not finish, or their version is
    gone. Failed requests are in neither.
    """
    texts, numbers = ("key", "model"), ("prompt_tokens", "completion_tokens")
    schema = pa.schema(dict.fromkeys(texts, pa.string()) | dict.fromkeys(numbers, pa.int64()))
    sizes = [table.cast(schema) for table in read_sizes(store.root)]
    with database.connect() as connection:
        connection.register("paid", pa.concat_tables([schema.empty_table(), *sizes]))
        connection.execute("CREATE TABLE used (key VARCHAR)")
        for name in store.names():
            for version in store.versions(name):
                with contextlib.suppress(StoreError):  # damaged, or removed meanwhile
                    rows = store.rows(store.manifest(name, version))
                    if rows.files and "answer_key" in rows.type.schema.names:
                        rows.view(connection, "rows")
                        connection.execute("INSERT INTO used SELECT answer_key FROM rows")
                        connection.execute("DROP VIEW rows")
        sums = connection.execute("""
            SELECT model, used.key IS NULL AS unused, count(*), sum(coalesce(prompt_tokens, 0)),
                   sum(coalesce(completion_tokens, 0))
            FROM (SELECT DISTINCT ON (key) * FROM paid) AS paid
            LEFT JOIN (SELECT DISTINCT key FROM used) AS used USING (key)
            GROUP BY ALL
        """).fetchall()
    prices = _prices(store)
    every: Counter[str] = Counter()
    unused: Counter[str] = Counter()
    for model, without_row, calls, read, written in sums:
        cost: dict[str, Any] = {"calls": calls}
        cost |= {"prompt_tokens": int(read), "completion_tokens": int(written)}
        if model in prices:
            cost["money"] = prices[model].of(int(read), int(written))
        every.update(cost)
        unused.update(cost if without_row else {})
    return (
        Spending("ever spent", "", every["calls"], every),
        Spending("answers in no version", "", unused["calls"], unused),
    )


def _prices(store: Store) -> dict[str, Price]:
    """Return model digest -> the price at which it was last called."""
    latest = sorted(store.latest(), key=lambda manifest: str(manifest.provenance.get("at")))
    return {
        model: Price.model_validate(manifest.provenance["price"])
        for manifest in latest
        if "price" in manifest.provenance and (model := _model(store, manifest))
    }


def _latest(store: Store, recipes: Collection[str]) -> list[Manifest]:
    names = store.names()
    known = {name.partition(".")[0] for name in names}
    for recipe in recipes:
        if recipe not in known:
            raise StoreError(
                f"{store.root}: nothing of the recipe '{recipe}' is built."
                f"{did_you_mean(recipe, known)} 'srlm-data ls' lists the datasets."
            )
    return store.latest(name for name in names if not recipes or name.partition(".")[0] in recipes)


def _model(store: Store, manifest: Manifest) -> str | None:
    """Return the digest of the model that a version called; None if the store lacks its dataset."""
    model = Graph(store).read_as(manifest, "model")
    if model is None:
        return None
    (row,) = store.rows(model).dicts()
    return str(row["model"])
