"""What several workers do as one: counters that are added up, logs and exchanges that worker 0 has of all, rests that
all hear of, and what the management API changes in every one of them.

Rule: nothing of this is waited for by a model request. What a worker counted outlives it: its successor begins with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from llm_mux import log
from llm_mux.ledger.response_table import Stored
from llm_mux.paths import write_quickly
from llm_mux.routing.accounts import without_secrets
from llm_mux.server.counted import Counted
from llm_mux.server.ended import DONE, Line
from llm_mux.server.metrics import Metrics
from llm_mux.server.peers import ROOT, Peers, Said, by_the_door
from llm_mux.server.recent import Moment
from llm_mux.server.reload import RELOADER, Reloader
from llm_mux.server.serving import DAEMON, Daemon

_PUSH_S = 0.25
_SAVE_S = 0.5
_MOST_RECORDS = 500
_WATCHED = b"watched"
_EVENT = 100
_line = msgspec.json.Decoder(Line)


def add_routes(app: web.Application) -> None:
    """The routes for the other workers, that nobody else can reach."""
    app.router.add_get(f"{ROOT}/counted", _counted)
    app.router.add_get(f"{ROOT}/captured/{{id}}", _captured)
    app.router.add_post(f"{ROOT}/told", _told)
    app.router.add_get(f"{ROOT}/response", _response)
    app.router.add_get(f"{ROOT}/seals", _seals)


def loops(daemon: Daemon, reloader: Reloader) -> list[Coroutine[Any, Any, None]]:
    """What runs beside the server of a worker."""
    peers = daemon.parts.peers
    if peers.worker is None:
        return []
    daemon.parts.responses.elsewhere = lambda tenant, id: _asked_for(peers, tenant, id)
    daemon.metrics.begin_with(_left_behind(_file(peers, peers.number)))
    if peers.worker.leads:
        reloader.spread = lambda: _spread(peers)
        return [_save(daemon), daemon.parts.shared_seals.learn()]
    return [_save(daemon), daemon.parts.shared_seals.learn(), _push(daemon)]


async def _spread(peers: Peers) -> None:
    """A new configuration or new secrets: all have them when whoever changed them is answered."""
    await peers.tell(Said(worker=peers.number, reload=True))


async def tell(daemon: Daemon, **facts: Any) -> None:
    """Whatever is done here is done by the others too."""
    peers = daemon.parts.peers
    if peers.others:
        await peers.tell(Said(worker=peers.number, **facts))


async def counted(daemon: Daemon) -> Metrics:
    """The counters of all workers, added up."""
    peers = daemon.parts.peers
    daemon.parts.books.flush()
    if peers.worker is None:
        return daemon.metrics
    answers = await peers.ask_all("/counted")
    files = {number: _file(peers, number) for number, answer in answers if answer is None}
    left = await asyncio.to_thread(lambda: {number: _left_behind(file) for number, file in files.items()})
    whole = daemon.metrics.alone()
    for number, answer in answers:
        found = left[number] if answer is None else msgspec.json.decode(answer, type=Counted)
        if found is not None:
            whole.take(found, live=answer is not None)
    return whole


async def captured(daemon: Daemon, request_id: str) -> dict[str, Any] | None:
    """What another worker has captured of an exchange."""
    for _, answer in await daemon.parts.peers.ask_all(f"/captured/{request_id}"):
        if answer is not None:
            found: dict[str, Any] | None = msgspec.json.decode(answer)
            return found
    return None


async def _asked_for(peers: Peers, tenant: str, id: str) -> Stored | None:
    """A response that another worker has finished and not yet written."""
    for _, answer in await peers.ask_all(f"/response?{urlencode({'tenant': tenant, 'id': id})}"):
        if answer is not None:
            return msgspec.msgpack.decode(answer, type=Stored)
    return None


async def _response(request: web.Request) -> web.StreamResponse:
    daemon = _insider(request)
    found = daemon.parts.responses.held(request.query["tenant"], request.query["id"])
    if found is None:
        raise web.HTTPNotFound
    return web.Response(body=msgspec.msgpack.encode(found))


async def _seals(request: web.Request) -> web.StreamResponse:
    daemon = _insider(request)
    found = daemon.parts.seals.packed(request.query.getall("key", None))
    return web.Response(body=msgspec.msgpack.encode(found))


def inflight(daemon: Daemon) -> Counter[str]:
    """Exchanges under way by provider, in this process."""
    found: Counter[str] = Counter()
    for account in daemon.gateway.accounts:
        found[account.provider.name] += account.inflight
    return found


def _known(daemon: Daemon) -> Counted:
    daemon.parts.books.flush()
    return daemon.metrics.counted(inflight(daemon))


async def _counted(request: web.Request) -> web.StreamResponse:
    daemon = _insider(request)
    return web.Response(body=msgspec.json.encode(_known(daemon)))


async def _captured(request: web.Request) -> web.StreamResponse:
    daemon = _insider(request)
    _, found = daemon.parts.recent.of(request.match_info["id"])
    if found is None:
        raise web.HTTPNotFound
    accounts = daemon.gateway.accounts
    return web.Response(body=msgspec.json.encode(found.shown(lambda text: without_secrets(accounts, text))))


async def _told(request: web.Request) -> web.StreamResponse:
    daemon = _insider(request)
    said = msgspec.json.decode(await request.read(), type=Said)
    # First what happened, then what ended: an exchange whose line is there is not running.
    for name, exchange, facts in said.happenings:
        daemon.parts.recent.happens(name, exchange, **facts)
    if said.records:
        _remember(daemon, said)
    if said.rests or said.ended:
        daemon.parts.rests.heard(said.rests, said.ended)
    for packed in said.seals:
        daemon.parts.seals.take(packed, time.monotonic())
    if said.clearing is not None:
        daemon.gateway.clear(said.clearing.account, said.clearing.model)
    for each in said.cancelled:
        await daemon.parts.background.cancel(each.tenant, each.id, forget=each.forget)
    if said.debug is not None:
        log.set_debug(said.debug)
    if said.capture is not None:
        daemon.parts.recent.capturing = said.capture
    if said.watched is not None:
        daemon.parts.recent.relaying = said.watched
    if said.forget_log:
        daemon.parts.books.flush()
        log.flush()
        log.ring.clear()
    if said.reload:
        await request.app[RELOADER].reload()
    return web.Response(body=_WATCHED if daemon.parts.recent.watchers else b"")


def _insider(request: web.Request) -> Daemon:
    if not by_the_door(request):
        raise web.HTTPNotFound
    return request.app[DAEMON]


def _remember(daemon: Daemon, said: Said) -> None:
    """Another worker's records as if they were this one's; lines of exchanges among them."""
    unheard = daemon.parts.recent.unheard(said.worker, said.process, said.last)
    if not (lines := said.records[-unheard:] if unheard else []):
        return
    log.remember("".join([f'{line[:-1]},"worker":{said.worker}}}\n' for line in lines]).encode(), len(lines))
    # Level and event stand before all that others chose.
    ended = [line for line in lines if DONE in line[:_EVENT]]
    content = "".join([f"{line}\n" for line in ended]).encode()
    daemon.parts.recent.add(content, len(ended), map(_line.decode, ended))


@contextlib.asynccontextmanager
async def relayed(daemon: Daemon) -> AsyncIterator[None]:
    """Somebody watches: the other workers tell what happens there, as long as the block lasts."""
    await tell(daemon, watched=True)
    try:
        yield
    finally:
        if daemon.parts.recent.watchers <= 1:
            await tell(daemon, watched=False)


async def _push(daemon: Daemon) -> None:
    """Tells worker 0 what is new in this one's log, and what happens where somebody watches. While that one is away,
    the newest records wait."""
    recent = daemon.parts.recent
    while True:
        await _reported(daemon)
        recent.relaying = True
        async with recent.watched() as moments:
            while recent.relaying:
                await _reported(daemon, moments)


async def _reported(daemon: Daemon, moments: asyncio.Queue[Moment | None] | None = None) -> None:
    """Until worker 0 says that somebody watches; with `moments`, once."""
    peers, recent = daemon.parts.peers, daemon.parts.recent
    while True:
        await asyncio.sleep(_PUSH_S)
        told, last = recent.reported, log.ring.last
        found = [] if moments is None else [moments.get_nowait() for _ in range(moments.qsize())]
        happened = [each for moment in found if moment is not None for each in moment.happened]
        named = [(each.name, each.request, dict(each.facts)) for each in happened if isinstance(each.facts, Mapping)]
        if last != told or named:
            records = [line.decode() for line in log.ring.newest(told, _MOST_RECORDS)]
            own = Said(worker=peers.number, process=os.getpid(), last=last, records=records, happenings=named)
            answer = await peers.report(own)
            if answer is not None:
                recent.reported = last
                recent.relaying = answer == _WATCHED
        if moments is not None or recent.relaying:
            return


async def _save(daemon: Daemon) -> None:
    """Leaves what was counted to the worker that will be in this one's place."""
    file, saved = _file(daemon.parts.peers, daemon.parts.peers.number), -1
    try:
        while True:
            await asyncio.sleep(_SAVE_S)
            if daemon.metrics.observed != saved:
                saved = daemon.metrics.observed
                content = msgspec.json.encode(_known(daemon))
                await asyncio.to_thread(write_quickly, file, content)
    finally:
        write_quickly(file, msgspec.json.encode(_known(daemon)))


def _file(peers: Peers, number: int) -> Path:
    assert peers.worker is not None
    return Path(peers.worker.folder) / f"{number}.counted"


def _left_behind(file: Path) -> Counted | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Counted)
    except (OSError, msgspec.MsgspecError):
        return None
