"""The builders of rows that all tests use: a row of any dataset type, from as little as decides it.

Each takes further columns by name, and they come last: what a builder decides is a default. For
stores of any size whose rows are made by queries, see :mod:`synthetic`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from srlm_data.core import ids, schema
from srlm_data.core.messages import assistant, user
from srlm_data.core.rows import Rows

Row = dict[str, Any]

# rows ---------------------------------------------------------------------------------------


def prompt(text: str | list[Any], **columns: Any) -> Row:
    """A prompt of one turn, or of these turns."""
    turns = user(text) if isinstance(text, str) else text
    return {"prompt_id": ids.prompt_id(turns), "prompt": turns, "source": "test"} | columns


def answer(prompt_id: str, response: str = "So.", model: str | None = None, **columns: Any) -> Row:
    """An answer to the prompt of this id: a human's where no model is named."""
    identity = ids.row_id(prompt_id, response, model, columns.get("sample", 0))
    return {
        "candidate_id": identity,
        "prompt_id": prompt_id,
        "prompt": user(f"question {prompt_id}"),
        "response": response,
        "sample": 0,
        "source": "human" if model is None else "model",
        "model": model,
    } | columns


def ranked(prompt_id: str, ranks: list[int], split: str = "eval") -> list[Row]:
    """Answers of humans to one prompt, with these ranks."""
    return [
        answer(prompt_id, f"reply {place}", rank=rank, split=split, sample=place)
        for place, rank in enumerate(ranks)
    ]


def judged(candidate: Mapping[str, Any], *scores: float | None, **columns: Any) -> list[Row]:
    """Judgments of an answer, one a score; a score of None is a judgment that did not parse."""
    own = {"model": "judge", "template": "t"} | columns
    return [
        {
            "judgment_id": ids.row_id(
                candidate["candidate_id"], own["model"], own["template"], repeat
            ),
            "candidate_id": candidate["candidate_id"],
            "prompt_id": candidate["prompt_id"],
            "repeat": repeat,
            "state": "unparsed" if score is None else "parsed",
            "score": score,
            "scale_low": 0,
            "scale_high": 5,
            "text": "",
        }
        | own
        for repeat, score in enumerate(scores)
    ]


def scored(candidate: Mapping[str, Any], score: float | None, **columns: Any) -> Row:
    """A score of an answer that nobody judged."""
    identity = {name: candidate[name] for name in ("candidate_id", "prompt_id")}
    return (
        identity
        | {"score_id": identity["candidate_id"], "score": score, "method": "wins"}
        | columns
    )


def preferred(chosen: Mapping[str, Any], rejected: Mapping[str, Any], **columns: Any) -> Row:
    """A pair of two answers to one prompt."""
    return {
        "pair_id": ids.row_id("pair", chosen["candidate_id"], rejected["candidate_id"]),
        "prompt_id": chosen["prompt_id"],
        "prompt": chosen["prompt"],
        "chosen": assistant(chosen["response"]),
        "rejected": assistant(rejected["response"]),
        "chosen_id": chosen["candidate_id"],
        "rejected_id": rejected["candidate_id"],
    } | columns


def label(
    first: Mapping[str, Any], second: Mapping[str, Any], choice: str, person: str = "reader"
) -> Row:
    """What a person said of two answers to one prompt."""
    return {
        "label_id": ids.row_id(first["candidate_id"], second["candidate_id"], person),
        "prompt_id": first["prompt_id"],
        "first_id": first["candidate_id"],
        "second_id": second["candidate_id"],
        "choice": choice,
        "person": person,
        "labelled_at": "2030-01-01T00:00:00.000+00:00",
        "reviewed": "iter1.pairs@0123456789abcdef",
    }


def example(text: str, completion: str = "yes", **columns: Any) -> Row:
    """A prompt and the answer to learn."""
    asked = prompt(text)
    return {
        "example_id": ids.row_id(text),
        "kind": "ift",
        "prompt": asked["prompt"],
        "completion": assistant(completion),
        "prompt_id": asked["prompt_id"],
    } | columns


def reply(identity, text=None, rank=0, **more):
    """A message of a tree as Open Assistant exports it."""
    return {
        "message_id": identity, "text": text or f"text of {identity}", "role": "assistant",
        "lang": "en", "review_result": True, "deleted": False, "rank": rank, "synthetic": False,
        "replies": [], **more,
    }  # fmt: skip


def tree(identity, *replies, text=None, **more):
    """A tree as Open Assistant exports it."""
    root = reply(identity, text, rank=None, role="prompter", replies=list(replies), **more)
    return {"message_tree_id": identity, "prompt": root}


# datasets -----------------------------------------------------------------------------------


def prompts(*texts: str | list[Any], **columns: Any) -> Rows:
    return Rows.of(schema.PROMPTS, [prompt(text, **columns) for text in texts])


def examples(*texts: str, **columns: Any) -> Rows:
    return Rows.of(schema.EXAMPLES, [example(text, **columns) for text in texts])


def models(name: str = "fake", **columns: Any) -> Rows:
    """One model, whose weights nobody reads."""
    row = {"model": name, "method": "checkpoint", "location": "path:/"} | columns
    return Rows.of(schema.MODELS, [row])


def candidates(rows: Sequence[Row]) -> Rows:
    return Rows.of(schema.CANDIDATES, rows)


def answers(model: str, responses: Mapping[str, str]) -> Rows:
    """A model's answers from ``{prompt: response}``."""
    return candidates([answer(prompt, response, model) for prompt, response in responses.items()])


def judgments(*rows: list[Row]) -> Rows:
    return Rows.of(schema.JUDGMENTS, [row for part in rows for row in part])


def judged_answers(scores, texts=None, model="m", judge=None, **columns):
    """Candidates and judgments from ``{prompt: [[score of each judgment] of each answer]}``.

    Their ids can be read: ``p0`` is the first answer to ``p``, ``p0/1`` its second judgment.
    """
    candidates, judgments = [], []
    for prompt_id, given in scores.items():
        for sample, of_one in enumerate(given):
            identity = f"{prompt_id}{sample}"
            row = answer(
                prompt_id, (texts or {}).get(identity, f"answer {identity}"), model,
                candidate_id=identity, sample=sample, prompt=user(prompt_id),
            )  # fmt: skip
            candidates.append(row)
            judgments += [
                judgment | {"judgment_id": f"{identity}/{judgment['repeat']}"}
                for judgment in judged(row, *of_one, model=judge, **columns)
            ]
    return Rows.of(schema.CANDIDATES, candidates), Rows.of(schema.JUDGMENTS, judgments)


# what steps gave ----------------------------------------------------------------------------


def checked(rows: Rows) -> list[Row]:
    """The rows, after the rules of their dataset type: unique ids, and every check."""
    import duckdb  # here: the steps of recipes in tests import this module, and wait for it

    table = rows.table()
    with duckdb.connect() as connection:
        connection.register("made", table)
        for sentence, condition in rows.type.checks.items():
            broken = connection.execute(f"SELECT count(*) FROM made WHERE NOT ({condition})")
            assert broken.fetchone() == (0,), sentence
    identities = table[rows.type.id].to_pylist()
    assert len(set(identities)) == len(identities)
    made: list[Row] = table.to_pylist()
    return made


def figures(rows: Rows, model: str | None = None) -> dict[str, float | None]:
    """metric -> value, of one model."""
    return {row["metric"]: row["value"] for row in checked(rows) if model in (None, row["model"])}
