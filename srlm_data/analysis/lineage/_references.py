"""Which column of which dataset type names a row of which other, and how to say so."""

from __future__ import annotations

from typing import Final, NamedTuple

from srlm_data.core.yaml_data import data_beside


class Reference(NamedTuple):
    """How a row names its parents, as ``references.yaml`` says it."""

    up: str
    down: str | None
    column: str
    targets: tuple[tuple[str, str], ...]


REFERENCES: Final = {
    name: tuple(
        Reference(
            reference["up"],
            reference.get("down"),
            reference["column"],
            tuple(tuple(target.split(".")) for target in reference["of"]),
        )
        for reference in references
    )
    for name, references in data_beside(__file__, "references.yaml").items()
}
