"""What `connect` changed, kept so that `--undo` can put it back: one small file a tool in the state folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from llm_mux.paths import write_private


class Change(Struct, frozen=True, rename="kebab"):
    """A settings file before (`before` None: it was not there), what was written, and which model the tool was told."""

    file: str
    before: str | None
    written: str
    model: str | None = None


def _place(folder: Path, tool: str) -> Path:
    return folder / "connected" / f"{tool}.json"


def remember(folder: Path, tool: str, changes: Iterable[Change]) -> None:
    """Keeps changes. Of several of one file the first `before` counts: that is what the user had."""
    kept = {change.file: change for change in recall(folder, tool)}
    for change in changes:
        earlier = kept.get(change.file)
        before = change.before if earlier is None else earlier.before
        kept[change.file] = msgspec.structs.replace(change, before=before)
    write_private(_place(folder, tool), msgspec.json.encode(list(kept.values())))


def recall(folder: Path, tool: str) -> tuple[Change, ...]:
    try:
        return msgspec.json.decode(_place(folder, tool).read_bytes(), type=tuple[Change, ...])
    except (OSError, msgspec.MsgspecError):
        return ()


def forget(folder: Path, tool: str) -> None:
    _place(folder, tool).unlink(missing_ok=True)
