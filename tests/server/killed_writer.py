"""Writes a state file again and again, each time in a process that is killed (SIGKILL) one line of our code later.

Usage: python -m tests.server.killed_writer FOLDER FILE. Prints, as JSON, what was read after each kill: `old` or `new`,
or what is wrong with it. It ends with the first process that lived.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from llm_mux import paths
from llm_mux.auth.sealed import SealedFile
from llm_mux.config import example
from llm_mux.errors import Kind
from llm_mux.gateway.waiting import Waiting
from llm_mux.ledger.price_book import Book, current, save
from llm_mux.routing.rests import Held, Kept, Place
from llm_mux.routing.standing import Standing
from llm_mux.server.cooldowns import Cooldowns
from llm_mux.server.reload import _replace

OURS = str(Path(paths.__file__).parent)
LONG = "x" * 100_000


def rests(file: Path, word: str) -> None:
    now, unix = time.monotonic(), time.time()
    held = {Place("p/a", word, "", host=False): Held(now + 1000, Kind.QUOTA, 1)}
    Cooldowns(file, Waiting(), Standing())._write({}, held, now, unix)


def rests_read(file: Path) -> str:
    # What a writer did not know of stays beside its own.
    return min(each.key for each in msgspec.json.decode(file.read_bytes(), type=list[Kept]))


def record(file: Path, word: str) -> None:
    started = float(word == "new")
    paths.write_daemon(paths.DaemonRecord(1, LONG, 1, "", started, "", ""), {"LLM_MUX_HOME": str(file.parent.parent)})


def record_read(file: Path) -> str:
    found = paths.read_daemon({"LLM_MUX_HOME": str(file.parent.parent)})
    return "damaged" if found is None else ("old", "new")[int(found.started)]


def prices_read(file: Path) -> str:
    return current(file).source


WAYS: dict[str, tuple[Callable[[Path, str], None], Callable[[Path], str]]] = {
    "state/cooldowns.json": (rests, rests_read),
    "state/daemon.json": (record, record_read),
    "data/secrets.json.enc": (
        lambda file, word: SealedFile(file.parent).set("name", word),
        lambda file: SealedFile(file.parent).get("name") or "lost",
    ),
    "data/prices.json": (
        lambda file, word: save(Book(source=word, date=LONG, providers={}), file),
        prices_read,
    ),
    "config.yaml": (
        lambda file, word: _replace(file, f"# {word}\n{example()}", lambda place, content: None),
        lambda file: file.read_text().partition("\n")[0][2:] if file.read_text().endswith(example()) else "cut",
    ),
}


def killed_after(lines: int, write: Callable[[], None]) -> bool:
    """Runs `write` in a process that is killed before it comes to that line of ours; whether it was."""
    pid = os.fork()
    if pid == 0:
        left = lines

        def trace(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(OURS):
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        write()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def main(folder: Path, name: str) -> list[str]:
    write, read = WAYS[name]
    file = folder / name
    found, lines, alive = [], 0, False
    while not alive:
        file.unlink(missing_ok=True)
        write(file, "old")
        alive = not killed_after(lines, lambda: write(file, "new"))
        try:
            found.append(read(file))
        except Exception as error:
            found.append(repr(error))
        lines += 1
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
