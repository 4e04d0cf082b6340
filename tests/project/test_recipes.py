"""The recipes that ship: each loads as a whole, plans, and says what it is."""

from pathlib import Path

import pytest

from checkout import ROOT
from srlm_data.pipeline import recipe
from srlm_data.pipeline.plan import plan
from srlm_data.store import Store

ITERATIONS = {"seed", "iter1", "iter2", "loop", "meta_rewarding_2"}
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_recipe_loads_plans_and_says_what_it_is(file: Path, tmp_path: Path) -> None:
    loaded = recipe.load(file)
    planned = plan(loaded, Store(tmp_path / "store"))
    assert len(planned) >= len(loaded.datasets) > 0
    assert {one.action for one in planned} <= {"build", "wait"}
    assert len(loaded.about) > 40


def test_every_variant_is_in_the_table_of_variants() -> None:
    table = (ROOT / "docs" / "variants.md").read_text(encoding="utf-8")
    missing = [
        file.name
        for file in (ROOT / "recipes").glob("*.yaml")
        if f"recipes/{file.name}" not in table
        and file.stem
        not in {"seed", "iter1", "iter2", "loop", "meta_rewarding_2"}  # iterations, no variants
    ]
    assert missing == []
