"""What a daemon does that nobody asks for anything."""

import pathlib
import sys
import time

import pytest

from tests.daemon import process_daemon

START_S, WATCHED_S = 3.0, 4.0


def used(pid: int) -> tuple[float, int]:
    """Seconds of CPU of all threads so far, and how often one of them went to sleep."""
    naps = 0
    for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        naps += int(lines["voluntary_ctxt_switches"])
    return time.clock_gettime(~pid << 3 | 2), naps


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what a process uses")
def test_an_idle_daemon_sleeps(tmp_path: pathlib.Path) -> None:
    providers = [{"id": "a", "type": "openai-compatible", "base-url": "http://127.0.0.1:9/v1", "models": ["m"]}]
    with process_daemon(tmp_path, {"providers": providers, "discover": False}) as running:
        # What is put off until after the start is over then; what is watched is a time, not an event.
        time.sleep(START_S)
        cpu, naps = used(running.process.pid)
        time.sleep(WATCHED_S)
        cpu, naps = used(running.process.pid)[0] - cpu, used(running.process.pid)[1] - naps
    # Looks at the configuration file once a second, at its accounts every other second, each with a thread's help.
    assert naps / WATCHED_S < 25, naps
    assert cpu / WATCHED_S < 0.01, cpu
