"""The closed loop, measured: does each model beat the one before, and does its judgment hold?

    python benchmarks/closed_loop.py --seeds 0 1 2

builds ``recipes/loop.yaml`` (and with it the seed and both iterations) and ``recipes/no_eft.yaml``
once for each seed, each in a store of its own that a second run goes on from. The oracle of the
embedded world compares the models' answers to held-out prompts; nothing is trained on what it says.
Prints a table, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import duckdb
import numpy as np
import numpy.typing as npt

from srlm_data.analysis.query import connect

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("sft", "m1", "m2", "m3")
DUELS = (("m1", "sft"), ("m2", "m1"), ("m3", "m2"), ("m3", "m1"))


def main() -> None:
    """Run every seed and say what came out, whether it succeeded or not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--stores", type=Path, default=ROOT / "store" / "closed_loop")
    arguments = parser.parse_args()
    results = []
    for seed in arguments.seeds:
        store = arguments.stores / f"seed-{seed}"
        started = time.perf_counter()
        for recipe in ("loop", "no_eft"):
            click.echo(f"seed {seed}: recipes/{recipe}.yaml", err=True)
            subprocess.run(
                [sys.executable, "-m", "srlm_data", "--store", store, "build",
                 f"recipes/{recipe}.yaml", "--seed", str(seed)],
                cwd=ROOT, check=True,
            )  # fmt: skip
        result = read(store)
        result = {"seed": seed, "seconds": round(time.perf_counter() - started), **result}
        results.append(result)
        click.echo(table(result))
    passed = all(result["passed"] for result in results)
    click.echo(json.dumps({"benchmark": "closed_loop", "passed": passed, "seeds": results}))


def read(store: Path) -> dict[str, Any]:
    """The figures of one seed, from the datasets of its store."""
    with connect(store) as connection:
        digests = dict(
            connection.execute(
                "SELECT split_part(dataset, '.', 2), model FROM all_models "
                "WHERE dataset IN ('seed.sft', 'seed.m1', 'iter1.m2', 'iter2.m3')"
            ).fetchall()
        )
        figures = connection.execute(
            "SELECT model, coalesce(versus, ''), metric, value, low, high FROM all_metrics"
        ).fetchall()
        pairs = dict(
            connection.execute("SELECT dataset, count(*) FROM all_pairs GROUP BY 1").fetchall()
        )
        change = judge_change(connection, "m3", "m1")
    found = {(model, versus, name): values for model, versus, name, *values in figures}

    def of(model: str, name: str, versus: str = "") -> list[float]:
        return found[digests[model], digests.get(versus, ""), name]

    duels = {
        f"{one} v {two}": {
            name: of(one, name, two) for name in ("wins", "ties", "losses", "win_rate")
        }
        for one, two in DUELS
    }
    judges = {model: of(model, "pairwise_accuracy")[0] for model in MODELS}
    return {
        "duels": duels,
        "pairwise_accuracy": judges,
        "judge_m3_over_m1": change,
        "modal_share": {model: of(model, "modal_share")[0] for model in MODELS},
        "answer_quality": {model: of(model, "answer_mean_score")[0] for model in MODELS},
        "answer_characters": {model: of(model, "characters")[0] for model in MODELS},
        "pairs": pairs,
        "passed": all(duels[duel]["win_rate"][1] > 0.5 for duel in ("m2 v m1", "m3 v m2"))
        and judges["m3"] >= judges["m1"],
    }


def judge_change(
    connection: duckdb.DuckDBPyConnection, model: str, before: str
) -> tuple[float, float, float]:
    """How much more accurate a judge is than another one, with a 95 % interval.

    Both have judged the same replies, so the prompts are drawn anew for both together: the interval
    of the difference is narrower than those of the two accuracies.
    """

    def right(name: str) -> npt.NDArray[np.float64]:
        prompts = connection.execute(f"""
            WITH scored AS (
                SELECT ranked.prompt_id, candidate_id, rank, round(avg(score), 9) AS score
                FROM loop.ranked LEFT JOIN loop.{name}_judgments USING (candidate_id) GROUP BY ALL
            )
            SELECT count(*) FILTER (a.score > b.score), count(a.score + b.score)
            FROM scored AS a JOIN scored AS b USING (prompt_id) WHERE a.rank < b.rank
            GROUP BY prompt_id ORDER BY prompt_id
        """).fetchall()
        return np.array(prompts, dtype=float)

    after, first = right(model), right(before)
    draws = np.random.default_rng(0).integers(0, len(after), (2000, len(after)))

    def accuracy(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        accuracies: npt.NDArray[np.float64] = counts[..., 0].sum(-1) / counts[..., 1].sum(-1)
        return accuracies

    low, high = np.quantile(accuracy(after[draws]) - accuracy(first[draws]), [0.025, 0.975])
    return float(accuracy(after) - accuracy(first)), float(low), float(high)


def table(result: dict[str, Any]) -> str:
    """One seed's figures, in the form of the paper's tables."""
    lines = [f"seed {result['seed']}, {result['seconds']} s", ""]
    lines.append(f"{'':<28}" + "".join(f"{model.upper():>8}" for model in MODELS))
    for name, label in (
        ("pairwise_accuracy", "judge: pairwise accuracy"),
        ("modal_share", "judge: modal score's share"),
        ("answer_quality", "answers: oracle, 0 to 5"),
        ("answer_characters", "answers: characters"),
    ):
        cells = "".join(f"{result[name][model]:>8.3g}" for model in MODELS)
        lines.append(f"{label:<28}{cells}")
    lines.append("")
    for duel, shares in result["duels"].items():
        value, low, high = (100 * share for share in shares["win_rate"])
        split = " / ".join(f"{100 * shares[name][0]:.1f}" for name in ("wins", "ties", "losses"))
        lines.append(
            f"{duel:<10} win/tie/loss % {split:<20} win rate {value:.1f} [{low:.1f}, {high:.1f}]"
        )
    change, low, high = (100 * value for value in result["judge_m3_over_m1"])
    lines.append(f"judge, M3 over M1: {change:+.1f} points of accuracy [{low:+.1f}, {high:+.1f}]")
    pairs = ", ".join(f"{name} {count:,}" for name, count in sorted(result["pairs"].items()))
    lines += [f"pairs: {pairs}", f"passed: {result['passed']}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
