"""Write the card of a published dataset: a README.md made from manifests and rows.

The same versions in the same store give the same text, so that publishing twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from srlm_data.analysis import figures
from srlm_data.core.controls import visible
from srlm_data.core.schema import DATASET_TYPES, JUDGMENTS, PAIRS
from srlm_data.publish import _funnel_picture as funnel_picture
from srlm_data.publish._bundle import Bundle, Part
from srlm_data.publish._citation import bibtex
from srlm_data.publish._header import default_part, header
from srlm_data.publish._limits import limits
from srlm_data.publish._samples import samples
from srlm_data.publish._sources import (
    cell,
    describe_languages,
    fenced,
    hub_name,
    languages_of,
    license_table,
    licenses_of,
    table,
)
from srlm_data.publish._splits import Splits, describe_splits
from srlm_data.report.funnel import steps_to
from srlm_data.store import Store
from srlm_data.store.graph import Graph, inputs

_CARD: Final = """\
{header}
# {title}

Preference data that a language model generated and judged itself, from a small human seed, as in \
[Self-Rewarding Language Models](https://arxiv.org/abs/2401.10020). Every row can be traced to the \
version, the model and the settings that made it. Made with srlm-data.

## What is in it

{configs}

{splits} Rows name their parents: a candidate its `prompt_id`, a judgment its `candidate_id`, a \
pair its `chosen_id` and `rejected_id`. `model` is the digest of the model that wrote a row. A \
judgment that could not be parsed has a `state` and no score.

{language}

{samples}## Load it

{load}

```sql
FROM 'hf://datasets/{repo}@{tag}/{config}/*.parquet' LIMIT 10;  -- DuckDB
```

```bash
srlm-data pull {repo}@{tag}  # the same versions, with the same ids
```

{scores}## From seed to pairs

![{picture_in_words}]({picture})

{funnel}

## How each was made

{steps}

{models}## Licenses

{licenses}

## Limits and biases

{limits}

## Versions

{versions}

## Citation

{citation}
"""


def write(
    bundle: Bundle,
    store: Store,
    splits: Splits,
    *,
    repo: str,
    tag: str,
    license: str | None,
    languages: Sequence[str],
) -> dict[str, str]:
    """Return the card and its picture, by their paths in the repository.

    The license and languages that the publisher declares take precedence over those of the inputs.
    """
    manifests = [part.manifest for part in bundle.parts]
    licenses = licenses_of(store, *manifests)
    names = [license] if license else list(dict.fromkeys(each.license for each in licenses))
    by_publisher = f"Published under `{cell(license)}`, as declared by the publisher.\n\n"
    known = languages_of(store, *manifests)
    first = default_part(bundle, splits)
    steps = steps_to(store, first.manifest)
    picture = f"{first.config}/funnel.svg"
    card = _CARD.format(
        header=header(bundle, splits, names, languages or known.agreed),
        title=bundle.title,
        repo=repo,
        tag=tag,
        config=first.config,
        configs=_configs(bundle, splits),
        splits=describe_splits(splits),
        language=describe_languages(languages, known),
        samples=samples(store, first),
        load=_load(first, splits, repo, tag),
        scores="".join(_scores(bundle, store)),
        picture=picture,
        picture_in_words=f"From seed to {first.config}: {funnel_picture.describe(steps)}",
        funnel=_funnel(bundle),
        steps="\n\n".join(line for part in bundle.parts for line in _step(part)),
        models=_models(bundle, store),
        licenses=(by_publisher if license else "") + license_table(licenses),
        limits="\n".join(limits(bundle, store)),
        versions=_versions(bundle, store),
        citation=fenced(bibtex(bundle, repo, tag), "bibtex"),
    )
    return {"README.md": visible(card), picture: funnel_picture.draw(steps)}


def _configs(bundle: Bundle, splits: Splits) -> str:
    def row(part: Part) -> list[str]:
        manifest = part.manifest
        columns = ", ".join(f"`{name}`" for name in DATASET_TYPES[manifest.type].schema.names)
        size = sum(file.bytes for file in manifest.files) / 1000
        rows = " + ".join(f"{split.rows.count():,}" for split in splits[part.config])
        return [f"`{part.config}`", manifest.type, rows, f"{size:,.1f}", columns]

    return table("config | dataset type | rows: | kB of Parquet: | columns", map(row, bundle.parts))


def _load(part: Part, splits: Splits, repo: str, tag: str) -> str:
    lines = ["from datasets import load_dataset", ""]
    arguments = f'"{repo}", "{part.config}", revision="{tag}"'
    is_split = len(splits[part.config]) > 1
    if is_split:
        lines += [f"rows = load_dataset({arguments})", 'train, test = rows["train"], rows["test"]']
    else:
        lines.append(f'train = load_dataset({arguments}, split="train")')
    text = fenced("\n".join(lines), "python")
    if part.manifest.type == PAIRS.name:
        text += "\n\nTRL's `DPOTrainer` takes them as they are: `train_dataset=train"
        text += ", eval_dataset=test`." if is_split else "`."
    return text


def _scores(bundle: Bundle, store: Store) -> Iterator[str]:
    for part in bundle.of_type(JUDGMENTS.name):
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
                f"`{cell(name)}` scored {judge['answers']:,} answers and abstained from "
                f"{judge['abstained']:,}"
                for name, judge in part.manifest.notes.get("judges", {}).items()
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

    return table("config | made from | rows: | dropped", map(row, bundle.parts))


def _step(part: Part) -> Iterator[str]:
    identity, spent = part.manifest.identity, figures.spending(part.manifest)
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
    if responses := spent.get("calls", 0) + spent.get("reused", 0):
        lines.append(
            f"- {responses:,} responses of a model, "
            f"{spent.get('completion_tokens', 0):,} tokens written"
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
