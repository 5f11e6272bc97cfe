import errno
import os
import pathlib

import pytest

from llm_mux.ledger.spool import Batch, Left, Spool
from tests.ledger.samples import exchange


def batch(number: int, rows: int = 2) -> Batch:
    return Batch(number, [exchange(f"req-{number}-{row}") for row in range(rows)])


def files(folder: pathlib.Path) -> list[str]:
    return sorted(path.name.split(".", 1)[1] for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "spool"


def test_what_was_put_in_comes_out_in_order_after_a_number(folder: pathlib.Path) -> None:
    spool = Spool(folder)
    for number in (1, 2, 3):
        spool.append(batch(number))
    assert spool.after(0) == [batch(1), batch(2), batch(3)]
    assert spool.after(2) == [batch(3)]
    assert spool.after(3) == []


def test_segments_go_as_soon_as_the_database_has_all_of_them(folder: pathlib.Path) -> None:
    spool = Spool(folder, segment_bytes=1)
    for number in (1, 2, 3):
        spool.append(batch(number))
    assert files(folder) == ["000000001.rows", "000000002.rows", "000000003.rows", "lock"]
    spool.written(2)
    assert files(folder) == ["000000003.rows", "lock"]
    spool.written(3)
    assert spool.size == 0
    spool.append(batch(4))
    assert spool.after(0) == [batch(4)]


def test_a_closed_spool_with_nothing_in_it_leaves_no_file(folder: pathlib.Path) -> None:
    spool = Spool(folder)
    spool.append(batch(1))
    spool.close(1)
    assert files(folder) == []


def test_a_full_spool_says_so_and_keeps_what_it_has(folder: pathlib.Path) -> None:
    spool = Spool(folder, most_bytes=2000)
    spool.append(batch(1))
    with pytest.raises(OSError, match="full") as caught:
        for number in range(2, 20):
            spool.append(batch(number, rows=1))
    assert caught.value.errno == errno.ENOSPC
    assert spool.size <= 2000
    assert spool.after(0)[0] == batch(1)


def test_what_a_living_writer_has_is_not_taken_from_it(folder: pathlib.Path) -> None:
    spool = Spool(folder)
    spool.append(batch(1))
    assert list(Left(folder).batches()) == []
    spool.close(0)
    assert list(Left(folder).batches()) == [(spool.writer, [batch(1)])]
    assert files(folder) == []


def test_a_segment_stays_until_the_next_is_asked_for(folder: pathlib.Path) -> None:
    spool = Spool(folder)
    spool.append(batch(1))
    spool.close(0)
    left = Left(folder).batches()
    next(left)
    left.close()
    assert len(list(Left(folder).batches())) == 1


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_half_a_line_at_the_end_is_left_out(folder: pathlib.Path, cut: int) -> None:
    spool = Spool(folder)
    for number in (1, 2):
        spool.append(batch(number))
    spool.close(0)
    (segment,) = folder.glob("*.rows")
    os.truncate(segment, segment.stat().st_size - cut)
    assert list(Left(folder).batches()) == [(spool.writer, [batch(1)])]


def test_a_folder_that_was_deleted_is_made_again(folder: pathlib.Path) -> None:
    spool = Spool(folder)
    spool.append(batch(1))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    spool.append(batch(2))
    assert spool.after(1) == [batch(2)]


def test_only_its_owner_may_read_it(folder: pathlib.Path) -> None:
    Spool(folder).append(batch(1))
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
