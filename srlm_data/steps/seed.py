"""messages -> ift, ranked: the human seed (paper, section 3.1).

Of messages that ``read_messages`` has read, ``select_ift`` takes the best human reply to each first
prompt, ``select_ranked`` the prompts with several ranked replies, to teach judging (EFT).

The two selections go through the assistant's messages: each becomes a row or is counted under the
first reason that applies, so rows and drops always add up to the messages there were. Ranks start
at 0, the best. A reply without a rank was not compared by anyone: it is ``unranked`` and never
taken for rank 0, even where it is the only reply.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, Self

import duckdb
from pydantic import Field, model_validator

from srlm_data.core import database
from srlm_data.core.config import Config, Expected
from srlm_data.core.ids import example_id, held_out_share, prompt_id, row_id, split_key
from srlm_data.core.messages import assistant
from srlm_data.core.rows import Candidates, Drops, Examples, Messages, Rows
from srlm_data.core.schema import CANDIDATES, EXAMPLES
from srlm_data.steps.sifting import leave_out, sift


class FirstTurns(Config):
    """Which replies to first prompts are taken at all, judged by their flags."""

    lang: str | None = Field(
        "en", description="Language of the prompt and the reply; null takes any."
    )
    review: Literal["passed", "not_failed", "any"] = Field(
        "passed", description="Required outcome of the human review of prompt and reply."
    )
    deleted: bool = Field(False, description="Include deleted messages.")
    synthetic: bool = Field(True, description="Include messages written by a model.")
    seed: int = Field(0, ge=0, description="Seed of the sample.")


class SelectIft(FirstTurns):
    """Which instruction examples are taken."""

    n: int | None = Field(3200, ge=1, description="How many examples; null takes all.")

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """At most ``n`` rows."""
        known = [bound for bound in (self.n, rows.get("messages")) if bound is not None]
        return Expected(min(known, default=None))


def select_ift(config: SelectIft, messages: Messages) -> Examples:
    """Select the reply that humans ranked best (rank 0) to each first prompt: the IFT seed.

    The sample is drawn by a hash of the seed and the message id, so that new messages move few
    others. Drops, besides those of the flags: ``unranked``, ``not_rank_0``, ``duplicate`` (prompt
    and reply are those of another message), ``not_sampled``.
    """
    drops = Drops()
    notes: dict[str, Any] = {"wanted": config.n}

    def rows() -> Iterator[dict[str, Any]]:
        order = f"md5(concat_ws('/', {config.seed}, 'ift', message_id))"
        with database.connect() as connection:
            _first_turns(connection, config, messages)
            leave_out(connection, "unranked", "rank IS NULL")
            leave_out(connection, "not_rank_0", "rank <> 0")
            copy = "row_number() OVER (PARTITION BY prompt_id, response ORDER BY message_id)"
            leave_out(connection, "duplicate", f"{copy} > 1")
            if config.n is not None:
                place = f"row_number() OVER (ORDER BY {order})"
                leave_out(connection, "not_sampled", f"{place} > {config.n}")
            drops.add_query(connection, *DROPPED)
            query = f"SELECT message_id, prompt_id, prompt, response FROM kept ORDER BY {order}"
            for row in database.dicts(connection, query):
                completion = assistant(row["response"])
                yield {
                    "example_id": example_id(row["prompt"], completion),
                    "kind": "ift",
                    "prompt": row["prompt"],
                    "completion": completion,
                    "prompt_id": row["prompt_id"],
                    "source_id": row["message_id"],
                }

    return Rows.stream(EXAMPLES, rows(), drops=drops, notes=notes)


class SelectRanked(FirstTurns):
    """Which ranked replies are taken, and how their prompts are split."""

    rows_at_most = "messages"
    n_prompts: int | None = Field(None, ge=1, description="How many prompts; null takes all.")
    eval_share: float = Field(
        0.25, ge=0, le=1, description="Approximate share of the prompts to hold out for evaluation."
    )
    eval_prompts: int | None = Field(
        None, ge=0, description="Exact number of prompts to hold out, instead of a share."
    )

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.eval_prompts is not None and "eval_share" in self.model_fields_set:
            raise ValueError("give either 'eval_share' or 'eval_prompts', found both")
        return self


def select_ranked(config: SelectRanked, messages: Messages, exclude: Examples) -> Candidates:
    """Select prompts with two or more replies ranked by humans, for EFT and to measure judges.

    Prompts of ``exclude`` (the IFT examples) are left out by their text. All replies of a prompt
    are in one split, decided by a hash of the prompt's text, so more data moves no prompt
    (``eval_prompts`` moves few). ``sample`` numbers a prompt's replies from the best rank on.
    Replies of equal rank stay, without an order among them; ``prompts_with_equal_ranks`` in the
    notes counts such prompts.

    Drops, besides those of the flags: ``unranked``, ``in_ift``, ``repeated_prompt`` (another tree
    asks the same: ranks of two trees cannot be compared, so the one with the smallest id stays),
    ``duplicate_text`` (a better ranked reply says the same), ``fewer_than_two_ranks`` (nothing left
    to order), ``not_sampled``.
    """
    drops = Drops()
    notes: dict[str, Any] = {}

    def rows() -> Iterator[dict[str, Any]]:
        with database.viewing(exclude=exclude) as connection:
            _first_turns(connection, config, messages)
            leave_out(connection, "unranked", "rank IS NULL")
            leave_out(connection, "in_ift", "prompt_id IN (SELECT prompt_id FROM exclude)")
            same = "OVER (PARTITION BY prompt_id)"
            leave_out(connection, "repeated_prompt", f"root_id > min(root_id) {same}")
            leave_out(connection, "duplicate_text", COPY_OF_A_BETTER_ONE)
            leave_out(connection, "fewer_than_two_ranks", f"min(rank) {same} = max(rank) {same}")
            if config.n_prompts is not None:
                order = f"md5(concat_ws('/', {config.seed}, 'ranked', prompt_id))"
                place = f"dense_rank() OVER (ORDER BY {order})"
                leave_out(connection, "not_sampled", f"{place} > {config.n_prompts}")
            drops.add_query(connection, *DROPPED)
            notes.update(_describe(connection))
            held_out = held_out_share(config.seed, config.eval_share)
            if config.eval_prompts is not None:
                place = f"dense_rank() OVER (ORDER BY md5({split_key(config.seed)}))"
                held_out = f"{place} <= {config.eval_prompts}"
            yield from ranked_candidates(connection, held_out)

    return Rows.stream(CANDIDATES, rows(), drops=drops, notes=notes)


def _describe(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    [(prompts, equal)] = connection.sql("""
        SELECT count(*), count(*) FILTER (replies > ranks)
        FROM (SELECT count(*) AS replies, count(DISTINCT rank) AS ranks
              FROM kept GROUP BY prompt_id)
    """).fetchall()
    return {"prompts": prompts, "prompts_with_equal_ranks": equal}


def _first_turns(
    connection: duckdb.DuckDBPyConnection, config: FirstTurns, messages: Messages
) -> None:
    """Create the table ``sifted`` of all assistant messages, checked by parent and by flags."""
    messages.view(connection, "messages")
    reviewed = {
        "passed": "coalesce({0}.review_result, false)",
        "not_failed": "coalesce({0}.review_result, true)",
        "any": "true",
    }[config.review]
    replies = rf"""
        SELECT reply.message_id, root.message_id AS root_id,
               [{{'role': 'user', 'content': root.text}}] AS prompt, reply.text AS response,
               reply.rank, CASE
                 WHEN root.message_id IS NULL THEN 'parent_missing'
                 WHEN root.parent_id IS NOT NULL OR root.role <> 'prompter' THEN 'later_turn'
                 WHEN $lang IS NOT NULL
                      AND NOT coalesce(root.lang = $lang AND reply.lang = $lang, false)
                   THEN 'other_language'
                 WHEN NOT $deleted AND (root.deleted OR reply.deleted) THEN 'deleted'
                 WHEN NOT ({reviewed.format("root")} AND {reviewed.format("reply")}) THEN 'review'
                 WHEN NOT $synthetic AND (root.synthetic OR reply.synthetic) THEN 'synthetic'
                 WHEN NOT (regexp_matches(root.text, '\S') AND regexp_matches(reply.text, '\S'))
                   THEN 'empty_text'
               END AS reason
        FROM messages AS reply LEFT JOIN messages AS root ON reply.parent_id = root.message_id
        WHERE reply.role = 'assistant'
    """
    flags = {"lang": config.lang, "deleted": config.deleted, "synthetic": config.synthetic}
    sift_replies(connection, replies, flags)


def sift_replies(
    connection: duckdb.DuckDBPyConnection, replies: str, parameters: dict[str, Any]
) -> None:
    """Sift replies of people, given a query of ``message_id, prompt, response, rank, reason``."""
    conversation = "STRUCT(role VARCHAR, content VARCHAR)[]"
    connection.create_function("id_of", prompt_id, [conversation], "VARCHAR")
    identity = "CASE WHEN reason IS NULL THEN id_of(prompt) END AS prompt_id"
    sift(connection, f"SELECT *, {identity} FROM ({replies})", parameters)


DROPPED: Final = (
    "SELECT message_id AS id, reason FROM sifted",
    "SELECT message_id AS id, prompt, response, rank FROM sifted",
)
"""Queries of the replies with their reasons for being dropped, and of what an example shows."""

COPY_OF_A_BETTER_ONE: Final = (
    "row_number() OVER (PARTITION BY prompt_id, response ORDER BY rank, message_id) > 1"
)


def ranked_candidates(
    connection: duckdb.DuckDBPyConnection, held_out: str
) -> Iterator[dict[str, Any]]:
    """Yield the kept replies as candidates; ``held_out`` says in SQL which are to evaluate."""
    query = f"""
        SELECT prompt_id, prompt, response, rank, 'human' AS source,
               CASE WHEN {held_out} THEN 'eval' ELSE 'train' END AS split,
               row_number() OVER (PARTITION BY prompt_id ORDER BY rank, message_id) - 1 AS sample
        FROM kept ORDER BY prompt_id, sample
    """
    for row in database.dicts(connection, query):
        identity = row_id("candidate", row["prompt_id"], None, row["sample"], row["response"])
        yield {"candidate_id": identity, **row}
