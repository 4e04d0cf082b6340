"""What a judge says of a few candidates, and what is read of it, before many are paid for.

The requests are the build's own, with its seeds, and their answers are kept in the response cache:
the build does not ask them again. What the judge reads is taken from the store where it is built;
what is not there is made for a few prompts, as ``build --limit`` makes it. No model is trained.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby
from typing import Any, Final

from srlm_data.core import database, filesystem
from srlm_data.core.errors import ArgumentError, did_you_mean
from srlm_data.core.messages import render
from srlm_data.core.rows import Rows
from srlm_data.core.schema import CANDIDATES
from srlm_data.engines.cache.journal import seal_journals
from srlm_data.models.training import Training
from srlm_data.pipeline._judge_text import lines_of
from srlm_data.pipeline._limit import few
from srlm_data.pipeline._resources import Engines
from srlm_data.pipeline.build import Watcher, build
from srlm_data.pipeline.plan import plan, plan_flow
from srlm_data.pipeline.recipe import Dataset, Recipe
from srlm_data.steps.judgments import Judge
from srlm_data.store import Manifest, Store, access


@dataclass(frozen=True)
class CheckedJudgment:
    """A judgment, and what was parsed from it."""

    candidate_id: str
    prompt_id: str
    prompt: str
    response: str
    rank: int | None  # the rank that humans gave the response, 0 the best
    text: str
    state: str  # one of ``schema.STATES``
    score: float | None
    why: str  # how the score was read, or why there is none
    criteria: dict[str, float | None]


@dataclass(frozen=True)
class HumanOrder:
    """How the judge orders the replies that humans ranked best and worst, by prompt."""

    dataset: str  # the version that has the replies
    pairs: int  # prompts of which both replies have a score
    agreeing: int  # pairs that the judge orders as humans did
    tied: int  # pairs to which it gave equal scores
    share: float | None  # agreeing pairs of all
    unscored: int  # prompts of which a reply has no score
    judgments: list[CheckedJudgment]


@dataclass(frozen=True)
class JudgeCheck:
    """A judge's judgments of a few candidates."""

    dataset: str  # the recipe's dataset of judgments
    model: str  # the version of the model that judged
    template: str
    scale: str
    reader: str
    judgments: list[CheckedJudgment]  # one of each candidate that was shown
    human: HumanOrder | None  # how it orders ranked replies; None where the recipe has none
    asked: int  # requests that were sent; a build reuses their answers
    reused: int  # answers that were cached already
    drops: dict[str, int]  # candidates that could not be shown, by reason
    states: dict[str, int]  # state -> judgments, of all that were made
    read: float  # the share of them that has a score

    def __str__(self) -> str:
        return "\n".join(lines_of(self))

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def check(
    recipe: Recipe,
    store: Store,
    step: str | None = None,
    *,
    candidates: int = 5,
    preflight: bool = True,
    watcher: Watcher | None = None,
) -> JudgeCheck:
    """Ask a recipe's judge about a few candidates, and about a few ranked replies.

    It is what ``srlm_data.check_judge`` calls, which says what its arguments mean.
    """
    watcher, dataset = watcher or Watcher(), _find(recipe, step)
    built = {planned.dataset.name for planned in plan(recipe, store) if not planned.is_missing}
    wanted = [dataset.inputs["candidates"], dataset.inputs["model"], *_ranked(recipe)]
    shown, model, *ranked = few(wanted, candidates, built)
    manifests = _build([shown, model, *ranked], recipe, store, preflight, watcher)
    models = store.rows(manifests[model.key])
    some = _take(store.rows(manifests[shown.key]), _SOME, candidates)
    replies, of = _take_ranked(store, [manifests[each.key] for each in ranked], candidates)
    watcher.asking(dataset)
    engines = Engines(store)
    assert dataset.engine
    with (
        filesystem.refusals(store.root),
        access.shared(store.root, wait=True),
        contextlib.closing(engines),
        contextlib.closing(
            engines.recorded(dataset.engine, models, dataset.name, watcher.progress)
        ) as engine,
    ):
        config = dataset.config
        assert isinstance(config, Judge)
        once = config.model_copy(update={"repeats": 1})
        drops: Counter[str] = Counter()
        checked = []
        for rows in (some, replies):
            judgments = dataset.step.function(once, candidates=rows, model=models, engine=engine)
            checked.append(_read(once, rows, judgments))
            drops.update(judgments.drops)
        engine.failures.refuse_all(engine.usage.calls + engine.usage.reused)
        usage = engine.usage
    seal_journals(store.root)
    # Ranked replies may be among the candidates: count each once.
    state_of = {judgment.candidate_id: judgment.state for part in checked for judgment in part}
    states = Counter(state_of.values())
    return JudgeCheck(
        dataset=dataset.name,
        model=manifests[model.key].ref,
        template=config.template.name,
        scale=str(config.on),
        reader=config.reader,
        judgments=checked[0],
        human=_hold(of, checked[1]) if of else None,
        asked=usage.calls,
        reused=usage.reused,
        drops=dict(drops),
        states=dict(states.most_common()),
        read=states["parsed"] / max(states.total(), 1),
    )


def _find(recipe: Recipe, step: str | None) -> Dataset:
    judges = {
        short: dataset
        for short, dataset in recipe.datasets.items()
        if isinstance(dataset.config, Judge)
    }
    if step is None and len(judges) == 1:
        step = next(iter(judges))
    if step in judges:
        return judges[step]
    wanted = "a step 'judge' is wanted" if step is None else f"no step 'judge' makes '{step}'"
    advice = "Name one of them." if judges else "Name a recipe that has one."
    raise ArgumentError(
        f"{recipe.path}: {wanted}, found {', '.join(judges) or 'none'}."
        f"{did_you_mean(step or '', judges)} {advice}"
    )


def _ranked(recipe: Recipe) -> list[Dataset]:
    """Return datasets of candidates that no model wrote, those of other recipes included."""
    return [
        dataset
        for dataset in recipe.flow()
        if dataset.makes is CANDIDATES
        and not any(each.step.uses_model for each in (dataset, *dataset.ancestors()))
    ]


def _build(
    datasets: Sequence[Dataset], recipe: Recipe, store: Store, preflight: bool, watcher: Watcher
) -> dict[Any, Manifest]:
    """Build the datasets that are missing, and return the version of each."""
    wanted = replace(recipe, datasets={str(place): each for place, each in enumerate(datasets)})
    plans = plan_flow(wanted.flow(), store)
    missing = [planned.dataset for planned in plans if planned.is_missing]
    for dataset in missing:
        if isinstance(dataset.config, Training):
            stem, _, short = dataset.name.partition(".")
            raise ArgumentError(
                f"judge-check: it trains no model, and '{dataset.name}' is not built. Run "
                f"'srlm-data build {recipe.path.with_stem(stem)} {short}' first."
            )
    if missing:
        build(wanted, store, preflight=preflight, watcher=watcher)
        plans = plan_flow(wanted.flow(), store)
    return {planned.dataset.key: planned.manifest for planned in plans if planned.manifest}


# Candidates of as many prompts as possible, and always the same ones.
_SOME: Final = """
    FROM candidates
    ORDER BY row_number() OVER (PARTITION BY prompt_id ORDER BY md5(candidate_id)), md5(prompt_id)
    LIMIT $1
"""

# The best and the worst reply of a few prompts; held-out prompts, which taught no judge, first.
_ENDS: Final = """
    WITH ends AS (
        SELECT prompt_id, arg_min(candidate_id, (rank, candidate_id)) AS best,
               arg_max(candidate_id, (rank, candidate_id)) AS worst
        FROM candidates WHERE rank IS NOT NULL
        GROUP BY prompt_id HAVING min(rank) < max(rank)
        ORDER BY bool_or(split = 'eval') DESC NULLS LAST, md5(prompt_id) LIMIT $1
    )
    SELECT candidates.* FROM candidates JOIN ends USING (prompt_id)
    WHERE candidate_id IN (best, worst) ORDER BY prompt_id, rank
"""


def _take(rows: Rows, query: str, number: int) -> Rows:
    with database.viewing(candidates=rows) as connection:
        return Rows.of(CANDIDATES, connection.sql(query, params=[number]).to_arrow_table())


def _take_ranked(
    store: Store, manifests: Sequence[Manifest], number: int
) -> tuple[Rows, str | None]:
    """Return replies that humans ranked, of the first version that has any, and its name."""
    for manifest in manifests:
        if (replies := _take(store.rows(manifest), _ENDS, number)).count():
            return replies, manifest.ref
    return Rows.of(CANDIDATES, CANDIDATES.schema.empty_table()), None


def _read(config: Judge, candidates: Rows, judgments: Rows) -> list[CheckedJudgment]:
    """Return the parsed judgments of candidates, in the order of the candidates."""
    of = {row["candidate_id"]: row for row in judgments.dicts() if row["criterion"] is None}
    checked = []
    for candidate in candidates.dicts():
        judgment = of.get(candidate["candidate_id"])
        if judgment is None:  # it lacks a field that the template shows
            continue
        [(_, whole), *parts] = config.read(judgment["text"], judgment["finish_reason"])
        checked.append(
            CheckedJudgment(
                candidate_id=candidate["candidate_id"],
                prompt_id=candidate["prompt_id"],
                prompt=render(candidate["prompt"]),
                response=candidate["response"],
                rank=candidate["rank"],
                text=judgment["text"],
                state=whole.state,
                score=whole.score,
                why=judgment["error"] or whole.why,
                criteria={str(name): part.score for name, part in parts},
            )
        )
    return checked


def _hold(dataset: str, judgments: list[CheckedJudgment]) -> HumanOrder:
    """Return how the scores of ranked replies compare with the order of humans."""
    prompts = [list(both) for _, both in groupby(judgments, key=lambda each: each.prompt_id)]
    scores = [[judgment.score for judgment in both] for both in prompts]  # the best reply first
    pairs = [(both[0], both[1]) for both in scores if len(both) == 2 and None not in both]
    agreeing = sum((best or 0) > (worst or 0) for best, worst in pairs)
    return HumanOrder(
        dataset,
        pairs=len(pairs),
        agreeing=agreeing,
        share=agreeing / len(pairs) if pairs else None,
        tied=sum(best == worst for best, worst in pairs),
        unscored=len(prompts) - len(pairs),
        judgments=judgments,
    )
