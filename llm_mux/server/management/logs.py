"""The log over the management API: the newest records from memory, older ones from the files, new ones as they come.

Rule: nobody is told of a record while it is written; whoever follows looks for new ones four times a second.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from llm_mux import log, paths
from llm_mux.records import LEVELS
from llm_mux.server import together
from llm_mux.server.management.endpoint import Call, Done, Endpoint
from llm_mux.server.management.streams import EVENTS, streamed

_TAIL_BYTES = 4 << 20
_LOOK_S = 0.25
_MOST_AT_ONCE = 1000
_ENCODER = msgspec.json.Encoder(enc_hook=str)
Level = Literal["debug", "info", "warning", "error", "critical"]


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """`after` is the `seq` of the last record that is known; `source` file reads the log files, which have none."""

    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=2000)] = 200
    level: Level = "debug"
    source: Literal["memory", "file"] = "memory"


class From(Struct, frozen=True, forbid_unknown_fields=True):
    """`after` as in the list; a number that this process has not given out yet is that of a former one."""

    after: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    level: Level = "debug"


class Records(Struct, frozen=True):
    """Oldest first. `last` is the newest number given out, to ask for what comes after it."""

    records: list[dict[str, Any]]
    last: int


async def _read(call: Call) -> Records:
    which: Which = call.query
    if which.source == "file":
        file = paths.log_dir(call.daemon.parts.env) / "llm-mux.log"
        records = await asyncio.to_thread(_from_files, file, which.limit, which.level)
    else:
        records = log.ring.after(which.after, limit=which.limit, level=which.level)
    return Records([log.redact(record) for record in records], log.ring.last)


def _from_files(file: Any, limit: int, level: str) -> list[dict[str, Any]]:
    """The newest records of at least a level from the end of the log, and of the file before it where one is short."""
    log.flush()
    least = LEVELS[level]
    found: list[dict[str, Any]] = []
    for path in (file.with_name(f"{file.name}.1"), file):
        try:
            with path.open("rb") as stream:
                stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
                lines = stream.read(_TAIL_BYTES).split(b"\n")
        except OSError:
            continue
        found += [record for line in lines if (record := _record(line)) is not None]
    return [record for record in found if LEVELS.get(record.get("level", ""), 0) >= least][-limit:]


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return None


async def _live(call: Call) -> web.StreamResponse:
    """Records as they come. Each event is what the list would answer."""
    which: From = call.query
    known = log.ring.last if which.after is None else which.after if which.after <= log.ring.last else 0

    async def newer() -> bytes | None:
        nonlocal known
        while not call.daemon.parts.drain.leaving:
            if log.ring.last != known:
                found = log.ring.after(known, limit=_MOST_AT_ONCE, level=which.level)
                known = log.ring.last
                if found:
                    told = Records([log.redact(record) for record in found], known)
                    return b"id: %d\ndata: %b\n\n" % (known, _ENCODER.encode(told))
            await asyncio.sleep(_LOOK_S)
        return None

    return await streamed(call, newer)


async def _clear(call: Call) -> Done:
    # The other workers first: what they still hold back goes to the files, which are emptied last.
    await together.tell(call.daemon, forget_log=True)
    call.daemon.parts.books.flush()
    log.ring.clear()
    await asyncio.to_thread(log.clear_files)
    log.logger.info("log.cleared")
    return Done("The log is empty, in memory and in its files.")


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/logs",
        summary="Records of the log",
        more="`after` is the `seq` of the last record that is known.",
        handle=_read,
        query=Which,
        answer=Records,
    ),
    Endpoint(
        method="GET",
        path="/logs/live",
        summary="Records of the log as they come, as server-sent events",
        more="New records from `after` on (a record's `seq`; without it from now on), each event as `/logs` answers.",
        handle=_live,
        query=From,
        media=EVENTS,
    ),
    Endpoint(method="DELETE", path="/logs", summary="Empty the log and its files", handle=_clear, answer=Done),
)
