"""What the C library is told about memory."""

import platform
import subprocess
import sys

import pytest

from llm_mux.server.allocator import Crowd

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")

CODE = """
import pathlib, sys
from llm_mux.server.allocator import keep_pages

def faults():
    return int(pathlib.Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[7])

def bodies():
    before = faults()
    for _ in range(50):
        [bytes(200_000) for _ in range(8)]
    return faults() - before

keep_pages() if sys.argv[1] == "kept" else None
bodies()
print(bodies())
"""


def page_faults(word: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE, word], check=True, capture_output=True, text=True)
    return int(done.stdout)


@GLIBC
def test_large_bodies_get_the_pages_of_those_before_them() -> None:
    assert page_faults("kept") * 10 < page_faults("as it is")


HELD = """
import pathlib
from llm_mux.server.allocator import give_back, keep_pages

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4

keep_pages()
before = resident()
many = [bytes(1000) for _ in range(40_000)]
few = many[::100]
del many
free = resident()
give_back()
print(free - before, resident() - before)
"""


@GLIBC
def test_what_lies_between_blocks_in_use_goes_back_when_it_is_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", HELD], check=True, capture_output=True, text=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 30_000
    assert left < kept / 4


@pytest.mark.parametrize(
    ("present", "over"),
    [
        pytest.param([1, 30, 63, 1], [False, False, False, False], id="never many"),
        pytest.param([500, 400, 126, 125, 120, 0], [False, False, False, True, False, True], id="quarter by quarter"),
        pytest.param([500, 0, 64, 63, 16, 500, 3], [False, True, False, False, True, False, True], id="and again"),
    ],
)
def test_a_crowd_is_over_when_most_of_it_has_left(present: list[int], over: list[bool]) -> None:
    crowd, found = Crowd(), []
    for number in present:
        crowd.grew(number)
        found.append(crowd.is_over(number))
    assert found == over
