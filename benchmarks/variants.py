"""Every variant against plain self-rewarding, on the embedded world: the table of docs/variants.md.

    python benchmarks/variants.py --seeds 0 1 2

builds each variant's model once for each seed, from the same seed, and lets the
world's oracle compare its answers to held-out prompts with those of plain self-rewarding (M2 of
recipes/iter1.yaml). One store a seed: a second run goes on where the first was stopped. ``--only``
builds some of the variants; the table has whatever is there, ``--table`` builds nothing, and
``--write`` puts it into docs/variants.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import click

from srlm_data.analysis.query import connect
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.store import Store

ROOT: Final = Path(__file__).resolve().parent.parent
TABLE: Final = ROOT / "docs" / "variants.md"
MARKS: Final = ("<!-- table: benchmarks/variants.py -->", "<!-- end of table -->")

VARIANTS: Final = {
    "plain": ("iter1.m2", "best against worst, a point apart"),
    "best_random": ("pairing.best_random_m2", "best against any worse one"),
    "best_second": ("pairing.best_second_m2", "best against the next best"),
    "all_pairs": ("pairing.all_pairs_m2", "all pairs a point apart"),
    "wrap_around": (
        "pairing.wrap_around_m2",
        "winners and losers in turn, up to 10 pairs a prompt",
    ),
    "length_controlled": ("pairing.length_controlled_m2", "length-controlled, rho 0.3"),
    "agreed": ("pairing.agreed_m2", "only answers whose scores lie within a point"),
    "temporal": ("temporal.m2", "rejected answers from M0"),
    "spin": ("spin.m2", "human replies against M1's own"),
    "sppo": ("sppo.m2", "win probabilities, SPPO's hard loss"),
    "cream": ("cream.m2", "intrinsic rewards, smoothed labels (CREAM)"),
    "expected_score": ("expected_score.m2", "scores as expectations over the score token"),
    "outside_judge": ("outside_judge.m2", "an outside judge"),
    "outside_beside": ("outside_judge.beside_m2", "an outside judge beside M1's own"),
    "no_eft": ("no_eft.m2", "the judge is SFT, without EFT (the paper's A.3)"),
    "positives": ("positives.m2", "SFT on the answers with a perfect score (the paper's A.4)"),
    "iterative_rpo": ("iterative_rpo.m2", "checked answers, DPO + NLL (sees the truth)"),
    "dialogues": ("dialogues.m2", "prompts are conversations of several turns"),
    "self_taught": (
        "self_taught.m2",
        "a judge taught without human ranks (Self-Taught Evaluators)",
    ),
    "meta_rewarding": ("meta_rewarding.m2", "Meta-Rewarding: judge pairs beside actor pairs"),
}
"""Variant -> the model that it makes, and what it does otherwise than plain self-rewarding."""

MEASURE: Final = """\
seed: 0
engine: {{kind: transformers}}
datasets:
  ranked:
    step: sql
    inputs: {{ranked: seed.ranked}}
    query: SELECT * FROM ranked WHERE split = 'eval'
  judgments: {{step: judge, candidates: ranked, model: {model}, template: judge_brief,
    max_tokens: 64}}
  as_judge: {{step: measure_judge, candidates: ranked, judgments: judgments}}
  answers: {{step: generate, prompts: seed.held_out, model: {model}, n: 1, max_tokens: 48,
    cut_off: keep}}
  truth: {{step: 'srlm_data.demo.steps:consult_oracle', candidates: answers}}
  as_assistant: {{step: describe_answers, candidates: answers, judgments: truth}}
"""
DUEL: Final = """\
  duel:
    step: compare_scores
    first: answers
    second: measure_plain.answers
    first_scores: truth
    second_scores: measure_plain.truth
  against_plain: {step: win_rates, comparisons: [duel]}
"""


def main() -> None:
    """Build what is asked for, then say what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--stores", type=Path, default=ROOT / "store" / "variants")
    parser.add_argument("--table", action="store_true", help="build nothing")
    parser.add_argument("--write", action="store_true", help="put the table into docs/variants.md")
    arguments = parser.parse_args()
    for seed in [] if arguments.table else arguments.seeds:
        recipes = _recipes(arguments.stores / "recipes")
        for variant in dict.fromkeys(["plain", *arguments.only]):
            click.echo(f"seed {seed}: {variant}", err=True)
            _build(recipes / f"measure_{variant}.yaml", _store(arguments.stores, seed), seed)
        _build(recipes / "multiple_choice.yaml", _store(arguments.stores, seed), seed)
    found = {
        seed: {
            variant: figures
            for variant in VARIANTS
            if (figures := read(_store(arguments.stores, seed), variant))
        }
        for seed in arguments.seeds
    }
    text = f"{table(found)}\n\n{judges(arguments.stores, arguments.seeds)}"
    click.echo(text)
    if arguments.write:
        before, rest = TABLE.read_text(encoding="utf-8").split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        TABLE.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}", encoding="utf-8")
    click.echo(json.dumps({"benchmark": "variants", "seeds": found}))


def _store(stores: Path, seed: int) -> Path:
    return stores / f"seed-{seed}"


def _recipes(folder: Path) -> Path:
    """The shipped recipes, and one more for each variant that measures what it made."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / "recipes").glob("*.yaml"):
        shutil.copy(file, folder)
    for variant, (model, _) in VARIANTS.items():
        text = MEASURE.format(model=model) + ("" if variant == "plain" else DUEL)
        (folder / f"measure_{variant}.yaml").write_text(text, encoding="utf-8")
    return folder


def _build(file: Path, store: Path, seed: int) -> None:
    """In this process: the model library is imported once, and not for each variant."""
    build(load(file, seed=seed), Store(store))


def read(root: Path, variant: str) -> dict[str, Any]:
    """The figures of a variant, from the datasets of its store; none if it is not there."""
    store = Store(root)
    last = "as_assistant" if variant == "plain" else "against_plain"
    if f"measure_{variant}.{last}" not in store.names():
        return {}
    figures = {}
    with connect(root) as connection:
        for part in ("as_judge", "as_assistant", *(() if variant == "plain" else (last,))):
            figures |= {
                name: values
                for name, *values in connection.execute(
                    f"SELECT metric, value, low, high FROM measure_{variant}.{part}"
                ).fetchall()
            }
    [model] = store.rows(store.resolve(VARIANTS[variant][0])).table().to_pylist()
    kept = ("wins", "ties", "losses", "win_rate", "pairwise_accuracy", "answer_mean_score")
    return {
        **{name: figures[name] for name in kept if name in figures},
        "characters": figures["characters"],
        "pairs": model["examples"],
        "cost": _cost(store, VARIANTS[variant][0]),
    }


def _cost(store: Store, model: str) -> dict[str, int]:
    """What a model took after the seed: requests to models, and their tokens."""
    waiting, seen = [store.resolve(model)], set()
    total = {"requests": 0, "tokens": 0}
    while waiting:
        manifest = waiting.pop()
        if manifest.ref in seen or manifest.name.startswith("seed."):
            continue
        seen.add(manifest.ref)
        cost = manifest.cost
        total["requests"] += int(cost.get("calls", 0) + cost.get("reused", 0))
        total["tokens"] += int(cost.get("prompt_tokens", 0) + cost.get("completion_tokens", 0))
        waiting += [store.manifest(read.name, read.version) for read in manifest.inputs]
    return total


def table(found: dict[int, dict[str, Any]]) -> str:
    """The table in Markdown: a row a variant, the mean of its seeds, and each seed's win rate."""
    lines = [
        "| variant | otherwise than plain | win rate against plain % (each seed) | better? "
        "| oracle, 0 to 5 | judge's accuracy % | characters | pairs | requests | tokens, M |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for variant, (model, what) in VARIANTS.items():
        seeds = {seed: rows[variant] for seed, rows in found.items() if variant in rows}
        if not seeds:
            lines.append(
                f"| [{variant}](../recipes/{model.partition('.')[0]}.yaml) | {what} "
                "| not measured |  |  |  |  |  |  |  |"
            )
            continue
        rows = list(seeds.values())
        cells = [
            f"[{variant}](../recipes/{model.partition('.')[0]}.yaml)",
            what,
            _duels(seeds),
            _verdict(rows),
            f"{fmean(row['answer_mean_score'][0] for row in rows):.2f}",
            f"{100 * fmean(row['pairwise_accuracy'][0] for row in rows):.1f}",
            f"{fmean(row['characters'][0] for row in rows):.1f}",
            f"{fmean(row['pairs'] for row in rows):,.0f}",
            f"{fmean(row['cost']['requests'] for row in rows):,.0f}",
            f"{fmean(row['cost']['tokens'] for row in rows) / 1e6:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def judges(stores: Path, seeds: list[int]) -> str:
    """The SFT baseline as a judge, by the additive prompt and by the multiple-choice one."""
    lines = ["| judge prompt, SFT baseline | pairwise accuracy % (each seed) |", "|---|---|"]
    for name, part in (("additive", "additive_as_judge"), ("multiple choice", "as_judge")):
        found = {}
        for seed in seeds:
            dataset = f"multiple_choice.{part}"
            if dataset in Store(_store(stores, seed)).names():
                with connect(_store(stores, seed)) as connection:
                    found[seed] = connection.execute(
                        f"SELECT value FROM {dataset} WHERE metric = 'pairwise_accuracy'"
                    ).fetchall()[0][0]
        each = ", ".join(f"{seed}: {100 * value:.1f}" for seed, value in found.items())
        lines.append(f"| [{name}](../recipes/multiple_choice.yaml) | {each or 'not measured'} |")
    return "\n".join(lines)


def _duels(seeds: dict[int, dict[str, Any]]) -> str:
    rates = {seed: row["win_rate"] for seed, row in seeds.items() if "win_rate" in row}
    if not rates:
        return "-"
    each = ", ".join(f"{seed}: {100 * rate[0]:.1f}" for seed, rate in rates.items())
    return f"{100 * fmean(rate[0] for rate in rates.values()):.1f} ({each})"


def _verdict(rows: list[dict[str, Any]]) -> str:
    """On how many seeds the interval of the win rate lies above, around and below one half."""
    rates = [row["win_rate"] for row in rows if "win_rate" in row]
    if not rates:
        return "-"
    above = sum(low > 0.5 for _, low, _ in rates)
    below = sum(high < 0.5 for *_, high in rates)
    return f"{above} yes, {len(rates) - above - below} open, {below} worse"


if __name__ == "__main__":
    main()
