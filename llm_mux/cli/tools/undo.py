"""What `connect` changed, kept so that `--undo` can put it back: one small file a tool in the state folder.

Rule: only the text that `connect` itself wrote is replaced; a file that was changed since is left alone.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from llm_mux.paths import write_private


class Change(Struct, frozen=True, rename="kebab"):
    """A settings file before (`before` None: it was not there), and the hash of what was written."""

    file: str
    before: str | None
    written: str


def _place(folder: Path, tool: str) -> Path:
    return folder / "connected" / f"{tool}.json"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def remember(folder: Path, tool: str, change: Change) -> None:
    """Keeps a change. Of several in a row the first `before` counts: that is what the user had."""
    earlier = recall(folder, tool)
    if earlier is not None and earlier.file == change.file:
        change = msgspec.structs.replace(change, before=earlier.before)
    write_private(_place(folder, tool), msgspec.json.encode(change))


def recall(folder: Path, tool: str) -> Change | None:
    try:
        return msgspec.json.decode(_place(folder, tool).read_bytes(), type=Change)
    except (OSError, msgspec.MsgspecError):
        return None


def forget(folder: Path, tool: str) -> None:
    _place(folder, tool).unlink(missing_ok=True)
