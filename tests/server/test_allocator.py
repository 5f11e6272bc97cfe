"""What the C library is told about memory."""

import platform
import subprocess
import sys

import pytest

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_large_bodies_get_the_pages_of_those_before_them() -> None:
    assert page_faults("kept") * 10 < page_faults("as it is")
