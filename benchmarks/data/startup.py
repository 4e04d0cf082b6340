"""How soon a command answers, in a small store and in one of 1,000 versions."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.data.measure import BENCHMARKS, Figure, Run, call, paired, run
from srlm_data.core import schema
from srlm_data.core.rows import Rows
from srlm_data.store import Store

HEAVY = ("torch", "transformers", "trl", "vllm", "ray", "datasets", "polars", "pandas")


def imported(*arguments: str) -> list[str]:
    """The heavy packages that a command of ours has imported when it ends."""
    from srlm_data.cli import main

    sys.argv = ["srlm-data", *arguments]
    try:
        main()
    except SystemExit:
        return [name for name in HEAVY if name in sys.modules]
    return []


def fill(folder: str, versions: int) -> None:
    """Ten more datasets that have ``versions`` together; all but the first of each are copies."""
    store = Store(Path(folder))
    model = Rows.of(schema.MODELS, [{"model": "m", "method": "checkpoint", "location": "path:/"}])
    for number in range(10):
        made = store.commit(f"other.data{number}", model, identity={"number": number}, inputs=[])
        first = store.root / "datasets" / made.name / made.version
        for copy in range(versions // 10 - 1):
            version = f"{copy:016x}"
            shutil.copytree(first, first.with_name(version))
            manifest = first.with_name(version) / "manifest.json"
            manifest.write_text(manifest.read_text().replace(made.version, version))


def ours(store: Path, *arguments: str | Path) -> Run:
    """A command of ours on a store."""
    return run([sys.executable, "-m", "srlm_data", "--store", store, *arguments])


def figures(quick: bool) -> Iterator[Figure]:
    """What the commands promise."""
    times, versions = (3, 100) if quick else (9, 1_000)
    folder = Path(tempfile.mkdtemp(prefix="srlm-startup-"))
    try:
        recipe = folder / "echo.yaml"
        text = (BENCHMARKS / "echo" / "echo.yaml").read_text().replace("20000", "50")
        recipe.write_text(text)
        small, large = folder / "small", folder / "large"
        ours(small, "build", "--quiet", recipe)
        for what in (["--help"], ["--store", str(small), "ls"]):
            found = call(imported, *what).said
            yield Figure(
                f"start: heavy packages that `{what[-1]}` imports", len(found), "packages", "<= 0",
                ", ".join(found),
            )  # fmt: skip
        bare = [sys.executable, "-c", "import duckdb, pyarrow"]
        again = paired(lambda: ours(small, "build", "--quiet", recipe), lambda: run(bare), times)
        yield Figure(
            'start: a build with nothing to do, over `python -c "import duckdb, pyarrow"`',
            again["seconds"], "x", "<= 3",
            f"{again['one'].seconds:.2f} s against {again['other'].seconds:.2f} s",
        )  # fmt: skip
        shutil.copytree(small, large)
        call(fill, str(small), 10)
        call(fill, str(large), versions)
        for command in (["ls"], ["plan", recipe], ["sql", "SELECT count(*) FROM echo.pairs"]):
            both = paired(
                lambda command=command: ours(large, *command),
                lambda command=command: ours(small, *command),
                times,
            )
            yield Figure(
                f"start: `{command[0]}` in a store of {versions:,} versions, over one of 15",
                both["seconds"], "x", "<= 1.5",
                f"{both['one'].seconds:.2f} s against {both['other'].seconds:.2f} s",
            )  # fmt: skip
    finally:
        shutil.rmtree(folder)
