"""Conversations in SQL: lists of turns, and the macros that read them.

last(conversation)    the text of its last turn
said(conversation)    all of its text, each turn opened by its role
"""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from srlm_data.core import database
from srlm_data.core.schema import CONVERSATION


@cache
def types() -> tuple[str, ...]:
    """Return how DuckDB writes the types of conversations: ours, and role and content alone."""
    turn = CONVERSATION.value_type
    plain = pa.list_(pa.struct([turn.field("role"), turn.field("content")]))
    shapes = pa.schema([("whole", CONVERSATION), ("plain", plain)])
    with database.session() as connection:
        return tuple(map(str, connection.from_arrow(shapes.empty_table()).types))


def macros() -> str:
    """Return the macros that read conversations, as :func:`srlm_data.core.messages.text_of` does.

    DuckDB has an aggregate ``last`` of its own, which takes what is no conversation.
    """
    whole, plain = types()
    last = f"CASE WHEN len(turns) > 0 THEN text_of(CAST(turns AS {whole})[-1]) END"
    return f"""
        CREATE OR REPLACE MACRO text_of(turn) AS concat_ws(
            chr(10),
            nullif(turn.content, ''),
            nullif(array_to_string(list_transform(turn.tool_calls, lambda call: concat(
                '[calls ', call.function.name, '(', call.function.arguments, ')]'
            )), chr(10)), '')
        );
        CREATE OR REPLACE MACRO said(turns) AS array_to_string(
            list_transform(
                CAST(turns AS {whole}), lambda turn: concat(turn.role, ': ', text_of(turn))
            ),
            chr(10)
        );
        CREATE OR REPLACE MACRO last
            (turns {whole}) AS {last},
            (turns {plain}) AS {last},
            (turns "NULL") AS NULL,
            (turns "NULL"[]) AS NULL,
            (other) AS system.main.last(other);
    """
