"""messages -> ranked candidates of later turns: whole conversations as prompts.

Every step takes a conversation as it is: the chat template sees all of its turns, system messages
and tool text included, and the judge is shown all of them and grades the last answer. Open
Assistant's trees are a ready source: below each reply people went on to ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Config
from srlm_data.core.ids import held_out_share
from srlm_data.core.rows import Candidates, Drops, Messages, Rows
from srlm_data.core.schema import CANDIDATES
from srlm_data.steps import seed
from srlm_data.steps.sifting import leave_out


class SelectDialogues(Config):
    """Which conversations are taken; flags must hold for each of their messages."""

    revision: ClassVar[int] = 2  # prompts are split as select_ranked splits them

    rows_at_most = "messages"
    lang: str | None = Field("en", description="Language of every message; null accepts any.")
    review: Literal["passed", "any"] = Field(
        "passed", description="Required outcome of the human review of every message."
    )
    deleted: bool = Field(False, description="Include deleted messages.")
    through: Literal["best", "any"] = Field(
        "any", description="Which earlier replies a conversation may go through: best is rank 0."
    )
    min_replies: int = Field(
        2, ge=1, description="Minimum number of ranked replies: 2 to teach judging, 1 to answer."
    )
    eval_share: float = Field(
        0.25, ge=0, le=1, description="Approximate share of the prompts to hold out for evaluation."
    )
    seed: int = Field(0, ge=0, description="Seed of the split.")


def select_dialogues(config: SelectDialogues, messages: Messages) -> Candidates:
    """Select the ranked replies to every later turn, each with the conversation before it.

    ``select_ift`` and ``select_ranked`` take the first turns. Prompts or examples come out of these
    rows by a ``sql`` step: ``SELECT DISTINCT prompt_id, prompt, 'tree' AS source FROM dialogues``.

    Every assistant's message becomes a row or is dropped under the first reason that applies:
    ``parent_missing``, ``first_turn``, ``flags`` (a message of the conversation has another
    language, is deleted or did not pass review), ``not_best`` (an earlier reply is not the best),
    ``unranked``, ``repeated_prompt`` (another tree has the same conversation), ``duplicate_text``,
    ``too_few_replies``.
    """
    drops = Drops()

    flags = {
        "lang": config.lang,
        "deleted": config.deleted,
        "review": config.review == "any",
        "any_path": config.through == "any",
    }

    def rows() -> Iterator[dict[str, Any]]:
        with database.viewing(messages=messages) as connection:
            seed.sift_replies(connection, _REPLIES, flags)
            same = "OVER (PARTITION BY prompt_id)"
            leave_out(connection, "repeated_prompt", f"parent_id > min(parent_id) {same}")
            leave_out(connection, "duplicate_text", seed.COPY_OF_A_BETTER_ONE)
            leave_out(connection, "too_few_replies", f"count(*) {same} < {config.min_replies}")
            drops.add_query(connection, *seed.DROPPED)
            held_out = held_out_share(config.seed, config.eval_share)
            yield from seed.ranked_candidates(connection, held_out)

    return Rows.stream(CANDIDATES, rows(), drops=drops)


# Every message with the conversation that it ends, from the root down; then the replies.
_REPLIES: Final = r"""
    WITH RECURSIVE turns AS (
        SELECT message_id, parent_id,
               {'role': CASE role WHEN 'prompter' THEN 'user' ELSE 'assistant' END,
                'content': text} AS turn,
               coalesce($lang IS NULL OR lang = $lang, false) AND ($deleted OR NOT deleted)
                 AND ($review OR coalesce(review_result, false)) AND regexp_matches(text, '\S')
                 AS fine,
               $any_path OR role = 'prompter' OR coalesce(rank = 0, false) AS on_path
        FROM messages
    ), paths AS (
        SELECT message_id, [turn] AS conversation, fine, on_path FROM turns WHERE parent_id IS NULL
        UNION ALL
        SELECT turns.message_id, list_append(conversation, turn), paths.fine AND turns.fine,
               paths.on_path AND turns.on_path
        FROM turns JOIN paths ON turns.parent_id = paths.message_id
    )
    SELECT reply.message_id, reply.parent_id, paths.conversation AS prompt,
           reply.text AS response, reply.rank, CASE
             WHEN paths.message_id IS NULL THEN 'parent_missing'
             WHEN len(conversation) = 1 THEN 'first_turn'
             WHEN NOT (paths.fine AND turns.fine) THEN 'flags'
             WHEN NOT paths.on_path THEN 'not_best'
             WHEN reply.rank IS NULL THEN 'unranked'
           END AS reason
    FROM messages AS reply JOIN turns USING (message_id)
    LEFT JOIN paths ON paths.message_id = reply.parent_id
    WHERE reply.role = 'assistant'
"""
