"""The novelty filter against google's rouge-score, and how it grows."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.data.measure import Figure, call
from srlm_data.steps._novelty import Novelty
from srlm_data.steps._words import words


def texts(count: int, seed: int = 0) -> list[str]:
    """Prompts of 5 to 150 words from a Zipfian vocabulary of 50,000; a fifth are edited copies.

    An edited copy has 10 to 35 % of its words replaced, so that both decisions occur.
    """
    chance = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, 50_001)
    lengths = chance.integers(5, 151, count)
    drawn = chance.choice(50_000, size=int(lengths.sum()), p=frequency / frequency.sum())
    ends = np.cumsum(lengths)
    made = [drawn[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    for row in np.flatnonzero(chance.random(count) < 0.2)[1:]:
        copy = made[chance.integers(0, row)].copy()
        places = chance.choice(len(copy), size=int(len(copy) * chance.uniform(0.1, 0.35)))
        copy[places] = chance.integers(0, 50_000, len(places))
        made[row] = copy
    return [" ".join(f"w{word}" for word in words) for words in made]


def sift(count: int) -> dict[str, float]:
    """Sift ``count`` prompts, all of them in one pool."""
    made = texts(count)
    started, processor = time.perf_counter(), time.process_time()
    novelty = Novelty(0.7)
    kept = sum(map(novelty.take, made))
    return {
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - processor,
        "kept": kept,
    }


def against_rouge_score(pool_size: int, asked: int, sample: int) -> dict[str, Any]:
    """Ask a pool about new prompts; rouge-score does a sample of the same pairs, tokenized before.

    Every decision about a sampled prompt is compared, over the whole pool.
    """
    from rouge_score import rouge_scorer

    made = texts(pool_size + asked)
    pool, new = made[:pool_size], made[pool_size:]
    started = time.process_time()
    novelty = Novelty(0.7)
    novelty.add(pool)
    filled = time.process_time()
    decisions = list(map(novelty.take, new))
    ours = time.process_time() - started
    alone = time.process_time() - filled

    chance = random.Random(0)
    pairs = [(chance.choice(new), chance.choice(pool)) for _ in range(sample)]
    started = time.process_time()
    for one, other in pairs:
        rouge_scorer._score_lcs(words(other), words(one))
    theirs = (time.process_time() - started) / sample * pool_size * asked

    scorer = rouge_scorer.RougeScorer(["rougeL"])
    small = made[: min(sample // 20, 400)]
    known: list[str] = []
    expected = []
    for text in small:
        like = (scorer.score(one, text)["rougeL"].fmeasure > 0.7 for one in known)
        expected.append(not any(like))
        known += [text] if expected[-1] else []
    same = list(map(Novelty(0.7).take, small)) == expected
    return {"ours": ours, "alone": alone, "theirs": theirs, "same": same, "new": sum(decisions)}


def incremental(pool_size: int) -> dict[str, float]:
    """Fill a pool, then ask about 100 more prompts."""
    made = texts(pool_size + 100)
    started = time.process_time()
    novelty = Novelty(0.7)
    novelty.add(made[:pool_size])
    filled = time.process_time() - started
    started = time.process_time()
    list(map(novelty.take, made[pool_size:]))
    return {"filled": filled, "more": time.process_time() - started}


def figures(quick: bool) -> Iterator[Figure]:
    """What the novelty filter promises."""
    pool, asked, sample = (1_000, 200, 1_000) if quick else (20_000, 5_000, 8_000)
    try:
        import rouge_score  # noqa: F401
    except ImportError:
        yield Figure("novelty: against rouge-score", 0, "skipped", context="not installed")
    else:
        said = call(against_rouge_score, pool, asked, sample).said
        yield Figure(
            f"novelty: rouge-score's time over ours, {asked:,} x {pool:,} prompts",
            said["theirs"] / said["ours"], "x", ">= 1,000" if not quick else "",
            f"ours {said['ours']:.1f} s of one processor, the pool's index included; rouge-score "
            f"{said['theirs'] / 3600:.1f} h, from {sample:,} of the pairs",
        )  # fmt: skip
        yield Figure("novelty: decisions equal to rouge-score's", said["same"], "bool", ">= 1")
    small, large = (2_000, 8_000) if quick else (25_000, 100_000)
    one, four = call(sift, small).said, call(sift, large).said
    yield Figure(
        f"novelty: time of {large:,} prompts over that of {small:,} (the square would be 16)",
        four["processor"] / one["processor"], "x", "<= 20",
    )  # fmt: skip
    said = call(incremental, large).said
    yield Figure(
        f"novelty: 100 more prompts, share of the time that filled a pool of {large:,}",
        100 * said["more"] / said["filled"], "%",
    )  # fmt: skip
    if not quick:
        whole = call(sift, 200_000)
        yield Figure(
            "novelty: 200,000 prompts sifted, each against all that were kept before",
            whole.said["processor"] / 60, "min",
            context=f"processor time; {whole.said['seconds'] / 60:.1f} min on the clock",
        )  # fmt: skip
        yield Figure("novelty: peak memory at 200,000 prompts", whole.megabytes / 1024, "GB")
