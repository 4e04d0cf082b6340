"""The pictures in the notebooks: each is executed on a small store that is made for it, and kept.

    python tools/render_notebooks.py

The store is built from notebooks/example, in seconds and without a model; the labels in it are of
three people who do not exist. Another folder can be given, to compare what would be written.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from PIL import Image

import srlm_data
from srlm_data.demo.oracle import Oracle

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
REVIEWED = "iter1.candidates"
PEOPLE = {"ada": (120, 0.4, 0.0), "ben": (90, 0.8, 0.0), "cleo": (60, 0.8, 0.7)}
"""Person -> labels, noise in points, and how many points it is worth to be shown first."""


def main() -> None:
    """Execute every notebook and write it with its outputs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, nargs="?", default=NOTEBOOKS)
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        # Nobody's own settings and history decide what is shown.
        env = {name: value for name, value in os.environ.items() if not name.startswith("SRLM_")}
        env |= {"SRLM_STORE": str(_build_store(Path(folder))), "IPYTHONDIR": folder}
        for file in sorted(NOTEBOOKS.glob("*.ipynb")):
            nbformat.write(_execute(file, env), output / file.name)


def _build_store(folder: Path) -> Path:
    """Build the example's recipes, and take in what people say of its answers."""
    store = folder / "store"
    recipes = shutil.copytree(NOTEBOOKS / "example", folder / "example")
    for recipe in sorted(recipes.glob("*.yaml")):
        srlm_data.build(recipe, store=store)
    tasks, labels = folder / "tasks.json", folder / "labels.jsonl"
    srlm_data.export_review(REVIEWED, "label-studio", n=120, output=tasks, store=store)
    shown = [task["data"] for task in json.loads(tasks.read_text("utf-8"))]
    lines = [
        json.dumps(_label(person, place, item, noise, first))
        for person, (n, noise, first) in PEOPLE.items()
        for place, item in enumerate(shown[:n])
    ]
    labels.write_text("\n".join(lines), encoding="utf-8")
    srlm_data.import_labels(REVIEWED, labels, store=store)
    return store


def _label(
    person: str, place: int, item: dict[str, Any], noise: float, first: float
) -> dict[str, Any]:
    """Return what a person says of two answers: what is true, less clearly."""
    draw = random.Random(f"{person}/{place}")
    question = item["prompt"].rpartition("user: ")[2]
    truth = [Oracle().quality(question, item[side]) or 0 for side in ("first", "second")]
    prefers = draw.gauss(truth[0] - truth[1] + first, noise)
    choice = "tie" if abs(prefers) < 0.7 else "first" if prefers > 0 else "second"
    return item | {
        "choice": choice,
        "person": person,
        "labelled_at": f"2030-01-01T{place // 60:02}:{place % 60:02}:00Z",
        "seconds": round(draw.uniform(4, 20), 1),
    }


def _execute(file: Path, env: dict[str, str]) -> nbformat.NotebookNode:
    """Return a notebook with its outputs, and without what hangs on the machine or the hour."""
    notebook = nbformat.read(file, as_version=4)
    nbclient.NotebookClient(
        notebook,
        resources={"metadata": {"path": NOTEBOOKS}},
        record_timing=False,
    ).execute(env=env)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", ()):
                output.data["image/png"] = _smaller(output.data["image/png"])
    notebook.metadata["language_info"] = {"name": "python"}
    code = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    notebook.metadata["rendered_from"] = hashlib.sha256(code.encode()).hexdigest()
    return notebook


def _smaller(png: str) -> str:
    """Return a picture in Base64 without loss, in a quarter of the bytes."""
    smaller = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png)))
    picture.convert("RGB").save(smaller, "PNG", optimize=True)
    return base64.b64encode(smaller.getvalue()).decode()


if __name__ == "__main__":
    main()
