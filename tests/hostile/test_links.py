"""Links, devices and pipes that a stranger has put where a command writes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import toy
from checkout import Cli
from srlm_data.core import database
from srlm_data.store.access import FOLDERS


@pytest.mark.parametrize("name", [".toy.lock.draft", ".refs.json.draft", ".store.json.draft"])
def test_a_link_under_the_name_of_a_draft_is_replaced_and_never_written_through(
    cli: Cli, project: Path, name: str
) -> None:
    toy.write_recipe(project)
    precious = project / "precious.txt"
    precious.write_text("mine")
    place = {
        ".toy.lock.draft": project,
        ".refs.json.draft": project / "store" / "datasets" / "toy.pairs",
        ".store.json.draft": project / "store",
    }[name]
    place.mkdir(parents=True, exist_ok=True)
    (place / name).symlink_to(precious)
    run = cli("build", "toy.yaml")
    assert run.returncode == 0, run.stderr
    assert precious.read_text() == "mine"
    assert not (place / name).is_symlink()


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_a_store_that_is_a_link_is_refused_before_anything_is_written_or_deleted(
    cli: Cli, project: Path, folder: str
) -> None:
    toy.write_recipe(project)
    outside = project / "outside"
    (outside / "toy.old" / ("0" * 16)).mkdir(parents=True)
    (project / "store").mkdir()
    (project / "store" / folder).symlink_to(outside)
    for command in (["build", "toy.yaml"], ["gc", "--delete"]):
        run = cli(*command)
        assert run.returncode == 4, run.stdout
        assert (
            f"{Path('store', folder)}: it is a link, and links inside a store are not followed."
            in run.stderr
        )
    assert [path.name for path in outside.rglob("*")] == ["toy.old", "0" * 16]


def test_a_query_that_is_written_to_a_pipe_goes_through_it(cli: Cli, project: Path) -> None:
    pipe = project / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        run = cli("sql", "SELECT 7 AS seven", "--format", "csv", "-o", "pipe")
        assert run.returncode == 0, run.stderr
        assert reader.communicate(timeout=60)[0] == "seven\n7\n"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_stays_one_and_its_refusal_is_a_sentence(cli: Cli) -> None:
    run = cli("sql", "SELECT 7 AS seven", "--format", "csv", "-o", "/dev/full")
    assert (run.returncode, run.stdout) == (4, "")
    assert "error: /dev/full: it cannot be written, found 'No space left on device'." in run.stderr
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_an_answer_is_written_through_a_link(cli: Cli, project: Path) -> None:
    (project / "kept.csv").write_text("old")
    (project / "link.csv").symlink_to("kept.csv")
    assert cli("sql", "SELECT 7 AS seven", "-o", "link.csv").returncode == 0
    assert (project / "link.csv").is_symlink()
    assert (project / "kept.csv").read_text() == "seven\n7\n"


def spill_of(connection: duckdb.DuckDBPyConnection) -> Path:
    row = connection.execute("SELECT current_setting('temp_directory')").fetchone()
    assert row
    return Path(row[0])


def test_queries_spill_where_nobody_else_can_look_and_the_folder_goes_with_the_process() -> None:
    with database.connect() as connection:
        assert stat.S_IMODE(spill_of(connection).stat().st_mode) == 0o700
    program = (
        "from srlm_data.core import database\n"
        "print(database.connect().execute(\"SELECT current_setting('temp_directory')\")"
        ".fetchone()[0])"
    )
    names = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert names[0] != names[1]
    assert not any(Path(name).exists() for name in names)
