"""A list in a small file of the state folder that several processes keep: the workers of a daemon, and its successor.

Rule: the file is replaced in one step, so that a crash leaves the old or the new. Whoever writes takes the lock, reads
what is there and puts in only what changed with itself: a daemon that ends undoes nothing of its successor's. A file
that cannot be read is set aside; none that cannot be written costs a request anything.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from llm_mux import log
from llm_mux.auth.sealed import StoreError, locked
from llm_mux.paths import set_aside, write_private

T = TypeVar("T", bound=msgspec.Struct)


class StateList(Generic[T]):
    """The file; its name is the first word of what the log says about it. Every method blocks."""

    def __init__(self, path: Path, item: type[T]) -> None:
        self._path = path
        self._type = list[item]  # type: ignore[valid-type]

    def read(self) -> list[T] | None:
        """What is there, None when there is none that can be read."""
        path, name = self._path, self._path.stem
        try:
            return msgspec.json.decode(path.read_bytes(), type=self._type)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.logger.warning(f"{name}.unreadable", file=str(path), error=type(error).__name__)
        except msgspec.MsgspecError as error:
            log.logger.warning(f"{name}.damaged", file=str(path), error=str(error), moved_to=set_aside(path))
        return None

    def put(self, merged: Callable[[list[T] | None], list[T]]) -> list[T] | None:
        """Writes what `merged` makes of what is there; what is on the disk now, None when it could not be written."""
        try:
            with locked(self._path.with_suffix(".lock")):
                found = self.read()
                kept = merged(found)
                if kept != found:
                    write_private(self._path, msgspec.json.encode(kept))
                return kept
        except (OSError, StoreError) as error:
            log.logger.warning(f"{self._path.stem}.unwritten", file=str(self._path), error=type(error).__name__)
            return None
