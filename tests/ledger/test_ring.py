import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import deque

import pytest

from llm_mux.ledger import ring
from llm_mux.ledger.ring import Ring
from llm_mux.ledger.spool import Left, Piece, Spool
from tests.ledger.samples import exchange

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="rings are in Linux's shared memory")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


@pytest.fixture
def shared(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


def piece(number: int) -> Piece:
    return Piece(number, exchange(f"req-{number}"))


def names(folder: pathlib.Path) -> set[str]:
    return {path.name.partition(".")[2] for path in folder.iterdir()}


def test_bytes_go_round_and_come_out_in_their_order(folder: pathlib.Path, shared: pathlib.Path) -> None:
    """Against a queue: pieces of all sizes, some let go of, past the end many times; who comes later sees the same."""
    pointer, chance, kept = folder / "a.ring", random.Random(3), deque[bytes]()
    made = Ring(pointer, shared, size=100)
    for number in range(1, 2000):
        data = bytes(chance.choices(range(256), k=chance.randrange(1, 30)))
        assert made.append(data) == (sum(map(len, kept)) + len(data) <= 100)
        if sum(map(len, kept)) + len(data) <= 100:
            kept.append(data)
        if chance.random() < 0.1:
            made.mark(number)
            before = len(kept)
            if made.append(b"since"):
                kept.append(b"since")
            made.written(number - 1)
            assert made.content() == b"".join(kept)
            made.written(number)
            kept = deque(list(kept)[before:])
        assert made.content() == b"".join(kept) == ring.left(pointer)
        assert made.used == sum(map(len, kept))
    made.close()
    assert list(shared.iterdir()) == list(folder.iterdir()) == []


def test_what_is_too_much_for_the_ring_goes_to_disk_and_stays_in_order(
    folder: pathlib.Path, shared: pathlib.Path
) -> None:
    spool = Spool(folder, shared, ring_bytes=1000)
    assert spool.size == 0
    for number in range(1, 30):
        spool.append(piece(number))
    assert spool.size > 0
    assert names(folder) == {"lock", "ring", "000000001.rows"}
    assert [each.number for each in [*spool.after(0), *spool.after(spool.after(0)[-1].number)]] == list(range(1, 30))
    spool.close(0)
    assert [each.number for _, pieces in Left(folder).pieces() for each in pieces] == list(range(1, 30))
    assert list(shared.iterdir()) == list(folder.iterdir()) == []


def test_a_piece_larger_than_the_ring_comes_after_what_the_ring_had(folder: pathlib.Path, shared: pathlib.Path) -> None:
    spool = Spool(folder, shared, ring_bytes=1000)
    spool.append(piece(1))
    spool.append(Piece(2, exchange("x" * 2000)))
    spool.append(piece(3))
    assert [each.number for each in spool.after(0)] == [1, 2]
    assert [each.number for each in spool.after(2)] == [3]


def test_while_the_database_is_away_rows_are_on_disk_and_afterwards_in_memory(
    folder: pathlib.Path, shared: pathlib.Path
) -> None:
    spool = Spool(folder, shared)
    spool.append(piece(1))
    assert spool.size == 0
    spool.settle()
    after_one = spool.size
    spool.append(piece(2))
    assert 0 < after_one < spool.size
    spool.written(2)
    spool.append(piece(3))
    assert spool.size == 0
    assert spool.after(2) == [piece(3)]


def test_what_the_database_has_goes_and_what_came_meanwhile_stays(folder: pathlib.Path, shared: pathlib.Path) -> None:
    spool = Spool(folder, shared)
    spool.append(piece(1))
    spool.append(piece(2))
    spool.mark()
    spool.append(piece(3))
    spool.written(2)
    assert spool.after(0) == [piece(3)]
    spool.close(3)
    assert list(shared.iterdir()) == list(folder.iterdir()) == []


def test_a_ring_that_was_deleted_is_made_again_and_its_rows_are_on_disk(
    folder: pathlib.Path, shared: pathlib.Path
) -> None:
    spool = Spool(folder, shared)
    spool.append(piece(1))
    spool.mark()
    spool.append(piece(2))
    next(shared.iterdir()).unlink()
    spool.written(1)
    assert spool.after(0) == [piece(2)]
    assert spool.size > 0
    spool.append(piece(3))
    assert names(folder) == {"lock", "ring", "000000001.rows"}
    assert len(list(shared.iterdir())) == 1
    spool.close(3)


def test_where_no_ring_can_be_rows_are_on_disk(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    spool = Spool(folder, tmp_path / "missing")
    spool.append(piece(1))
    assert names(folder) == {"lock", "000000001.rows"}
    assert spool.after(0) == [piece(1)]


def test_only_its_owner_may_read_a_ring(
    folder: pathlib.Path, shared: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Ring(folder / "a.ring", shared)
    made.append(b"some bytes")
    assert next(shared.iterdir()).stat().st_mode & 0o777 == 0o600
    assert ring.left(folder / "a.ring") == b"some bytes"
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert ring.left(folder / "a.ring") == b"", "another's file is not believed"


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\xff" * 5000, b"\0" * 5000])
def test_a_damaged_ring_holds_nothing(folder: pathlib.Path, shared: pathlib.Path, content: bytes) -> None:
    (shared / "file").write_bytes(content)
    (folder / "a.ring").symlink_to(shared / "file")
    assert ring.left(folder / "a.ring") == b""


def test_after_the_machine_was_started_anew_only_the_symlink_goes(folder: pathlib.Path, shared: pathlib.Path) -> None:
    (folder / "a.ring").symlink_to(shared / "gone")
    assert Left(folder).anything()
    assert list(Left(folder).pieces()) == [("a", [])]
    assert list(folder.iterdir()) == []


def test_a_ring_goes_a_day_after_its_spool_was_deleted(
    folder: pathlib.Path, shared: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives, waits, abandoned = (Ring(folder / f"{name}.ring", shared) for name in ("lives", "waits", "abandoned"))
    waits.close(keep=True)
    abandoned.close(keep=True)
    for name in ("lives", "abandoned"):
        (folder / f"{name}.ring").unlink()
    ring.sweep(shared)
    assert len(list(shared.iterdir())) == 3
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100_000)
    ring.sweep(shared)
    assert {path.name for path in shared.iterdir()} == {"llm-mux-lives", "llm-mux-waits"}
    lives.close()


CHILD = """
    import os, pathlib, sys
    from llm_mux.ledger.spool import Spool
    from tests.ledger.test_ring import piece

    folder, shared = map(pathlib.Path, sys.argv[1:])
    spool, number = Spool(folder, shared, ring_bytes=20_000), 0
    while True:
        number += 1
        spool.append(piece(number))
        os.write(1, b"%d\\n" % number)
        if number % 50 == 0:
            spool.mark()
        if number % 50 == 20:
            spool.written(number - 20)
"""


def test_a_process_killed_anywhere_leaves_every_row_that_the_database_does_not_have(
    folder: pathlib.Path, shared: pathlib.Path
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(folder), str(shared)]
    for lines in (1, 49, 470, 2222, 3333):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            told = [child.stdout.readline() for _ in range(lines)]
            child.send_signal(signal.SIGKILL)
            told += child.stdout.readlines()
        last = int([line for line in told if line.endswith("\n")][-1])
        found = [each.number for _, pieces in Left(folder).pieces() for each in pieces]
        first = max((last - 20) // 50 * 50, 0)
        # The last one may have been killed between its row and the word of it, or between a batch and the word of that.
        assert found[-1] in (last, last + 1)
        assert found == list(range(found[0], found[-1] + 1))
        assert found[0] - 1 in (first, max(first - 50, 0))
        assert list(shared.iterdir()) == list(folder.iterdir()) == []
