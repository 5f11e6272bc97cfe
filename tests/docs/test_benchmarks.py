"""Every benchmark starts: what it takes from the package and from the tests is there."""

import os
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"
PROGRAMS = sorted(
    file.name
    for file in FOLDER.iterdir()
    if file.is_file()
    and not file.suffix
    and os.access(file, os.X_OK)
    and "python" in file.read_text(encoding="utf-8").partition("\n")[0]
)


def test_there_are_benchmarks() -> None:
    assert "run" in PROGRAMS
    assert "accounting" in PROGRAMS


@pytest.mark.skipif(sys.platform == "win32", reason="the benchmarks want cores that a process can be kept to")
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_says_what_it_measures(name: str) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / name, "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, bool(done.stdout)) == (0, True), done.stderr
