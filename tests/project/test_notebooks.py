"""The notebooks show their pictures offline and on GitHub, and they show what they compute."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image, ImageChops, ImageOps

import srlm_data
from checkout import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 300_000
MACHINE = re.compile(r"/(?:home|root|tmp|usr|Users|work)/|[A-Z]:\\\\|Warning|0x[0-9a-f]{6}")
"""A place on somebody's machine, a warning, or an address in memory."""

each_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def read(file: Path) -> Any:
    return nbformat.read(file, as_version=4)


def texts(cell: Any) -> list[str]:
    """What a cell shows in words."""
    bundles = [output.get("data", {"text/plain": output.get("text")}) for output in cell.outputs]
    return [text for data in bundles for kind, text in data.items() if kind.startswith("text/")]


def pictures(cell: Any) -> list[Image.Image]:
    encoded = [
        output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    return [Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA") for png in encoded]


def alike(one: Image.Image, other: Image.Image) -> bool:
    """Whether two pictures are the same, but for a machine's rounding."""
    if one.size != other.size:
        return False
    difference = ImageChops.difference(one.convert("L"), other.convert("L"))
    return sum(difference.histogram()[64:]) < 0.001 * one.width * one.height


def stale(shown: Any, fresh: Any) -> list[str]:
    """The cells that show something else when they are executed."""
    assert [cell.source for cell in shown.cells] == [cell.source for cell in fresh.cells]
    return [
        old.id
        for old, new in zip(code_cells(shown), code_cells(fresh), strict=True)
        if texts(old) != texts(new)
        or len(pictures(old)) != len(pictures(new))
        or not all(map(alike, pictures(old), pictures(new)))
    ]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All notebooks, executed on one store by the command that renders them."""
    folder = tmp_path_factory.mktemp("notebooks")
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "render_notebooks.py", folder],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@each_notebook
def test_a_notebook_shows_what_it_computes(file: Path, rendered: Path) -> None:
    assert stale(read(file), read(rendered / file.name)) == [], "run: make notebooks"


@each_notebook
def test_a_notebook_was_rendered_after_its_code_was_changed(file: Path) -> None:
    notebook = read(file)
    code = "\n\n".join(cell.source for cell in code_cells(notebook))
    digest = hashlib.sha256(code.encode()).hexdigest()
    assert notebook.metadata.get("rendered_from") == digest, "run: make notebooks"


@each_notebook
def test_a_notebook_shows_its_pictures_without_a_network(file: Path) -> None:
    notebook = read(file)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# ")
    assert file.stat().st_size < LARGEST
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        draws = "altair.Chart(" in cell.source or "show_intervals(" in cell.source
        assert len(pictures(cell)) == draws, cell.id
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        assert kinds <= {"image/png", "text/html", "text/plain"}
        assert "stderr" not in [output.get("name") for output in cell.outputs]
        for text in texts(cell):
            assert not MACHINE.search(text), cell.id
            assert not re.search(r"<script|https?:", text)
    assert sum(len(pictures(cell)) for cell in cells) >= 2


@each_notebook
def test_pictures_are_readable_on_a_dark_page_too(file: Path) -> None:
    for picture in [picture for cell in code_cells(read(file)) for picture in pictures(cell)]:
        corners = [(x, y) for x in (0, picture.width - 1) for y in (0, picture.height - 1)]
        assert {picture.getpixel(corner) for corner in corners} == {(255, 255, 255, 255)}
        assert picture.getextrema()[3] == (255, 255), "a part of it is transparent"


@pytest.mark.slow
def test_after_one_iteration_a_notebook_runs_or_says_first_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = shutil.copytree(ROOT / "notebooks" / "example", tmp_path / "example") / "iter1.yaml"
    monkeypatch.setenv("SRLM_STORE", str(tmp_path / "store"))

    def run(name: str, cells: int | None = 1) -> None:
        code = [cell.source for cell in code_cells(read(ROOT / "notebooks" / f"{name}.ipynb"))]
        (tmp_path / "cells.py").write_text("\n".join(code[:cells]))
        runpy.run_path(str(tmp_path / "cells.py"))

    with pytest.raises(AssertionError, match=r"Build an iteration first \(make demo"):
        run("judge_quality")
    srlm_data.build(recipe, store=tmp_path / "store")
    run("judge_quality", cells=None)
    run("score_distributions")
    with pytest.raises(AssertionError, match="Build iter2 too"):
        run("comparing_iterations")
    with pytest.raises(AssertionError, match=r"Label first: srlm-data review iter1\.candidates"):
        run("human_review")


def test_a_changed_number_and_a_changed_picture_are_noticed() -> None:
    shown = read(ROOT / "notebooks" / "judge_quality.ipynb")
    fresh = copy.deepcopy(shown)
    assert stale(shown, fresh) == []
    drawn = next(cell for cell in code_cells(fresh) if pictures(cell))
    table = next(cell for cell in code_cells(fresh) if texts(cell) and not pictures(cell))
    encoded = io.BytesIO()
    ImageOps.invert(pictures(drawn)[0].convert("RGB")).save(encoded, "PNG")
    drawn.outputs[0].data["image/png"] = base64.b64encode(encoded.getvalue()).decode()
    table.outputs[0].data["text/html"] += "0"
    assert stale(shown, fresh) == [drawn.id, table.id]
