"""Files that people have, through the real command line: ../shared/cases/data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from checkout import ROOT, Cli
from commands import ran
from srlm_data.store import Store

CASES = ROOT.parent / "shared" / "cases" / "data"
SETTINGS = {"p_score_nan.jsonl": {"chosen_score": "s1", "rejected_score": "s2"}}
FIELDS = ("prompt", "completion", "chosen", "rejected", "chosen_score", "rejected_score")


def expected() -> dict[str, dict[str, Any]]:
    if not CASES.is_dir():
        pytest.skip("needs the files of ../shared/cases/data, which are not there")
    cases: dict[str, dict[str, Any]] = json.loads((CASES / "expected.json").read_text())
    return cases


def write_recipe(folder: Path, cases: dict[str, dict[str, Any]]) -> Path:
    datasets = {
        name.replace(".", "_"): {
            "step": f"read_{case['as']}",
            "files": str(CASES / name),
            "allow_empty": case.get("rows") == 0,
            **SETTINGS.get(name, {}),
        }
        for name, case in cases.items()
    }
    recipe = folder / "cases.yaml"
    recipe.write_text(yaml.safe_dump({"datasets": datasets}))
    return recipe


def test_ordinary_files_become_the_rows_that_a_careful_reader_expects(
    cli: Cli, project: Path
) -> None:
    cases = {
        name: case
        for name, case in expected().items()
        if "rows" in case or case.get("or_rows") == 2
    }
    built = cli("build", write_recipe(project, cases))
    assert built.returncode == 0, built.stderr
    store = Store(project / "store")
    for name, case in cases.items():
        manifest = store.resolve(f"cases.{name.replace('.', '_')}")
        wanted = case.get("rows", case.get("or_rows"))
        rows = list(store.rows(manifest).dicts())
        if isinstance(wanted, list):
            shown = [
                {field: row[field] for field in FIELDS if row.get(field) is not None}
                for row in rows
            ]
            assert sorted(shown, key=str) == sorted(wanted, key=str), name
        else:
            assert len(rows) == wanted, name
        if "drops" in case:
            assert manifest.drops == case["drops"], name
    nan = ran(cli("show", "cases.p_score_nan_jsonl", "--json"))
    rows = json.loads(nan, parse_constant=pytest.fail)
    assert [(row["chosen_score"], row["rejected_score"], row["margin"]) for row in rows] == [
        (None, 2.0, None)
    ] * 2


def test_a_file_that_is_not_what_its_name_says_is_named(cli: Cli, project: Path) -> None:
    cases = {name: case for name, case in expected().items() if "rows" not in case}
    gzipped = "gzip_under_a_plain_name.jsonl"
    sentences = {"lfs_pointer.jsonl": "Git LFS pointer", gzipped: rf"is gzip, .*{gzipped}\.gz"}
    for name, wanted in sentences.items():
        recipe = write_recipe(project, {name: cases[name]})
        refused = cli("build", recipe)
        assert refused.returncode == 3
        sentence = refused.stderr.splitlines()[-1]
        assert re.search(wanted, sentence)
