"""Run under callgrind: the daemon of `costing` answers requests of each kind, and says where their instructions begin.

A mark is a call of `getsid`, before which callgrind writes down what it has counted and begins again; the dumps are
numbered. Before the first kind comes a yardstick: work that is none of ours, to know a machine and an interpreter by.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pathlib
import sys
import tempfile
from itertools import islice

import msgspec

from tests.server import costing

MARK = "getsid"
REQUESTS = 20


def mark() -> None:
    os.getsid(0)


def yardstick() -> int:
    """What a request is made of: small functions, dictionaries, texts, JSON."""
    found = 0
    for number in range(100):
        entries = {f"key{each}": {"text": "word " * each, "number": number} for each in range(20)}
        text = json.dumps(entries) + msgspec.json.encode(entries).decode()
        found += len(text.split("word")) + len(msgspec.json.decode(msgspec.json.encode(entries)))
    return found


async def counted(folder: pathlib.Path) -> None:
    app, upstream = costing.daemon(folder), costing.ReadyUpstream(costing.ANSWERS, {})
    loop = asyncio.get_running_loop()
    async with costing.connected(app, upstream) as (lane, client):
        # No timer goes off by itself: what is gathered for a tenth of a second is written once a turn, on every machine.
        now = loop.time()
        loop.time = lambda: now
        for kind in costing.KINDS.values():
            upstream.streams, bodies = costing.reads(kind.at_once), kind.bodies()
            for _ in range(2):
                for body in islice(bodies, REQUESTS):
                    await costing.ask(lane, client, body)
                await costing.settled(app)
                mark()
        del loop.time


if __name__ == "__main__":
    gc.disable()
    yardstick()
    mark()
    yardstick()
    mark()
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(counted(pathlib.Path(name)))
    sys.stdout.write("counted\n")
