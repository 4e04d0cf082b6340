"""The card of a published dataset: a README.md written from manifests and rows, whole each time.

It is a function of what is published and of the store that it lies in: the same versions give the
same text, so that publishing twice changes nothing. It quotes no row: model text is data, and a
card is a page that people trust.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from srlm_data.core.schema import DATASET_TYPES
from srlm_data.publish.bundle import Part, Release, plain
from srlm_data.publish.card import _figures, lineage
from srlm_data.publish.card._header import header
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph, inputs

_LOOP: Final = """\
 seed ──► prompts ──► candidates ──► judgments ──► pairs ──► SFT / DPO ──► the next model
  │          ▲             ▲              ▲                                      │
  └──────────┴─────────────┴──────────────┴───────────── a model is a version ◄──┘"""

_BAR: Final = 40


def text(release: Release, store: Store, *, repo: str, tag: str, license: str | None) -> str:
    """The whole card.

    Args:
        release: what is published.
        store: where its rows lie, and what is known of its parents.
        repo: ``user/name`` on the Hub.
        tag: the tag that will name this release there.
        license: the publisher's word, before that of the inputs.
    """
    known = Graph(store).parents_first(part.manifest for part in release.parts)
    found = lineage.licenses(known)
    licenses = [license] if license else list(dict.fromkeys(one.license for one in found))
    sections = [
        _what(release),
        _configs(release),
        _loading(release, repo, tag),
        _scores(release, store),
        _funnel(release),
        _making(release),
        _models(release, store),
        _licenses(found, license),
        _limits(release, store),
        _versions(known, release),
    ]
    texts = ["\n".join(lines).strip("\n") for lines in sections]
    body = "\n\n".join(filter(None, texts))
    return f"{header(release, store, licenses)}\n{body}\n"


def _what(release: Release) -> Iterator[str]:
    yield f"# {release.title}"
    yield ""
    yield (
        "Preference data that a language model made and judged itself, from a small human seed, "
        "after [Self-Rewarding Language Models](https://arxiv.org/abs/2401.10020). Every row can "
        "be traced to the version, the model and the settings that made it. Made with srlm-data."
    )
    yield ""
    yield from _fenced(_LOOP)


def _configs(release: Release) -> Iterator[str]:
    yield "## What is in it"
    yield ""
    yield "| config | dataset type | rows | Parquet | columns |"
    yield "|---|---|---:|---:|---|"
    for part in release.parts:
        manifest = part.manifest
        columns = ", ".join(f"`{name}`" for name in DATASET_TYPES[manifest.type].schema.names)
        size = _size(sum(file.bytes for file in manifest.files))
        yield f"| `{part.config}` | {manifest.type} | {manifest.rows:,} | {size} | {columns} |"
    yield ""
    yield (
        "Each config has one split, `train`. Rows name their parents: a candidate its `prompt_id`, "
        "a judgment its `candidate_id`, a pair its `chosen_id` and `rejected_id`. `model` is the "
        "digest of the model that wrote a row. A judgment that could not be read has a `state` "
        "and no score."
    )


def _loading(release: Release, repo: str, tag: str) -> Iterator[str]:
    configs = [one.config for one in release.parts]
    shown = "pairs" if "pairs" in configs else configs[-1]
    trains = any(one.config == shown and one.manifest.type == "pairs" for one in release.parts)
    yield "## Load it"
    yield ""
    yield "```python"
    yield "from datasets import load_dataset"
    yield ""
    yield f'rows = load_dataset("{repo}", "{shown}", split="train", revision="{tag}")'
    if trains:
        yield ""
        yield "from trl import DPOConfig, DPOTrainer"
        yield ""
        yield 'trainer = DPOTrainer("your/model", args=DPOConfig("out"), train_dataset=rows)'
    yield "```"
    yield ""
    yield "```sql"
    yield f"FROM 'hf://datasets/{repo}@{tag}/{shown}/*.parquet' LIMIT 10;  -- DuckDB"
    yield "```"
    yield ""
    yield "```bash"
    yield f"srlm-data pull {repo}@{tag}  # as versions, with these ids"
    yield "```"


def _scores(release: Release, store: Store) -> Iterator[str]:
    for part in _of(release, "judgments"):
        counts = _figures.scores(store, part)
        if not counts:
            continue
        most = max(n for _, n in counts)
        yield ""
        yield f"## Scores in `{part.config}`"
        yield ""
        yield from _fenced(
            "\n".join(
                f"{score}  {'█' * round(_BAR * n / most):<{_BAR}}  {n:,}"
                for score, n in reversed(counts)
            )
        )
        yield ""
        told = ", ".join(f"{plain(state)} {n:,}" for state, n in _figures.states(store, part))
        yield f"States of the judgments: {told}."


def _funnel(release: Release) -> Iterator[str]:
    yield "## From seed to pairs"
    yield ""
    yield "| config | made from | rows | left out |"
    yield "|---|---|---:|---|"
    for part in release.parts:
        manifest = part.manifest
        read = ", ".join(dict.fromkeys(one.name for one in inputs(manifest))) or "outside"
        drops = ", ".join(f"{n:,} {plain(why)}" for why, n in manifest.drops.items()) or "nothing"
        yield f"| `{part.config}` | {read} | {manifest.rows:,} | {drops} |"


def _making(release: Release) -> Iterator[str]:
    yield "## How each was made"
    for part in release.parts:
        identity, cost = part.manifest.identity, part.manifest.cost
        config = dict(identity["config"])
        texts = {
            key: config.pop(key)["text"]
            for key, value in list(config.items())
            if isinstance(value, dict) and list(value) == ["text"]
        }
        if isinstance(config.get("query"), str):
            texts["query"] = config.pop("query")
        yield ""
        yield f"### `{part.config}`: {plain(identity['step'])}"
        yield ""
        yield f"- step `{plain(identity['step'])}`, revision {identity['revision']}"
        settings = [
            f"`{key} {plain(value)}`"
            for key, value in config.items()
            if value not in (None, [], {})
        ]
        if settings:
            yield f"- {', '.join(settings)}"
        if cost:
            yield (
                f"- {int(cost.get('calls', 0) + cost.get('reused', 0)):,} answers of a model, "
                f"{int(cost.get('completion_tokens', 0)):,} tokens written"
            )
        for key, value in texts.items():
            yield ""
            yield f"The {key}:"
            yield ""
            yield from _fenced(value)


def _models(release: Release, store: Store) -> Iterator[str]:
    found = lineage.models(release, store)
    if not found:
        return
    yield "## Models"
    yield ""
    yield "| model | digest | made by | base | wrote |"
    yield "|---|---|---|---|---|"
    for one in found:
        base = f"`{one.base}`" if one.base else one.hub or ""
        wrote = ", ".join(f"`{config}`" for config in one.wrote)
        yield f"| {one.name} | `{one.digest}` | {one.method} | {base} | {wrote} |"
    yield ""
    yield "A digest covers weights, tokenizer and chat template; a base is named by its digest too."


def _licenses(found: list[lineage.License], license: str | None) -> Iterator[str]:
    yield "## Licenses"
    yield ""
    if license:
        yield f"Published under `{plain(license)}`, by the word of the publisher."
        yield ""
    yield from lineage.license_table(found)


def _limits(release: Release, store: Store) -> Iterator[str]:
    yield "## Limits and biases"
    yield ""
    for part in _of(release, "pairs"):
        facts = _figures.lengths(store, part)
        if facts["pairs"]:
            yield (
                f"- Length, `{part.config}`: chosen answers have {facts['chosen']:,} characters on "
                f"average, rejected ones {facts['rejected']:,}. The chosen one is longer in "
                f"{_share(facts['chosen_longer'], facts['pairs'])} of the pairs and shorter in "
                f"{_share(facts['rejected_longer'], facts['pairs'])}. What a judge likes for its "
                "length, DPO learns."
            )
    yield (
        "- Nobody has checked these rows for truth, harm or private matters: texts were written by "
        "models and by the people of the seed."
    )
    judgments = _of(release, "judgments")
    if not judgments:
        return
    yield (
        "- A score that most answers get cannot order them, and a judge may favour its own words; "
        "what it cannot see it cannot mark:"
    )
    yield ""
    yield "| judgments | most frequent score | of the judge's own answers | without a score |"
    yield "|---|---:|---:|---:|"
    for part in judgments:
        counts = _figures.scores(store, part)
        total = sum(n for _, n in counts)
        score, n = max(counts, key=lambda one: one[1], default=(0, 0))
        crowded = f"{score}: {_share(n, total)}" if total else "none"
        own = _figures.own_answers(store, part)
        of_its_own = _share(own[1], own[0]) if own and own[0] else "unknown"
        lost = _share(part.manifest.rows - total, part.manifest.rows)
        yield f"| `{part.config}` | {crowded} | {of_its_own} | {lost} |"


def _versions(known: list[Manifest], release: Release) -> Iterator[str]:
    yield "## Versions"
    yield ""
    yield "| dataset | version | content | step | made |"
    yield "|---|---|---|---|---|"
    for one in known:
        made = str(one.made.get("at", ""))[:10]
        yield (
            f"| {one.name} | `{one.version}` | `{one.content[:16]}` | "
            f"{plain(one.identity['step'])} | {made} |"
        )
    packages: dict[str, set[str]] = {}
    for part in release.parts:
        for name, version in part.manifest.made.get("packages", {}).items():
            packages.setdefault(name, set()).add(version)
    if packages:
        yield ""
        told = ", ".join(
            f"{name} {' and '.join(sorted(found))}" for name, found in packages.items()
        )
        yield f"Made with {told}. Manifests with every setting are in `manifests/`."


def _of(release: Release, dataset_type: str) -> list[Part]:
    return [one for one in release.parts if one.manifest.type == dataset_type and one.manifest.rows]


def _fenced(content: str) -> list[str]:
    """A block that nothing inside can end."""
    fence = "```"
    while fence in content:
        fence += "`"
    return [f"{fence}text", *content.rstrip("\n").split("\n"), fence]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
