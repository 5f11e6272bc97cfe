"""`llm-mux logs`: the daemon's log, readable.

Rule: the file is read, not the daemon, so that the log of one that is gone can be seen too. Lines that are no JSON are
shown as they are.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from llm_mux.cli.invocation import Failure
from llm_mux.cli.said import clean

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_LOOK_S = 0.2
_FIRST = ("timestamp", "level", "event")


@click.command(
    epilog="\b\nExamples:\n  llm-mux logs -f\n"
    "  llm-mux logs --level warning -n 200\n"
    "  llm-mux logs -f --grep exchange.done --json"
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@click.option("--lines", "-n", type=click.IntRange(0), default=50, help="How many lines of what is there (50).")
@click.option("--level", type=click.Choice(list(_LEVELS)), default="debug", help="Only lines of this level and above.")
@click.option("--grep", "text", metavar="TEXT", help="Only lines that hold this.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are.")
def logs(follow: bool, lines: int, level: str, text: str | None, as_json: bool) -> None:
    """Show the daemon's log."""
    from llm_mux import paths

    file = paths.log_dir() / "llm-mux.log"
    if not file.exists() and not follow:
        raise Failure(f"there is no log at {file}; a daemon writes it: llm-mux serve")
    wanted = Wanted(level, text)
    found: deque[str] = deque(maxlen=lines)
    tail = Tail(file)
    for line in tail.new():
        if wanted(line):
            found.append(line)
    for line in found:
        _print(line, as_json)
    while follow:
        for line in tail.new():
            if wanted(line):
                _print(line, as_json)
        time.sleep(_LOOK_S)


class Wanted:
    """Which lines are shown."""

    def __init__(self, level: str, text: str | None) -> None:
        self._least = _LEVELS[level]
        self._text = text

    def __call__(self, line: str) -> bool:
        if self._text is not None and self._text not in line:
            return False
        record = parsed(line)
        return record is None or _LEVELS.get(str(record.get("level")), 0) >= self._least


class Tail:
    """The whole lines of a file that other processes append to and move away when it is full."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position = 0
        self._inode: int | None = None
        self._rest = b""

    def new(self) -> Iterator[str]:
        """What came since the last call."""
        try:
            with self._file.open("rb") as stream:
                found = os.fstat(stream.fileno())
                if found.st_ino != self._inode or found.st_size < self._position:
                    self._inode, self._position, self._rest = found.st_ino, 0, b""
                stream.seek(self._position)
                while piece := stream.read(1 << 20):
                    self._position += len(piece)
                    *whole, self._rest = (self._rest + piece).split(b"\n")
                    for line in whole:
                        yield line.decode("utf-8", "replace")
        except FileNotFoundError:
            return


def parsed(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _print(line: str, as_json: bool) -> None:
    record = None if as_json else parsed(line)
    click.echo(clean(line) if record is None else readable(record))


def readable(record: dict[str, Any]) -> str:
    """Time, level, event and the rest as name=value; what is empty is left out."""
    clock = str(record.get("timestamp", ""))[11:23]
    level = str(record.get("level", ""))
    rest = " ".join(
        f"{name}={_value(value)}"
        for name, value in record.items()
        if name not in _FIRST and value not in (None, "", [], {})
    )
    colour = {"warning": "yellow", "error": "red", "critical": "red"}.get(level)
    head = click.style(f"{level:<7}", fg=colour) if colour else f"{level:<7}"
    return f"{clock} {head} {click.style(clean(str(record.get('event', ''))), bold=True)} {clean(rest)}".rstrip()


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text) if " " in text and isinstance(value, str) else text
