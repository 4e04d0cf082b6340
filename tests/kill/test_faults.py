"""Disks that fail and bytes that change: a sentence, nothing lost, and a build mends it."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import toy
from crashes import Project, durable
from srlm_data.core import filesystem
from srlm_data.core.errors import StoreError
from srlm_data.pipeline import build, provenance
from srlm_data.pipeline.recipe import load
from srlm_data.store import Store, access
from srlm_data.store import _verify as verify


@contextmanager
def mounted(*arguments: str, at: Path) -> Iterator[None]:
    """A file system of its own; skips where the tests may not mount one."""
    at.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", *arguments, str(at)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting needs root: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


# a disk that refuses ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.slow
def test_a_disk_that_refuses_at_any_moment_is_a_sentence_and_loses_nothing(
    begin, number: int
) -> None:
    moments = begin().whole.moments
    refused = 0
    for at in range(5 + number % 7, moments, moments // 6):
        project: Project = begin()
        run = project.build(at=at, happens=str(number))
        code = run.wait()
        errors = [line for line in run.text().splitlines() if line.startswith("error: ")]
        # What is refused while tidying up is tidied up by the next build.
        assert (code, len(errors)) in {(4, 1), (0, 0)}, run.text()
        refused += code == 4
        assert all(os.strerror(number) in line for line in errors)
        project.check()
        assert project.build().wait() == 0
        project.check_end()
    assert refused > 3


@pytest.mark.slow
@pytest.mark.parametrize("room", [20, 40, 60, 80], ids=lambda kib: f"{kib} KiB")
def test_a_full_disk_stops_a_build_and_room_lets_it_go_on(begin, room: int) -> None:
    project: Project = begin()
    with mounted("-t", "tmpfs", "-o", f"size={room}k", "tmpfs", at=project.root):
        run = project.build()
        assert run.wait() == 4, run.text()
        assert re.search("error: .*(No space left on device|disk is full|is it full)", run.text())
        project.check()
        subprocess.run(["mount", "-o", "remount,size=8m", str(project.root)], check=True)
        assert project.build().wait() == 0
        project.check_end()


def test_an_engine_is_not_asked_on_when_its_answers_cannot_be_kept(begin_built) -> None:
    project: Project = begin_built()
    # All but the last answers are forgotten, and the journal's folder has no room.
    shutil.rmtree(project.root / "answers")
    shutil.rmtree(project.root / "datasets" / "toy.judgments")
    log = project.folder / "asked.jsonl"
    log.unlink()
    toy.write_recipe(project.folder, ("{log", "{delay: 0.05, log"))
    with mounted("-t", "tmpfs", "-o", "size=4k", "tmpfs", at=project.root / "journal"):
        run = project.build()
        assert run.wait() == 4
        assert "the answers cannot be written" in run.text() or "the system refuses" in run.text()
    # The first is refused after 0.2 s, and the one that comes then finds out; it asks for 48.
    assert len(toy.asked(project.folder)) < 40


def test_a_store_that_is_read_only_answers_and_a_build_says_that_it_cannot(begin_built) -> None:
    project: Project = begin_built()
    with mounted("--bind", str(project.root), at=project.root):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(project.root)], check=True)
        for command in (
            ["ls"], ["log", "toy.pairs"], ["show", "toy.pairs"], ["plan", "toy.yaml"], ["verify"],
            ["sql", "SELECT count(*) FROM toy.pairs"], ["gc"], ["build", "toy.yaml"],
            ["publish", "toy", "--repo", "ada/toy", "--dry-run"],
            ["review", "toy.pairs", "--by", "me", "-o", "/dev/null"],
        ):  # fmt: skip
            run = project.run(*command)
            assert run.wait() == 0, run.text()
        toy.write_recipe(project.folder, ("n: 4", "n: 5"))
        for command in (["build", "toy.yaml"], ["tag", "toy.pairs", "kept"], ["gc", "--delete"]):
            run = project.run(*command)
            assert run.wait() == 4, run.text()
            assert "the system refuses, found 'Read-only file system'. Let the" in run.text()


# a file system that is not fit --------------------------------------------------------------


def no_lock(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def no_rename(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize(
    ("owner", "name", "fake", "said"),
    [
        (filesystem.fcntl, "flock", no_lock, "a file cannot be locked there"),
        (filesystem.fcntl, "flock", lambda *_: None, "two processes can lock the same file there"),
        (Path, "replace", no_rename, "a rename or a sync of a folder fails there"),
        (Path, "replace", lambda *_: None, "a rename does not replace a file there"),
        (Path, "rename", lambda *_: None, "a rename replaces a folder that is not empty there"),
    ],
    ids=["no locks", "locks that hold nobody", "no rename", "a false rename", "merging folders"],
)
def test_a_file_system_that_cannot_keep_the_promises_is_refused_with_the_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    fake: Callable[..., None],
    said: str,
) -> None:
    monkeypatch.setattr(owner, name, fake)
    refusal = rf"a store cannot lie on this file system, found that {said}.*--store"
    with pytest.raises(StoreError, match=refusal), access.shared(tmp_path / "store"):
        pass
    monkeypatch.undo()
    assert not (tmp_path / "store" / "store.json").exists()
    with access.shared(tmp_path / "store"):
        assert (tmp_path / "store" / "store.json").exists()
    assert not (tmp_path / "store" / ".check").exists()


# bytes that change --------------------------------------------------------------------------


def flip(file: Path, place: float = 0.5, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[int(len(data) * place)] ^= 1 << bit
    file.write_bytes(data)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


PAIRS = "datasets/toy.pairs/[0-9a-f]*"
FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a flipped byte in a shard": (f"{PAIRS}/data/*.parquet", flip, "is not what was written"),
    "a truncated shard": (f"{PAIRS}/data/*.parquet", truncate, "is not what was written"),
    "a missing shard": (f"{PAIRS}/data/*.parquet", Path.unlink, "is missing"),
    "a stray shard": (
        f"{PAIRS}/data",
        lambda folder: (folder / "more.parquet").write_bytes(b"PAR1"),
        "data/more.parquet is there and was not written by a build",
    ),
    "a flipped byte in a manifest": (f"{PAIRS}/manifest.json", flip, "the manifest is damaged"),
    "a truncated manifest": (f"{PAIRS}/manifest.json", truncate, "the manifest is damaged"),
    "a missing manifest": (f"{PAIRS}/manifest.json", Path.unlink, "no such version"),
    "a missing version": (PAIRS, shutil.rmtree, "toy.pairs@latest: it names"),
    "a flipped byte in the names": (
        "datasets/toy.pairs/refs.json", flip, "the names of the versions are damaged",
    ),
    "no names": ("datasets/toy.pairs/refs.json", Path.unlink, "it has versions and no latest one"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_verify_names_every_fault_no_command_serves_it_and_a_build_mends_it(
    begin_built, fault: str
) -> None:
    where, plant, said = FAULTS[fault]
    project: Project = begin_built()
    (victim,) = project.root.glob(where)
    plant(victim)
    verified = project.run("verify")
    assert verified.wait() == 4
    (line,) = [one for one in verified.text().splitlines() if one.startswith("error: ")]
    assert "toy.pairs" in line
    assert said in line
    if fault not in ("a stray shard", "no names"):  # which no reader of ours looks at
        for command in (["show", "toy.pairs"], ["sql", "FROM toy.pairs"]):
            run = project.run(*command)
            assert run.wait() == 4, run.text()
    if "names" in fault or "stray" in fault:
        mended = project.run("verify", "--quarantine")
        assert mended.wait() == 0
    assert project.build().wait() == 0
    assert project.run("verify").wait() == 0
    shutil.rmtree(project.root / "quarantine", ignore_errors=True)
    project.check_end()


def test_verify_finds_a_flipped_byte_wherever_it_is(begin_built) -> None:
    project: Project = begin_built()
    chance = random.Random(7)
    files = sorted(
        file
        for part in ("datasets", "answers")
        for file in (project.root / part).rglob("*")
        if file.is_file()
    )
    assert list(verify.faults(project.store, {})) == []
    for _ in range(30):
        file, place = chance.choice(files), chance.random()
        was = file.read_bytes()
        flip(file, place, bit=chance.randrange(8))
        found = list(verify.faults(Store(project.root), {}))
        assert len(found) == 1, (file, place)
        parts = {file.name, file.parent.name, file.parent.parent.name}  # the file, or its version
        assert any(part in found[0].sentence for part in parts), found[0].sentence
        file.write_bytes(was)


def test_a_build_hashes_what_it_reads_and_makes_damaged_inputs_anew(begin_built) -> None:
    project: Project = begin_built()
    (victim,) = project.root.glob("datasets/toy.candidates/*/data/*.parquet")
    manifest = victim.parent.parent / "manifest.json"
    flip(victim)
    manifest.chmod(0o644)  # a disk that rots tells no time
    toy.write_recipe(project.folder, ("repeats: 2", "repeats: 3"))
    run = project.build()
    assert run.wait() == 0
    assert "is not what was written. Build its recipe again" in run.text()
    assert "24 candidates in" in run.text()
    assert len(toy.asked(project.folder)) == 72 + 24  # only the new repeats are asked
    assert project.run("verify").wait() == 0
    assert len(list((project.root / "quarantine").glob("datasets/toy.candidates/*"))) == 1


def test_a_copied_store_is_hashed_once_and_served(
    begin_built, monkeypatch: pytest.MonkeyPatch
) -> None:
    project: Project = begin_built()
    copy = Path(shutil.copytree(project.root, project.folder / "copy"))
    for file in copy.rglob("*.parquet"):  # copied after its manifest
        file.chmod(0o600)
    hashed: list[Path] = []
    digest = filesystem.digest
    monkeypatch.setattr(filesystem, "digest", lambda file: hashed.append(file) or digest(file))
    for _ in range(2):
        store = Store(copy)
        assert store.rows(store.resolve("toy.pairs")).count() == 6
    assert len(hashed) == 1


# answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "harm"),
    [("sealed", flip), ("sealed", truncate), ("journal", flip)],
    ids=["a sealed byte", "a sealed file cut off", "a byte of a journal"],
)
def test_damaged_answers_are_refused_then_put_aside_and_only_they_are_asked_again(
    begin, kind: str, harm: Callable[[Path], None]
) -> None:
    project: Project = begin()
    if kind == "sealed":
        project.take_whole()
        shutil.rmtree(project.root / "datasets" / "toy.judgments")
        (victim,) = (
            file
            for file in project.root.glob("answers/m1/*.parquet")
            if file.stat().st_size == max(
                one.stat().st_size for one in project.root.glob("answers/m1/*.parquet")
            )
        )  # fmt: skip
    else:
        toy.write_recipe(project.folder, ("{log", "{kill_at: 20, pause: 4.0, log"))
        assert project.build().wait() == -signal.SIGKILL
        assert len(durable(project.folder)) == 19
        (victim,) = project.root.glob("journal/*.log")
        toy.write_recipe(project.folder)
    harm(victim)
    verified = project.run("verify")
    assert verified.wait() == 4
    (line,) = [one for one in verified.text().splitlines() if "damaged" in one]
    assert victim.name in line
    refused = project.build()
    assert refused.wait() == 4, refused.text()
    assert "'srlm-data verify --quarantine' keeps the undamaged responses" in refused.text()
    put = project.run("verify", "--quarantine")
    assert put.wait() == 0, put.text()
    assert re.search(r"moved aside to .*quarantine.*, \d+ of its answers are kept", put.text())
    assert project.build().wait() == 0
    assert {one.key for one in toy.asked(project.folder)} == project.whole.keys
    assert project.run("verify").wait() == 0


# time ---------------------------------------------------------------------------------------


def test_a_clock_that_jumps_back_changes_nothing_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Yesterday(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=400)

    store = Store(tmp_path / "store")
    first = build.build(load(toy.write_recipe(tmp_path)), store)
    monkeypatch.setattr(provenance, "datetime", Yesterday)
    changed = toy.write_recipe(tmp_path, ("n: 4", "n: 5"))
    second = build.build(load(changed), store)
    assert second["toy.pairs"].provenance["at"] < first["toy.pairs"].provenance["at"]
    assert store.resolve("toy.pairs").version == second["toy.pairs"].version
    assert datetime.now(UTC).isoformat() > second["toy.pairs"].provenance["at"]
    long_ago = time.time() - 1e8
    for file in store.root.rglob("*"):  # and files may tell any time
        os.utime(file, (long_ago, long_ago))
    again = build.build(load(toy.write_recipe(tmp_path)), store)
    assert again["toy.pairs"].version == first["toy.pairs"].version
    assert store.resolve("toy.pairs").version == first["toy.pairs"].version
