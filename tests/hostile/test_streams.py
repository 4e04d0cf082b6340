"""Streams that are closed or full, limits, and things in the place of files: a sentence each."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import srlm_data
import toy
from checkout import Cli
from srlm_data.analysis.lineage import lineage
from srlm_data.store import Store

pytestmark = pytest.mark.slow

LONG = "a" * 300
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    toy.publish_pairs(folder)
    os.mkfifo(folder / "pipe")
    (folder / "bad.sql").write_bytes(b"SELECT '\xff'")
    return folder


@pytest.fixture
def command(folder: Path, cli_env: dict[str, str]) -> Run:
    """Run the program by a line of a shell, in which ``srlm-data`` is the real command."""

    def run(line: str, prepare: Callable[[], None] | None = None):
        begin = f'srlm-data() {{ "{sys.executable}" -m srlm_data "$@"; }}\n'
        finished = subprocess.run(
            ["bash", "-c", begin + line],
            cwd=folder,
            env=cli_env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
            preexec_fn=prepare,
        )
        texts = [text.decode(errors="replace") for text in (finished.stdout, finished.stderr)]
        assert "Traceback" not in texts[1], texts[1]
        return subprocess.CompletedProcess(line, finished.returncode, *texts)

    return run


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ("srlm-data ls >/dev/full", 4, "it cannot be written, found 'No space left on device'"),
        ("srlm-data --help >/dev/full", 4, "standard output: it cannot be written"),
        ("srlm-data sql 'FROM toy.pairs' --format csv >/dev/full", 4, "No space left on device"),
        ("srlm-data ls >&-", 4, "standard output: it cannot be written"),
        ("srlm-data ls <&- 2>&- | grep toy.pairs >&2", 0, "toy.pairs"),
        ("srlm-data build toy.yaml <&- >&-", 0, "built 0, reused 5"),
        ("srlm-data build toy.yaml <&- >&- 2>&-", 0, ""),
        ("srlm-data build toy.yaml 2>/dev/full", 0, ""),
        ("srlm-data sql <&-", 2, "standard input cannot be read"),
        (r"printf '\xff' | srlm-data sql", 2, "not UTF-8 text, found the byte 0xff at 0"),
        (r"srlm-data sql $'\xff'", 2, "is not UTF-8 text"),
        (r"srlm-data lineage $'\xff'", 2, "is not UTF-8 text"),
        ("mkdir gone; cd gone; rmdir ../gone; srlm-data ls", 2, "the working folder is gone"),
    ],
)
def test_what_cannot_be_read_or_written_is_a_sentence(
    command, line: str, code: int, sentence: str
) -> None:
    run = command(line)
    assert run.returncode == code, run.stderr
    assert sentence in run.stderr


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ("sql -f bad.sql", 2, "no UTF-8 text, but the byte 0xff at 8"),
        ("sql -f pipe", 2, "no regular file"),
        ("sql -f .", 2, "Is a directory"),
        ("plan pipe", 2, "pipe: it cannot be read, found 'no regular file'"),
        ("plan .", 2, "found 'Is a directory'"),
        ("--store toy.yaml ls", 2, "'toy.yaml' is a file"),
        (f"--store {LONG} ls", 4, "found 'File name too long'"),
        (f"plan {LONG}.yaml", 2, "found 'File name too long'"),
        (f"sql 'FROM toy.pairs' -o {LONG}", 4, "File name too long"),
        ("show toy.pairs -n 100000000000000000000", 2, "is not in the range"),
        ("build toy.yaml --seed 100000000000000000000", 2, "is not in the range"),
    ],
)
def test_what_an_argument_cannot_name_is_a_sentence(
    cli: Cli, folder: Path, line: str, code: int, sentence: str
) -> None:
    run = cli(*shlex.split(line), cwd=folder)
    assert run.returncode == code, run.stderr
    assert sentence in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("limit", "most", "sentence"),
    [
        (resource.RLIMIT_NOFILE, 12, "ulimit -n"),
        (resource.RLIMIT_FSIZE, 1000, "found 'File too large'"),
    ],
    ids=["open files", "size of a file"],
)
def test_a_limit_of_the_system_is_a_sentence_and_a_build_goes_on_without_it(
    command, limit: int, most: int, sentence: str
) -> None:
    store = f"store-{limit}"
    run = command(
        f"srlm-data --store {store} build toy.yaml",
        lambda: resource.setrlimit(limit, (most, most)),
    )
    assert run.returncode == 4, run.stderr
    assert sentence in run.stderr
    run = command(f"srlm-data --store {store} build toy.yaml")
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("place", ["refs.json", "manifest.json"])
def test_a_pipe_in_a_store_is_damage_and_not_waited_for(tmp_path: Path, place: str) -> None:
    store = toy.publish_pairs(tmp_path)
    manifest = store.resolve("toy.pairs")
    version = store.folder(manifest.name, manifest.version)
    file = version.parent / place if place == "refs.json" else version / place
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(srlm_data.StoreError, match="no regular file"):
        Store(store.root).resolve("toy.pairs")


def test_half_a_character_from_python_is_a_sentence_and_accuses_no_data(tmp_path: Path) -> None:
    store = toy.publish_pairs(tmp_path)
    with pytest.raises(srlm_data.DataError, match="half a surrogate pair"):
        srlm_data.sql("SELECT '\ud800'", store=store)
    with pytest.raises(srlm_data.StoreError, match="no row and no model"):
        lineage("\ud800", store=store)


@pytest.mark.parametrize("key", ["n: 6", "n: 4", "repeats: 2", "seed: 3"])
def test_a_number_without_end_is_refused_with_its_line(tmp_path: Path, key: str) -> None:
    recipe = toy.write_recipe(tmp_path, (key, f"{key.split(maxsplit=1)[0]} 1{'0' * 20}"))
    with pytest.raises(srlm_data.RecipeError, match=r"toy.yaml:\d+: a whole number has at most 18"):
        srlm_data.plan(recipe, store=tmp_path / "store")


@pytest.mark.parametrize("data", [b"\xff", b"pipe"])
@pytest.mark.parametrize("key", ["template", "judge", "rule"])
def test_a_file_that_a_recipe_names_and_that_is_no_text_is_a_sentence(
    tmp_path: Path, key: str, data: bytes
) -> None:
    if data == b"pipe":
        os.mkfifo(tmp_path / "mine")
    else:
        (tmp_path / "mine").write_bytes(data)
    place = {
        "template": "model: model, repeats: 2",
        "judge": "model: model, repeats: 2",
        "rule": "judgments: judgments",
    }[key]
    change = (place, f"{place}, {key}: mine")
    recipe = toy.write_recipe(tmp_path, change)
    with pytest.raises(srlm_data.RecipeError, match=r"toy.yaml:\d+: "):
        srlm_data.plan(recipe, store=tmp_path / "store")
