"""Find where published versions come from: models, and the licenses and languages of inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from srlm_data.core.languages import is_code
from srlm_data.core.schema import LABELS, MESSAGES, METRICS, MODELS, SCORES
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph

_WITHOUT_TEXTS: Final = {MODELS.name, METRICS.name, SCORES.name, LABELS.name}

_LEAVE_OUT: Final = ("exclude", "against")
"""Steps' parameters for rows to leave out, whose texts are not in the result."""


class License(NamedTuple):
    """The license of an input, and where that input is from."""

    ref: str
    license: str
    origin: str


def licenses_of(store: Store, *manifests: Manifest) -> list[License]:
    """Return the licenses of all inputs that versions were made from, each once.

    A pulled version has the licenses of its own inputs in its notes.
    """
    licenses: dict[License, None] = {}
    for manifest in Graph(store).parents_first(manifests):
        for entry in manifest.notes.get("licenses", ()):
            if isinstance(entry, list) and len(entry) == len(License._fields):
                licenses[License(*map(str, entry))] = None
        own = manifest.identity["config"].get("license") or manifest.notes.get("license")
        if own:
            licenses[License(manifest.ref, str(own), _origin(manifest))] = None
    return list(licenses)


def _origin(manifest: Manifest) -> str:
    config = manifest.identity["config"]
    if config.get("hub"):
        return f"{config['hub']}@{config['commit']}"
    files = [f"a file with SHA-256 {file['sha256'][:16]}" for file in config.get("files") or ()]
    return ", ".join(files) or str(manifest.identity["step"])


class Languages(NamedTuple):
    """The languages of texts."""

    codes: list[str]  # the known languages
    unknown: list[str]  # the versions that declare no language

    @property
    def agreed(self) -> list[str]:
        """All languages; empty if one may be missing."""
        return [] if self.unknown else self.codes


def languages_of(store: Store, *manifests: Manifest) -> Languages:
    """Return the languages of the texts that versions were made from.

    A version declares its own in a note, which a pulled one has, in ``lang`` of its rows, or in the
    settings of its step. For a version that declares none, its parents are looked at.
    """
    graph = Graph(store)
    codes: set[str] = set()
    unknown: set[str] = set()
    waiting: dict[str, Manifest | None] = {manifest.ref: manifest for manifest in manifests}
    seen: set[str] = set()
    while waiting:
        ref, manifest = waiting.popitem()
        seen.add(ref)
        if manifest is None:
            unknown.add(ref)
        elif manifest.type in _WITHOUT_TEXTS:
            continue
        elif own := _own_languages(store, manifest):
            codes |= own
        else:
            parents = {
                parent.ref: parent.manifest
                for parent in graph.parents(manifest)
                if parent.parameter.partition(".")[0] not in _LEAVE_OUT
                and not (parent.manifest and parent.manifest.type in _WITHOUT_TEXTS)
            }
            unknown |= set() if parents else {ref}
            waiting |= {ref: parent for ref, parent in parents.items() if ref not in seen}
    return Languages(sorted(codes), sorted(unknown))


def _own_languages(store: Store, manifest: Manifest) -> set[str]:
    config = manifest.identity["config"]
    codes = set(manifest.notes.get("languages", ()))
    if not codes and manifest.type == MESSAGES.name:
        codes = {lang for (lang,) in store.rows(manifest).tuples("lang") if lang}
    if not codes:
        selected = manifest.identity["step"] in ("select_ift", "select_ranked")
        named = config.get("language") or (config.get("lang") if selected else None)
        codes = set(map(str, named if isinstance(named, list) else filter(None, [named])))
    return codes if all(map(is_code, codes)) and "any" not in codes else set()


def describe_languages(languages: Sequence[str], known: Languages) -> str:
    """Return the card's sentence on languages, as the publisher or else the inputs declare them."""
    codes = ", ".join(f"`{code}`" for code in languages or known.codes)
    if languages:
        return f"Languages: {codes}, as declared by the publisher."
    if known.unknown:
        silent = ", ".join(f"`{ref}`" for ref in known.unknown)
        return f"Languages: {codes + ' and others' if codes else 'unknown'}; not said of {silent}."
    return f"Languages: {codes}, as the inputs say. Nobody has checked what models wrote."


def hub_name(location: str) -> str | None:
    """Return ``name@revision`` of a model of the Hub; None for a model that is elsewhere."""
    kind, _, name = location.partition(":")
    return name if kind == "hub" else None


def hub_base(store: Store, manifest: Manifest) -> str | None:
    """Return the Hub model, ``name@revision``, that a model is or was trained from."""
    graph, model = Graph(store), store.find(manifest.name, manifest.version)
    while model:
        # A model given another chat template is in the store; the Hub's name is in its config.
        if name := model.identity.get("config", {}).get("hub"):
            return str(name)
        for row in store.rows(model).dicts():
            if name := hub_name(row["location"]):
                return name
        model = graph.read_as(model, "model")
    return None


def cell(value: Any) -> str:
    """Return a value on one line, for a cell of a Markdown table or between backticks."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")


def fenced(content: str, language: str = "text") -> str:
    """Return a Markdown code fence that nothing in its content can end."""
    fence = "```"
    while fence in content:
        fence += "`"
    content = content.rstrip("\n")
    return f"{fence}{language}\n{content}\n{fence}"


def table(columns: str, rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; a column whose name ends in ``:`` is aligned to the right."""
    names = columns.split(" | ")
    lines = [
        [name.removesuffix(":") for name in names],
        ["---:" if name.endswith(":") else "---" for name in names],
        *([str(value) for value in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def license_table(licenses: list[License]) -> str:
    """Return the part of a card that names the licenses of its inputs."""
    if not licenses:
        return "The inputs name no license."
    rows = [(cell(ref), f"`{cell(name)}`", cell(origin)) for ref, name, origin in licenses]
    return table("input | license | from", rows)
