"""What a practitioner would want to know of a version that was just built, a sentence each.

Every check is one query over the version (and what it was made from) with a threshold beside it.
Warnings are shown and never kept: they decide nothing, and a version is the same with or without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

import duckdb

from srlm_data.analysis import figures
from srlm_data.analysis.figures import percent
from srlm_data.core.schema import CANDIDATES, DATASET_TYPES, JUDGMENTS, PAIRS
from srlm_data.steps.judging.injections import injections_sql
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph

FEWEST: Final = 50  # rows below which a share says too little to warn of it
COLLAPSED: Final = 0.8  # share of the most common score above which the scores have collapsed
UNREAD: Final = 0.05  # share of judgments without a score above which the judge cannot be read
DIFFER: Final = 0.01  # share of answers with differing judgments below which repeats are wasted
ADDRESSED: Final = 0.001  # share of answers that address the judge from which a warning is given
TOP: Final = 0.9  # quantile of the answers' mean scores from which an answer is top-scored
DRIFT: Final = 0.25  # change of the mean length against the previous iteration's answers
PAIRED: Final = 0.2  # share of prompts that became pairs below which they are few
LONGER: Final = 0.7  # share of pairs with a longer chosen answer above which length is rewarded
DROPPED: Final = 0.1  # share of what a step looked at that is dropped for one reason
NOTES: Final = 5  # at most so many of an engine's notes are shown, the most frequent ones

LOOKED_FOR: Final[Mapping[str, str]] = {
    "failed_requests": "requests that failed, and why",
    "dropped": f"more than {100 * DROPPED:g} % dropped for one reason, choices of the recipe apart",
    "answers_cut": "answers that are cut off in training",
    "answers_begin": "answers that a chat template begins otherwise in training",
    "only_reasoning": "answers that are reasoning alone",
    "noted_answers": "answers that are not quite what was requested, by the engine's note",
    "fewer_than_wanted": "fewer prompts or examples than requested",
    "unread_judgments": f"more than {100 * UNREAD:g} % of the judgments without a score",
    "collapsed_scores": f"more than {100 * COLLAPSED:g} % of the scores alike",
    "repeats_never_differ": f"repeats that differ for less than {100 * DIFFER:g} % of the answers",
    "answers_speak_to_the_judge": (
        f"{100 * ADDRESSED:g} % or more of the answers with text that looks like a score or an "
        "instruction to the judge"
    ),
    "prompts_speak_to_the_judge": (f"{100 * ADDRESSED:g} % or more of the prompts with such text"),
    "length_drift": f"answers {100 * DRIFT:g} % longer or shorter than in the iteration before",
    "few_pairs": f"pairs from less than {100 * PAIRED:g} % of the prompts",
    "chosen_is_longer": f"chosen longer than rejected in more than {100 * LONGER:g} % of the pairs",
}
"""Kind of warning -> when it is given."""

_CHOICES: Final = frozenset(
    "alone another_sample another_split deleted disagrees equal_scores fewer_than_two_ranks "
    "first_turn flags in_ift incomplete label_of_another_reply label_skipped later_turn "
    "margin_too_small no_match no_other_score no_preference "
    "not_best not_better not_chosen not_needed not_novel not_rank_0 not_sampled not_train "
    "only_first_answered only_second_answered other_candidates other_language parent_missing "
    "review same_text synthetic thinned too_few_replies undisputed unlabelled unranked".split()
)
"""Reasons by which a recipe selects rows: it is no fault if most rows are dropped for them."""

_WANTED: Final = {"self_instruct": "n", "select_ift": "n", "select_ranked": "n_prompts"}
"""Step -> the setting that says how many rows are wanted."""


@dataclass(frozen=True)
class HealthWarning:
    """One thing to know."""

    kind: str  # a key of ``LOOKED_FOR``, for scripts
    sentence: str  # what was found, and what it may mean or what to do
    figures: Mapping[str, float]  # the numbers of the sentence


def check_health(store: Store, manifest: Manifest) -> list[HealthWarning]:
    """All that is worth a line about a version; most often nothing."""
    return [
        *_about_making(manifest),
        *_about_answers(store, manifest),
        *_about_rows(store, manifest),
    ]


def _about_making(manifest: Manifest) -> Iterator[HealthWarning]:
    """Yield the warnings that need the manifest alone."""
    if manifest.failures:
        todo = "" if manifest.accepted else "; the next build asks them again"
        yield HealthWarning(
            "failed_requests", f"{manifest.why_failed}{todo}.", {"requests": manifest.failed}
        )
    drops = sorted(manifest.drops.items(), key=lambda drop: -drop[1])
    seen = manifest.rows + sum(manifest.drops.values())
    for reason, count in drops if manifest.type != PAIRS.name else ():  # see few_pairs
        is_known = reason in _CHOICES or (reason == "error" and manifest.failures)
        if count / seen > DROPPED and not is_known:
            yield HealthWarning(
                "dropped",
                f"{count:,} of {seen:,} ({percent(count / seen)}) were dropped as "
                f"'{reason.replace('_', ' ')}'.",
                {"dropped": count, "of": seen},
            )
    for kind, sentence in manifest.notes.get("training", {}).items():
        yield HealthWarning(kind, sentence, {})
    if thought := manifest.cost.get("only_reasoning"):
        yield HealthWarning(
            "only_reasoning",
            f"{thought:,.0f} answers are reasoning alone. Raise max_tokens, or ask for less "
            "reasoning.",
            {"answers": thought},
        )
    identity = manifest.identity
    wanted = identity.get("config", {}).get(_WANTED.get(identity.get("step", ""), ""))
    got = manifest.notes.get("prompts", manifest.rows)
    if isinstance(wanted, int) and isinstance(got, int) and got < wanted:
        most = f"; most were dropped as '{drops[0][0].replace('_', ' ')}'" if drops else ""
        yield HealthWarning(
            "fewer_than_wanted",
            f"{got:,} of the {wanted:,} requested{most}.",
            {"wanted": wanted, "there": got},
        )


def _about_answers(store: Store, manifest: Manifest) -> Iterator[HealthWarning]:
    """Yield the engine's notes on answers that are not quite what was requested."""
    asked = manifest.cost.get("calls", 0) + manifest.cost.get("reused", 0)
    if not asked or not {"answer_key", "note"} <= {*DATASET_TYPES[manifest.type].schema.names}:
        return
    for note, count in islice(figures.count_notes(store, manifest).items(), NOTES):
        yield HealthWarning(
            "noted_answers", f"{count:,} of {asked:,} answers: {note}.", {"answers": count}
        )


def _about_rows(store: Store, manifest: Manifest) -> list[HealthWarning]:
    look = _LOOKS.get(manifest.type)
    if look is None:
        return []
    versions = {manifest.type: {manifest.name: manifest}}
    answers = Graph(store).first_parent(manifest, CANDIDATES)
    if manifest.type == JUDGMENTS.name and answers:
        versions[CANDIDATES.name] = {manifest.name: answers}
    with figures.connect(store, **versions) as connection:
        return list(look(connection, store, manifest))


def _about_judgments(
    connection: duckdb.DuckDBPyConnection, store: Store, manifest: Manifest
) -> Iterator[HealthWarning]:
    states = figures.ask(connection, "states")  # the most frequent first
    judged = sum(row["judgments"] for row in states)  # rows may be single criteria
    if not judged:
        return
    scores = figures.ask(connection, "scores")
    # Failed requests have a warning of their own.
    read = sum(row["judgments"] for row in scores) + manifest.failed
    unread = 1 - read / judged
    if unread > UNREAD:
        known = {"parsed", "error"} if manifest.failures else {"parsed"}
        state = next((row["state"] for row in states if row["state"] not in known), "parsed")
        yield HealthWarning(
            "unread_judgments",
            f"{percent(unread)} of the judgments have no score, most of them are "
            f"'{state.replace('_', ' ')}'. Read some of their texts: the template or "
            "max_tokens may not fit the judge.",
            {"share": unread},
        )
    if judged < FEWEST:
        return
    score, share = figures.most_common_scores(scores).get(manifest.name, (0.0, 0.0))
    if share > COLLAPSED:
        yield HealthWarning(
            "collapsed_scores",
            f"{percent(share)} of the scores are {score:g}: the judge hardly tells answers "
            "apart, and most prompts will give no pair.",
            {"share": share, "score": score},
        )
    yield from _repeats(connection)
    answers = Graph(store).first_parent(manifest, CANDIDATES)
    # Where the judged answers are judgments themselves, a score in them is no manipulation.
    if answers and answers.identity.get("step") != "select_uncertain":
        yield from _speaking(connection)
        yield from _asking(connection, manifest)


def _asking(connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> Iterator[HealthWarning]:
    """Yield a warning if many prompts address the judge; the judge's step has counted them."""
    speak = manifest.notes.get("prompt_injections", {}).get("any", 0)
    [(prompts,)] = connection.sql("SELECT count(DISTINCT prompt_id) FROM all_candidates").fetchall()
    if speak and speak / max(prompts, 1) >= ADDRESSED:
        yield HealthWarning(
            "prompts_speak_to_the_judge",
            f"{speak:,} prompts ({percent(speak / prompts)}) contain what looks like a score or "
            "an instruction to the judge. Look at them before you train on answers to them.",
            {"prompts": speak, "share": speak / prompts},
        )


def _repeats(connection: duckdb.DuckDBPyConnection) -> Iterator[HealthWarning]:
    for row in figures.ask(connection, "self_agreement"):
        share = 1 - (row["all_equal"] or 0)
        if row["scored_twice"] < FEWEST or share >= DIFFER:
            continue
        yield HealthWarning(
            "repeats_never_differ",
            f"repeated judgments of one answer give different scores for {percent(share)} of the "
            "answers only: more repeats cost and tell nothing. Judge once, or raise the "
            "temperature.",
            {"share": share},
        )


def _speaking(connection: duckdb.DuckDBPyConnection) -> Iterator[HealthWarning]:
    [row] = figures.fetch(
        connection,
        f"""
        WITH scored AS (
            SELECT candidate_id, avg(score) AS score FROM all_judgments GROUP BY candidate_id
        ), told AS (
            SELECT score, len({injections_sql("response")}) > 0 AS speaks
            FROM scored JOIN all_candidates USING (candidate_id)
        ), bar AS (SELECT quantile_disc(score, $1) AS top FROM told)
        SELECT count(*) AS answers, count(*) FILTER (speaks) AS speak,
               count(*) FILTER (score >= top) AS best,
               count(*) FILTER (speaks AND score >= top) AS best_speak
        FROM told, bar
        """,
        TOP,
    )
    if row["speak"] and row["speak"] / row["answers"] >= ADDRESSED:
        best = row["best_speak"] / row["best"] if row["best"] else 0.0
        yield HealthWarning(
            "answers_speak_to_the_judge",
            f"{row['speak']:,} answers ({percent(row['speak'] / row['answers'])}) contain what "
            "looks like a score or an instruction to the judge; of the top-scored ones it is "
            f"{percent(best)}. Look at them before you train on them.",
            {"answers": row["speak"], "share": row["speak"] / row["answers"], "top_share": best},
        )


def _about_candidates(
    connection: duckdb.DuckDBPyConnection, store: Store, manifest: Manifest
) -> Iterator[HealthWarning]:
    before = Graph(store).answers_before(manifest)
    if before is None or min(before.rows, manifest.rows) < FEWEST:
        return
    store.rows(before).view(connection, "before")
    [(now, was)] = connection.sql(
        "SELECT (SELECT avg(length(response)) FROM all_candidates), "
        "(SELECT avg(length(response)) FROM before)"
    ).fetchall()
    change = now / was - 1 if was else 0.0
    if abs(change) > DRIFT:
        yield HealthWarning(
            "length_drift",
            f"answers are {percent(abs(change))} {'longer' if change > 0 else 'shorter'} than "
            f"those of {before.name}, {now:,.0f} characters on average against {was:,.0f}: the "
            "judge may reward length.",
            {"now": now, "before": was, "change": change},
        )


def _about_pairs(
    connection: duckdb.DuckDBPyConnection, _: Store, manifest: Manifest
) -> Iterator[HealthWarning]:
    prompts = manifest.rows + sum(manifest.drops.values())
    if prompts and manifest.rows / prompts < PAIRED:
        reason, count = max(manifest.drops.items(), key=lambda drop: drop[1])
        yield HealthWarning(
            "few_pairs",
            f"{manifest.rows:,} of {prompts:,} prompts ({percent(manifest.rows / prompts)}) gave "
            f"a pair; {count:,} were dropped as '{reason.replace('_', ' ')}'.",
            {"pairs": manifest.rows, "prompts": prompts},
        )
    if manifest.rows < FEWEST:
        return
    [lengths] = figures.ask(connection, "lengths")
    if lengths["chosen_is_longer"] > LONGER:
        yield HealthWarning(
            "chosen_is_longer",
            f"chosen is longer than rejected in {percent(lengths['chosen_is_longer'])} of the "
            "pairs: training on them may teach length.",
            {"share": lengths["chosen_is_longer"]},
        )


_Look = Callable[[duckdb.DuckDBPyConnection, Store, Manifest], Iterator[HealthWarning]]

_LOOKS: Final[Mapping[str, _Look]] = {
    CANDIDATES.name: _about_candidates,
    JUDGMENTS.name: _about_judgments,
    PAIRS.name: _about_pairs,
}
