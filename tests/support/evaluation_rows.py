"""Small datasets for the tests of the evaluation steps."""

from collections.abc import Mapping
from typing import Any

import duckdb

from srlm_data.core.ids import row_id
from srlm_data.core.rows import Rows
from srlm_data.core.schema import CANDIDATES, JUDGMENTS


def answer(prompt: str, response: str, model: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "candidate_id": row_id(prompt, response, model, more.get("sample", 0)),
        "prompt_id": prompt,
        "prompt": [{"role": "user", "content": f"question {prompt}"}],
        "response": response,
        "sample": 0,
        "source": "human" if model is None else "model",
        "model": model,
        **more,
    }


def answers(model: str, responses: Mapping[str, str]) -> Rows:
    return candidates([answer(prompt, response, model) for prompt, response in responses.items()])


def ranked(prompt: str, ranks: list[int], split: str = "eval") -> list[dict[str, Any]]:
    return [
        answer(prompt, f"reply {place}", rank=rank, split=split, sample=place)
        for place, rank in enumerate(ranks)
    ]


def candidates(rows: list[dict[str, Any]]) -> Rows:
    return Rows.of(CANDIDATES, rows)


def judged(
    row: Mapping[str, Any], *scores: float | None, model: str | None = "judge", template: str = "t"
) -> list[dict[str, Any]]:
    return [
        {
            "judgment_id": row_id(row["candidate_id"], model, template, repeat),
            "scale_low": 0,
            "scale_high": 5,
            "candidate_id": row["candidate_id"],
            "prompt_id": row["prompt_id"],
            "repeat": repeat,
            "state": "unparsed" if score is None else "parsed",
            "score": score,
            "text": "",
            "template": template,
            "model": model,
        }
        for repeat, score in enumerate(scores)
    ]


def judgments(*rows: list[dict[str, Any]]) -> Rows:
    return Rows.of(JUDGMENTS, [row for part in rows for row in part])


def checked(rows: Rows) -> list[dict[str, Any]]:
    """The rows, after the rules of their dataset type: unique ids, and every check."""
    table = rows.table()
    with duckdb.connect() as connection:
        connection.register("made", table)
        for sentence, condition in rows.type.checks.items():
            broken = connection.execute(f"SELECT count(*) FROM made WHERE NOT ({condition})")
            assert broken.fetchone() == (0,), sentence
    identities = table[rows.type.id].to_pylist()
    assert len(set(identities)) == len(identities)
    made: list[dict[str, Any]] = table.to_pylist()
    return made


def figures(rows: Rows, model: str | None = None) -> dict[str, float | None]:
    """metric -> value, of one model."""
    return {row["metric"]: row["value"] for row in checked(rows) if model in (None, row["model"])}
