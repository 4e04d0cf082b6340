"""A log: what a kill cuts off is left out, and whatever else has changed is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from srlm_data.engines.cache import journal

PAYLOADS = [b"one", b"a second payload", b"the last"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    end = 0
    for payload in PAYLOADS:
        end = journal.append_frame(tmp_path / "x.log", end, payload)
    assert end == (tmp_path / "x.log").stat().st_size
    return tmp_path / "x.log"


def payloads(file: Path) -> list[bytes | None]:
    return [frame.payload for frame in journal.read_frames(file)]


def test_frames_are_read_from_the_beginning_and_from_any_other(file: Path) -> None:
    read = list(journal.read_frames(file))
    assert [frame.payload for frame in read] == PAYLOADS
    assert list(journal.read_frames(file, read[1].start)) == read[1:]
    assert list(journal.read_frames(file, read[2].end)) == []


def test_a_file_that_was_cut_off_anywhere_has_the_frames_before(file: Path) -> None:
    ends = [frame.end for frame in journal.read_frames(file)]
    whole = file.read_bytes()
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        assert payloads(file) == PAYLOADS[: sum(end <= size for end in ends)]


def test_a_file_that_was_made_longer_before_the_power_failed_has_them_too(file: Path) -> None:
    with file.open("ab") as longer:
        longer.write(bytes(5000))
    assert payloads(file) == PAYLOADS


def test_any_bit_that_changes_is_found(file: Path) -> None:
    """In a payload it costs that frame alone, in a header those that follow as well."""
    starts = [frame.start for frame in journal.read_frames(file)]
    whole = file.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            file.write_bytes(changed)
            hit = sum(start <= place for start in starts) - 1
            in_header = place < starts[hit] + journal._HEADER
            rest = [] if in_header else PAYLOADS[hit + 1 :]
            assert payloads(file) == [*PAYLOADS[:hit], None, *rest]


def test_what_a_full_disk_has_left_is_written_over(file: Path) -> None:
    end = file.stat().st_size
    with file.open("ab") as torn:
        torn.write(file.read_bytes()[:50])
    journal.append_frame(file, end, b"more")
    assert payloads(file) == [*PAYLOADS, b"more"]
