"""The spool keeps whole records, survives a torn one, and never forgets what was not taken over."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.spool import Kept, Spool, SpoolFull

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def bodies(spool: Spool) -> list[bytes]:
    found: list[Kept] = []
    spool.drain(found.extend)
    return [kept.body for kept in found]


def test_what_was_appended_comes_out_in_order_and_once(spool):
    for number in range(5):
        spool.append({"nonce": "n"}, b"%d" % number, NOW)

    assert bodies(spool) == [b"0", b"1", b"2", b"3", b"4"]
    assert bodies(spool) == []


def test_a_record_cut_off_by_a_crash_hides_nothing_before_it(spool):
    spool.append({}, b"whole", NOW)
    (path,) = spool.folder.iterdir()
    with path.open("ab") as file:
        file.write(b"\0\0\1\0torn")

    assert bodies(spool) == [b"whole"]


def test_a_record_with_a_flipped_bit_is_not_believed(spool):
    spool.append({}, b"first", NOW)
    spool.append({}, b"second", NOW)
    (path,) = spool.folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)

    assert bodies(spool) == [b"first"]


def test_a_drain_that_fails_leaves_everything_for_the_next(spool):
    spool.append({}, b"one", NOW)

    def fail(_: list[Kept]) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        spool.drain(fail)
    spool.append({}, b"two", NOW)
    assert sorted(bodies(spool)) == [b"one", b"two"]


def test_an_append_after_a_drain_goes_to_a_new_file_and_is_not_lost(spool):
    spool.append({}, b"one", NOW)
    bodies(spool)
    spool.append({}, b"two", NOW)

    assert bodies(spool) == [b"two"]


def test_another_process_can_drain_what_a_dead_one_left(spool, tmp_path):
    spool.append({}, b"left", NOW)

    assert bodies(Spool(tmp_path / "spool")) == [b"left"]


def test_a_full_spool_says_so_and_keeps_what_it_has(tmp_path):
    small = Spool(tmp_path / "spool", cap_bytes=400)
    small.append({}, b"x" * 100, NOW)
    with pytest.raises(SpoolFull):
        small.append({}, b"x" * 200, NOW)

    assert bodies(small) == [b"x" * 100]
