"""The notebooks run from top to bottom on a built store, and are kept without their outputs."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat
import pytest

import synthetic
from checkout import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

each_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two iterations."""
    return synthetic.fill(tmp_path_factory.mktemp("notebooks") / "store").root


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_and_shows_figures(
    file: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRLM_STORE", str(store))
    monkeypatch.setenv("SRLM_ITERATIONS", "one two")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(file, as_version=4)
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": tmp_path}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [output for cell in cells for output in cell.outputs]
    assert len(shown) >= 3
    assert not [output for output in shown if output.get("name") == "stderr"]


@each_notebook
def test_a_notebook_is_kept_without_outputs(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert notebook.cells[0].source.startswith("# ")
