"""A request's cost in instructions, C's as well as Python's, so that speed is not lost unseen (`test_cost.py` counts
calls). Who makes it dearer on purpose raises the limit here; who makes it cheaper lowers it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from tests.server import costing, counting
from tests.services import missing

# Thousands of instructions of one request: what CPython 3.11 took, and a tenth. Another interpreter is measured by how
# much it takes for the yardstick.
LIMITS = {
    "splice": 475,
    "translate": 595,
    "spliced stream of 100 events": 2_870,
    "translated stream of 100 events": 3_990,
    "spliced stream, ten events a read": 1_475,
    "translated stream, ten events a read": 2_000,
    "spliced stream that comes at once": 1_140,
    "translated stream that comes at once": 1_580,
    "splice of 40 turns": 1_520,
    "translate 40 turns": 1_560,
    "splice of 40 turns never seen": 2_720,
    "translate 40 turns never seen": 5_150,
}
YARDSTICK = 43_271


def dumps(folder: pathlib.Path) -> list[int]:
    """The instructions between each mark and the one before, the first dump's from the start."""
    command = ["valgrind", "--tool=callgrind", f"--dump-before={counting.MARK}"]
    command += [f"--callgrind-out-file={folder}/out", sys.executable, "-m", "tests.server.counting"]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "counted" in done.stdout, done.stderr[-2000:]
    found = sorted(folder.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    return [int(re.findall(r"^totals: (\d+)", path.read_text(), re.MULTILINE)[0]) for path in found]


def test_a_request_costs_no_more_instructions_than_it_did(tmp_path: pathlib.Path) -> None:
    assert LIMITS.keys() == costing.KINDS.keys()
    if shutil.which("valgrind") is None:
        missing("valgrind is not installed")
    _, yardstick, *turns = dumps(tmp_path)
    scale = YARDSTICK / (yardstick / 1000)
    # Of two turns the first loads what the kind needs.
    each = [round(scale * turn / counting.REQUESTS / 1000) for turn in turns[1::2]]
    found = dict(zip(costing.KINDS, each, strict=True))
    dear = {name: f"{count}, at most {LIMITS[name]}" for name, count in found.items() if count > LIMITS[name]}
    assert not dear, f"thousands of instructions: {dear}; all: {found}; yardstick: {yardstick // 1000}"
