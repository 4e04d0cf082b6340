"""Steps of any type, for tests of what a recipe may join."""

from srlm_data.core import schema
from srlm_data.core.config import Config
from srlm_data.core.rows import Candidates, Judgments, Rows, Scores


class Nothing(Config):
    """Nothing to set."""


def candidates(config: Nothing) -> Candidates:
    """Make no candidates."""
    return Rows.of(schema.CANDIDATES, [])


def judgments(config: Nothing) -> Judgments:
    """Make no judgments."""
    return Rows.of(schema.JUDGMENTS, [])


def scores(config: Nothing) -> Scores:
    """Make no scores."""
    return Rows.of(schema.SCORES, [])
