import errno
import os
import pathlib
import signal
from decimal import Decimal

import pytest

from llm_mux.ledger.balances import Hold, Settlement
from llm_mux.ledger.spool import Left, Piece, Spool
from tests.ledger.samples import exchange


def piece(number: int) -> Piece:
    hold = Hold(id=f"hold-{number}", amount=Decimal("0.5"), user="ann")
    return Piece(
        number, exchange(f"req-{number}"), Settlement(hold=hold, cost=Decimal("0.25"), description="", time=1.5)
    )


def files(folder: pathlib.Path) -> list[str]:
    return sorted(path.name.split(".", 1)[1] for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "spool"


def test_what_was_put_in_comes_out_in_order_after_a_number(folder: pathlib.Path) -> None:
    spool = Spool(folder)
    for number in (1, 2, 3):
        spool.append(piece(number))
    assert spool.after(0) == [piece(1), piece(2), piece(3)]
    assert spool.after(2) == [piece(3)]
    assert spool.after(3) == []


def test_segments_go_as_soon_as_the_database_has_all_of_them(folder: pathlib.Path) -> None:
    spool = Spool(folder, segment_bytes=1)
    for number in (1, 2, 3):
        spool.append(piece(number))
    assert files(folder) == ["000000001.rows", "000000002.rows", "000000003.rows", "lock"]
    spool.written(2)
    assert files(folder) == ["000000003.rows", "lock"]
    spool.written(3)
    assert spool.size == 0
    spool.append(piece(4))
    assert spool.after(0) == [piece(4)]


def test_a_closed_spool_with_nothing_in_it_leaves_no_file(folder: pathlib.Path) -> None:
    spool = Spool(folder)
    spool.append(piece(1))
    spool.close(1)
    assert files(folder) == []


def test_a_full_spool_says_so_and_keeps_what_it_has(folder: pathlib.Path) -> None:
    spool = Spool(folder, most_bytes=1000)
    spool.append(piece(1))
    with pytest.raises(OSError, match="full") as caught:
        for number in range(2, 20):
            spool.append(piece(number))
    assert caught.value.errno == errno.ENOSPC
    assert spool.size <= 1000
    assert spool.after(0)[0] == piece(1)


def test_what_a_living_writer_has_is_not_taken_from_it(folder: pathlib.Path) -> None:
    spool = Spool(folder)
    spool.append(piece(1))
    assert list(Left(folder).pieces()) == []
    spool.close(0)
    assert list(Left(folder).pieces()) == [(spool.writer, [piece(1)]), (spool.writer, [])]
    assert files(folder) == []


def test_a_segment_stays_until_the_next_is_asked_for(folder: pathlib.Path) -> None:
    spool = Spool(folder)
    spool.append(piece(1))
    spool.close(0)
    left = Left(folder).pieces()
    next(left)
    left.close()
    assert list(Left(folder).pieces()) == [(spool.writer, [piece(1)]), (spool.writer, [])]


@pytest.mark.parametrize("cut", [1, 20, 180])
def test_half_a_piece_at_the_end_is_left_out(folder: pathlib.Path, cut: int) -> None:
    spool = Spool(folder)
    for number in (1, 2):
        spool.append(piece(number))
    spool.close(0)
    (segment,) = folder.glob("*.rows")
    os.truncate(segment, segment.stat().st_size - cut)
    assert list(Left(folder).pieces()) == [(spool.writer, [piece(1)]), (spool.writer, [])]


def test_a_writer_that_is_gone_is_found_though_it_wrote_nothing(folder: pathlib.Path) -> None:
    spool = Spool(folder)
    spool.claim()
    assert list(Left(folder).pieces()) == []
    assert spool._lock is not None
    os.close(spool._lock)
    assert Left(folder).anything()
    assert list(Left(folder).pieces()) == [(spool.writer, [])]
    assert files(folder) == []


def test_a_folder_that_was_deleted_is_made_again(folder: pathlib.Path) -> None:
    spool = Spool(folder, segment_bytes=1)
    spool.append(piece(1))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    spool.append(piece(2))
    assert spool.after(1) == [piece(2)]


def test_a_piece_that_the_disk_takes_only_half_of_is_not_there(folder: pathlib.Path) -> None:
    resource = pytest.importorskip("resource")
    spool = Spool(folder)
    spool.append(piece(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (spool.size + 20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            spool.append(piece(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    spool.append(piece(3))
    assert spool.after(0) == [piece(1), piece(3)]


def test_what_no_file_takes_is_refused_and_costs_nobody_else(folder: pathlib.Path) -> None:
    spool = Spool(folder)
    for wrong in (exchange("\ud83d"), exchange("a", input_tokens=10**30)):
        with pytest.raises(OSError, match="no file takes"):
            spool.append(Piece(1, wrong))
    spool.append(piece(2))
    assert spool.after(0) == [piece(2)]


def test_only_its_owner_may_read_it(folder: pathlib.Path) -> None:
    Spool(folder).append(piece(1))
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
