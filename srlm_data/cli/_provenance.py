"""Format a version's provenance as lines, for ``show`` and ``log``."""

from __future__ import annotations

from collections.abc import Iterator

from srlm_data.analysis.lineage.gist import shortened
from srlm_data.pipeline.plan import changes
from srlm_data.store import Manifest
from srlm_data.store.graph import Graph


def provenance(manifest: Manifest, graph: Graph) -> Iterator[str]:
    """Yield lines with a version's command, commit, time, cost, inputs, failures and drops."""
    origin = manifest.provenance
    commit = f"  at commit {origin['commit'][:12]}" if origin.get("commit") else ""
    command = " ".join(origin.get("argv", []))
    how = f"pulled from {origin['pulled']}" if "pulled" in origin else command
    yield f"{how}{commit}"
    yield ", ".join(filter(None, [f"took {origin.get('seconds', 0):,.1f} s", manifest.spent]))
    for parent in graph.parents(manifest):
        gone = "" if parent.manifest else " (not in this store)"
        yield f"read {parent.parameter}: {parent.name}@{parent.version[:8]}{gone}"
    if manifest.failures:
        yield manifest.why_failed
    for reason, count in manifest.drops.items():
        yield f"dropped {count:,}: {reason}"


def packages(manifest: Manifest) -> str:
    """Return the versions of Python and of the packages that a version was built with."""
    python = manifest.provenance.get("python", "unknown")
    versions = manifest.provenance.get("packages", {})
    return ", ".join(
        [f"python {python}", *(f"{name} {number}" for name, number in versions.items())]
    )


def step(manifest: Manifest) -> str:
    """Return the step and its settings, with long texts shortened."""
    identity = manifest.identity
    settings = ", ".join(
        f"{name} {shortened(str(value), 40)}" for name, value in identity.get("config", {}).items()
    )
    return f"{identity.get('step', 'no step')} ({settings})"


def changed(before: Manifest, after: Manifest) -> Iterator[str]:
    """Yield a line for each identity field in which two versions differ."""
    for where, sides in changes(before, after).items():
        values = ("(none)" if side is None else shortened(str(side), 48) for side in sides)
        yield f"changed {where}: {' -> '.join(values)}"
