"""Which columns of which dataset types refer to rows of others, and the words for it."""

from __future__ import annotations

from typing import Final, NamedTuple

from srlm_data.core.yaml_data import data_beside


class Reference(NamedTuple):
    """A column that refers to a row's parents, as ``references.yaml`` describes it."""

    up: str
    column: str
    of: list[str]  # dataset types and their columns: ``candidates.candidate_id``
    down: str | None = None

    @property
    def targets(self) -> list[tuple[str, str]]:
        """The dataset types and columns that may be meant, the likeliest first."""
        return [(name, column) for name, _, column in (target.partition(".") for target in self.of)]


REFERENCES: Final = {
    name: [Reference(**reference) for reference in references]
    for name, references in data_beside(__file__, "references.yaml").items()
}
