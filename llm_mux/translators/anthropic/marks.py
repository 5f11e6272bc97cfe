"""Cache marks of a finished request: at most so many, and none of an hour after one of five minutes.

The order that counts is tools, system, messages. When there are too many the last ones stay, for they cover most.
Spec: the Messages API page, section 2 (cache_control).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw

from llm_mux.translators.anthropic import wire
from llm_mux.wire import jsonx

_KEY: Final = b'"cache_control"'
_LONG: Final = "1h"


def control(ttl: str | None) -> wire.CacheControl:
    """A mark with the nearest lifetime that exists here: an hour, or five minutes (the default)."""
    return wire.CacheControl(ttl if ttl in ("5m", _LONG) else None if ttl is None or ttl == "30m" else _LONG)


def limit(lists: Iterable[list[Any]], most: int) -> None:
    """Takes marks out of the blocks in `lists`, in place, until the API's rules hold."""
    lists = list(lists)
    if all([unmarked(blocks) for blocks in lists]):
        return
    marked = [(blocks, at, _ttl(blocks[at])) for blocks in lists for blocks, at in _marked(blocks)]
    surplus = len(marked) - max(most, 0)
    short_seen = False
    for position, (blocks, at, ttl) in enumerate(marked):
        if position < surplus:
            blocks[at] = _with(blocks[at], None)
        elif ttl != _LONG:
            short_seen = True
        elif short_seen:
            blocks[at] = _with(blocks[at], wire.CacheControl())


def unmarked(blocks: list[Any]) -> bool:
    """Whether a glance is enough to see that there is no mark."""
    for block in blocks:
        if type(block) is Raw or block.cache_control is not None:
            return False
        if type(block) is wire.ToolResult and type(block.content) is list:
            return False
    return True


def _marked(blocks: list[Any]) -> Iterator[tuple[list[Any], int]]:
    """Where marks are, those inside tool results before the result's own."""
    for at, block in enumerate(blocks):
        if isinstance(block, wire.ToolResult) and isinstance(block.content, list):
            yield from _marked(block.content)
        if isinstance(block, Raw):
            if _KEY in bytes(block) and "cache_control" in jsonx.top(bytes(block)):
                yield blocks, at
        elif block.cache_control is not None:
            yield blocks, at


def _ttl(block: Any) -> str | None:
    if not isinstance(block, Raw):
        ttl: str | None = block.cache_control.ttl
        return ttl
    found = msgspec.json.decode(jsonx.top(bytes(block))["cache_control"])
    return found.get("ttl") if isinstance(found, dict) else None


def _with(block: Any, mark: wire.CacheControl | None) -> Any:
    if isinstance(block, Raw):
        value = None if mark is None else msgspec.json.encode(mark)
        return Raw(jsonx.splice(bytes(block), {"cache_control": value}))
    return msgspec.structs.replace(block, cache_control=mark)
