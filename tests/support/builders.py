"""Small datasets for tests, built from as little as decides them."""

from srlm_data.core import schema
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows


def made(scores, texts=None, model="m"):
    """Candidates and judgments from ``{prompt: [[score of each judgment] of each answer]}``.

    A score of None is a judgment that did not parse.
    """
    candidates, judgments = [], []
    for prompt, answers in scores.items():
        for sample, given in enumerate(answers):
            identity = f"{prompt}{sample}"
            candidates.append({
                "candidate_id": identity, "prompt_id": prompt, "prompt": user(prompt),
                "response": (texts or {}).get(identity, f"answer {identity}"), "sample": sample,
                "source": "model", "model": model,
            })  # fmt: skip
            judgments += [
                {
                    "judgment_id": f"{identity}/{repeat}", "candidate_id": identity,
                    "prompt_id": prompt, "repeat": repeat, "text": "", "template": "t",
                    "state": "unparsed" if score is None else "parsed", "score": score,
                    "scale_low": 0, "scale_high": 5,
                }
                for repeat, score in enumerate(given)
            ]  # fmt: skip
    return Rows.of(schema.CANDIDATES, candidates), Rows.of(schema.JUDGMENTS, judgments)


def reply(identity, text=None, rank=0, **more):
    return {
        "message_id": identity, "text": text or f"text of {identity}", "role": "assistant",
        "lang": "en", "review_result": True, "deleted": False, "rank": rank, "synthetic": False,
        "replies": [], **more,
    }  # fmt: skip


def tree(identity, *replies, text=None, **more):
    root = reply(identity, text, rank=None, role="prompter", replies=list(replies), **more)
    return {"message_tree_id": identity, "prompt": root}
