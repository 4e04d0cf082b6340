"""The card of a published dataset: a README.md written from manifests and rows, whole each time.

The same versions in the same store give the same text, so that publishing twice changes nothing.
It quotes no row: model text is data, and a card is a page that people trust.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from srlm_data.analysis import figures
from srlm_data.core.controls import visible
from srlm_data.core.schema import CANDIDATES, DATASET_TYPES, JUDGMENTS, PAIRS
from srlm_data.publish._bundle import Bundle, Part
from srlm_data.publish._header import default_config, header
from srlm_data.publish._sources import cell, hub_name, license_table, licenses_of, table
from srlm_data.store import Store
from srlm_data.store.graph import Graph, inputs

_CARD: Final = """\
{header}
# {title}

Preference data that a language model made and judged itself, from a small human seed, after \
[Self-Rewarding Language Models](https://arxiv.org/abs/2401.10020). Every row can be traced to the \
version, the model and the settings that made it. Made with srlm-data.

## What is in it

{configs}

Each config has one split, `train`. Rows name their parents: a candidate its `prompt_id`, a \
judgment its `candidate_id`, a pair its `chosen_id` and `rejected_id`. `model` is the digest of \
the model that wrote a row. A judgment that could not be read has a `state` and no score.

## Load it

```python
from datasets import load_dataset

rows = load_dataset("{repo}", "{config}", split="train", revision="{tag}")
```

TRL's `DPOTrainer` takes a config of preference pairs as it is.

```sql
FROM 'hf://datasets/{repo}@{tag}/{config}/*.parquet' LIMIT 10;  -- DuckDB
```

```bash
srlm-data pull {repo}@{tag}  # as versions, with these ids
```

{scores}## From seed to pairs

{funnel}

## How each was made

{steps}

{models}## Licenses

{licenses}

## Limits and biases

{limits}

## Versions

{versions}
"""


def write(bundle: Bundle, store: Store, *, repo: str, tag: str, license: str | None) -> str:
    """Return the whole card.

    Args:
        bundle: what is published.
        store: where its rows lie, and what is known of its parents.
        repo: ``user/name`` on the Hub.
        tag: the tag that will name this bundle there.
        license: the publisher's word, before that of the inputs.
    """
    licenses = licenses_of(store, *(part.manifest for part in bundle.parts))
    names = [license] if license else list(dict.fromkeys(each.license for each in licenses))
    by_publisher = f"Published under `{cell(license)}`, by the word of the publisher.\n\n"
    card = _CARD.format(
        header=header(bundle, store, names),
        title=bundle.title,
        repo=repo,
        tag=tag,
        config=default_config(bundle),
        configs=_configs(bundle),
        scores="".join(_scores(bundle, store)),
        funnel=_funnel(bundle),
        steps="\n\n".join(line for part in bundle.parts for line in _step(part)),
        models=_models(bundle, store),
        licenses=(by_publisher if license else "") + license_table(licenses),
        limits="\n".join(_limits(bundle, store)),
        versions=_versions(bundle, store),
    )
    return visible(card)


def _configs(bundle: Bundle) -> str:
    def row(part: Part) -> list[str]:
        manifest = part.manifest
        columns = ", ".join(f"`{name}`" for name in DATASET_TYPES[manifest.type].schema.names)
        size = sum(file.bytes for file in manifest.files) / 1000
        return [f"`{part.config}`", manifest.type, f"{manifest.rows:,}", f"{size:,.1f}", columns]

    return table("config | dataset type | rows: | kB of Parquet: | columns", map(row, bundle.parts))


def _scores(bundle: Bundle, store: Store) -> Iterator[str]:
    for part in _parts(bundle, JUDGMENTS.name):
        with figures.connect(store, judgments={part.config: part.manifest}) as connection:
            counts = figures.whole_scale(connection)
            rows = figures.ask(connection, "states")
        if counts:
            most = max(count for _, count in counts)
            bars = "\n".join(
                f"{score:<3g}  {'█' * round(40 * count / most):<40}  {count:,}"
                for score, count in reversed(counts)
            )
            states = ", ".join(f"{cell(row['state'])} {row['judgments']:,}" for row in rows)
            yield f"## Scores in `{part.config}`\n\n{fenced(bars)}\n\n"
            yield f"States of the judgments: {states}.\n\n"
        if alpha := figures.agreement_of_judges(part.manifest):
            judges = "; ".join(
                f"`{cell(name)}` scored {told['answers']:,} answers and abstained from "
                f"{told['abstained']:,}"
                for name, told in part.manifest.notes["judges"].items()
            )
            yield f"Agreement of the judges (Krippendorff's alpha): {alpha}. {judges}.\n\n"


def _funnel(bundle: Bundle) -> str:
    def row(part: Part) -> list[str]:
        manifest = part.manifest
        parents = ", ".join(dict.fromkeys(read.name for read in inputs(manifest))) or "outside"
        reasons = figures.most_first(manifest.drops).items()
        drops = ", ".join(f"{count:,} {cell(reason)}" for reason, count in reasons) or "nothing"
        drops += f"; {cell(manifest.why_failed)}" if manifest.failures else ""
        return [f"`{part.config}`", parents, f"{manifest.rows:,}", drops]

    return table("config | made from | rows: | left out", map(row, bundle.parts))


def _step(part: Part) -> Iterator[str]:
    identity, cost = part.manifest.identity, part.manifest.cost
    settings, texts = [], {}
    for key, value in identity["config"].items():
        if isinstance(value, dict) and list(value) == ["text"]:
            texts[key] = value["text"]
        elif key == "query" and isinstance(value, str):
            texts[key] = value
        elif value not in (None, [], {}):
            settings.append(f"`{key} {cell(value)}`")
    lines = [f"- step `{cell(identity['step'])}`, revision {identity['revision']}"]
    if settings:
        lines.append(f"- {', '.join(settings)}")
    if cost:
        lines.append(
            f"- {int(cost.get('calls', 0) + cost.get('reused', 0)):,} responses of a model, "
            f"{int(cost.get('completion_tokens', 0)):,} tokens written"
        )
    yield f"### `{part.config}`: {cell(identity['step'])}"
    yield "\n".join(lines)
    for key, text in texts.items():
        yield f"The {key}:"
        yield fenced(text)


def _models(bundle: Bundle, store: Store) -> str:
    graph = Graph(store)
    models = {part.config: graph.read_as(part.manifest, "model") for part in bundle.parts}
    rows = []
    for ref, model in {model.ref: model for model in models.values() if model}.items():
        wrote = ", ".join(f"`{name}`" for name, other in models.items() if other == model)
        for row in store.rows(model).dicts():
            base = f"`{row['base']}`" if row["base"] else hub_name(row["location"]) or ""
            rows.append((ref, f"`{row['model']}`", row["method"], base, wrote))
    if not rows:
        return ""
    return (
        f"## Models\n\n{table('model | digest | made by | base | wrote', rows)}\n\n"
        "A digest covers weights, tokenizer and chat template; a base is named by its digest "
        "too.\n\n"
    )


def _limits(bundle: Bundle, store: Store) -> Iterator[str]:
    yield (
        "- Nobody has checked these rows for truth, harm or private matters: texts were written by "
        "models and by the people of the seed."
    )
    for part in _parts(bundle, PAIRS.name):
        with figures.connect(store, pairs={part.config: part.manifest}) as connection:
            [facts] = figures.ask(connection, "lengths")
        shorter = 1 - facts["chosen_is_longer"] - facts["equally_long"]
        yield (
            f"- Length, `{part.config}`: chosen answers have {facts['mean_chosen']:,} characters "
            f"on average, rejected ones {facts['mean_rejected']:,}. The chosen one is longer in "
            f"{100 * facts['chosen_is_longer']:.1f} % of the pairs and shorter in "
            f"{100 * shorter:.1f} %. What a judge likes for its "
            "length, DPO learns."
        )
    rows = []
    for part in _parts(bundle, JUDGMENTS.name):
        answers = Graph(store).read_as(part.manifest, CANDIDATES.name)
        with figures.connect(
            store,
            judgments={part.config: part.manifest},
            candidates={part.config: answers} if answers else {},
        ) as connection:
            scores = figures.ask(connection, "scores")
            states = figures.ask(connection, "states")
            judged, own = figures.own_answers(connection)
        judgments = sum(row["judgments"] for row in states)  # rows are criteria, too
        scored = sum(row["judgments"] for row in scores)
        score, share = figures.most_common_scores(scores).get(part.config, (0.0, 0.0))
        rows.append(
            (
                f"`{part.config}`",
                f"{score:g}: {100 * share:.1f} %" if scored else "none",
                _share(own, judged) if judged else "unknown",
                _share(judgments - scored, judgments),
            )
        )
    if rows:
        yield (
            "- A score that most answers get cannot order them, and a judge may favour its own "
            "words; what it cannot see it cannot mark:\n"
        )
        yield table(
            "judgments | most frequent score: | of the judge's own answers: | without a score:",
            rows,
        )


def _versions(bundle: Bundle, store: Store) -> str:
    known = Graph(store).parents_first(part.manifest for part in bundle.parts)
    rows = [
        (
            manifest.name,
            f"`{manifest.version}`",
            f"`{manifest.content[:16]}`",
            cell(manifest.identity["step"]),
            str(manifest.provenance.get("at", ""))[:10],
        )
        for manifest in known
    ]
    text = table("dataset | version | content | step | made", rows)
    packages: dict[str, set[str]] = {}
    for part in bundle.parts:
        for name, version in part.manifest.provenance.get("packages", {}).items():
            packages.setdefault(name, set()).add(version)
    if not packages:
        return text
    names = ", ".join(f"{name} {' and '.join(sorted(v))}" for name, v in packages.items())
    return f"{text}\n\nMade with {names}. Manifests with every setting are in `manifests/`."


def _parts(bundle: Bundle, dataset_type: str) -> list[Part]:
    return [
        part for part in bundle.parts if part.manifest.type == dataset_type and part.manifest.rows
    ]


def fenced(content: str) -> str:
    """Return a block of text that nothing inside can end."""
    fence = "```"
    while fence in content:
        fence += "`"
    content = content.rstrip("\n")
    return f"{fence}text\n{content}\n{fence}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
