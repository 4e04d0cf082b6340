"""What M0 can do, measured: by forced reading while it trains, by real sampling afterwards."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import torch

from srlm_data.demo.oracle import Oracle, parse
from srlm_data.demo.trees import held_out_prompts, trees
from tools import corpus

VERDICTS: Final = (" too", " instead")


def forced(model: Any, encoder: Any, n: int = 200) -> dict[str, float]:
    """Read clean examples and say how often each kind of token is foretold."""
    rng = random.Random("probe")
    answers = [corpus.answering(rng, 0.0) for _ in range(n)]
    comparisons = [corpus.comparing(rng, 0.0) for _ in range(n)]
    judgments = [corpus.judging(rng, 0.0) for _ in range(n)]
    hits: dict[str, list[bool]] = {}
    with torch.no_grad():
        for name, examples in (("A", answers), ("C", comparisons), ("J", judgments)):
            ids, weights = encoder.batch(examples, 160)
            best = model(ids).logits[:, :-1].argmax(-1) == ids[:, 1:]
            for row, example in enumerate(examples):
                _count(name, example, encoder, best[row], weights[row], hits)
    return {name: sum(found) / len(found) for name, found in sorted(hits.items())}


def _count(name: str, example: Any, encoder: Any, best: Any, weights: Any, hits: Any) -> None:
    pieces, right = example.turns[0].reply, []
    place = int((weights > 0).nonzero()[0])
    for text, _ in pieces:
        end = place + len(encoder.ids(text))
        right.append(bool(best[place - 1 : end - 1].all()))
        place = end
    if name == "A":
        hits.setdefault("answer", []).append(right[1])
    if name == "J":
        hits.setdefault("score", []).append(right[-1])
    for index, (text, _) in enumerate(pieces):
        if text not in VERDICTS:
            continue
        if name == "C":
            hits.setdefault("compare", []).append(right[index])
        elif "Asked for" in pieces[index - 4][0]:
            hits.setdefault("form", []).append(right[index])
        else:
            hits.setdefault("recall", []).append(right[index - 3])
            hits.setdefault("copy", []).append(right[index - 1])
            # Apart, since a model that always says the commoner verdict is right in two of three.
            verdict = "verdict_same" if text == VERDICTS[0] else "verdict_other"
            hits.setdefault(verdict, []).append(right[index])


def sampled(model: Any, tokenizer: Any, n: int = 300) -> dict[str, float]:
    """Let the model write, and measure it by the oracle: answers, judgments, new prompts."""
    oracle, prompts = Oracle(), held_out_prompts(seed=0, n=n)
    torch.manual_seed(0)
    greedy = [oracle.right(p, r) for p, r in _replied(model, tokenizer, prompts, 0.0)]
    drawn = [oracle.right(p, r) for p, r in _replied(model, tokenizer, prompts, 0.7)]
    figures = {"greedy_right": _mean(greedy), "sampled_right": _mean(drawn)}
    return figures | _judged(model, tokenizer, n // 4) | _listed(model, tokenizer, n)


def _judged(model: Any, tokenizer: Any, n: int) -> dict[str, float]:
    """Measure the judge on ranked tree replies: three samples each, their mean, no ties allowed."""
    asked: list[str] = []
    pairs: list[tuple[int, int]] = []
    for tree in trees(seed=0, n=n):
        replies = sorted(tree["prompt"]["replies"], key=lambda reply: int(reply["rank"]))
        places = range(len(asked), len(asked) + len(replies))
        pairs += list(combinations(places, 2))
        asked += [corpus.judge_prompt(tree["prompt"]["text"], reply["text"]) for reply in replies]
    written = _replied(model, tokenizer, [prompt for prompt in asked for _ in range(3)], 0.7)
    scores = [re.search(r"\nScore: ([0-5])$", text) for _, text in written]
    means = []
    for start in range(0, len(scores), 3):
        parsed = [int(found[1]) for found in scores[start : start + 3] if found]
        means.append(sum(parsed) / len(parsed) if parsed else None)
    ordered = [(means[better], means[worse]) for better, worse in pairs]
    return {
        "judge_parsed": _mean([found is not None for found in scores]),
        "judge_pairwise": _mean([a is not None and b is not None and a > b for a, b in ordered]),
        "judge_ties": _mean([a is not None and a == b for a, b in ordered]),
    }


def _listed(model: Any, tokenizer: Any, n: int) -> dict[str, float]:
    """Measure few-shot prompting: how many continuations are questions, and how many are new."""
    rng = random.Random("lists")
    lists = [corpus.listing(rng, 0.0).turns[0].user for _ in range(n)]
    valid, new = [], set()
    for shown, text in _replied(model, tokenizer, lists, 0.6):
        found = re.fullmatch(r"\d+\. (.+)", text)
        valid.append(found is not None and parse(found[1]) is not None)
        if found and found[1] not in shown:
            new.add(found[1])
    return {"prompts_valid": _mean(valid), "prompts_new": len(new) / n}


def _mean(found: Sequence[bool | None]) -> float:
    return sum(bool(one) for one in found) / len(found)


def _replied(model: Any, tokenizer: Any, prompts: list[str], heat: float) -> list[tuple[str, str]]:
    """Have the model reply to each prompt, sampled at a temperature (0: greedily), top-p 0.9."""
    how = {"do_sample": True, "temperature": heat, "top_p": 0.9, "top_k": 0} if heat else {}
    written: list[tuple[str, str]] = []
    for start in range(0, len(prompts), 128):
        part = prompts[start : start + 128]
        chats = [[{"role": "user", "content": prompt}] for prompt in part]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=56, **({"do_sample": False} | how))
        new = ids[:, inputs["input_ids"].shape[1] :]
        written += zip(part, tokenizer.batch_decode(new, skip_special_tokens=True), strict=True)
    return written
