"""The process of `llm-mux serve`: from its start, through signals, to its exit code.

What signals do is in `signals`. At the end who is under way may finish until `drain-timeout`, then gets an error. With
several workers this is the process of one of them, and `supervisor` that of the daemon.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from functools import partial

from aiohttp import web

from llm_mux import log, paths
from llm_mux.auth.sealed import StoreError
from llm_mux.auth.store import open_store
from llm_mux.config import ConfigError, Loaded
from llm_mux.server import early, handover
from llm_mux.server.address import Doors, Unheard
from llm_mux.server.allocator import keep_pages
from llm_mux.server.announce import EXIT_OK, announce, exit_code, show_ways_in
from llm_mux.server.app import make_app, start
from llm_mux.server.checks import accounts_of
from llm_mux.server.parts import running
from llm_mux.server.reload import RELOADER
from llm_mux.server.serving import DAEMON
from llm_mux.server.signals import Signals
from llm_mux.server.supervisor import count, supervise
from llm_mux.server.worker import Door, Worker, open_door, report, this_one

_SETTLED_S = 2.0
_GRACE_S = 2.0


def run(loaded: Loaded, *, demo: bool = False) -> int:
    """`llm-mux serve`: until SIGTERM or SIGINT, or until a successor has taken over; the exit code."""
    detached = os.environ.pop(handover.DETACHED, None) is not None
    log.configure(debug=loaded.config.debug, file=paths.log_dir(os.environ) / "llm-mux.log", only_file=detached)
    worker = this_one(os.environ)
    workers = count(loaded.config.workers)
    if worker is None and workers > 1:
        return asyncio.run(supervise(loaded, workers, demo=demo, detached=detached))
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(loaded, demo, detached, worker))
    return uvloop.run(_serve(loaded, demo, detached, worker))


async def _serve(loaded: Loaded, demo: bool, detached: bool, worker: Worker | None) -> int:
    config, env = loaded.config, os.environ
    doors = Doors(handover.inherited(env))
    async with AsyncExitStack() as stack:
        demo_url = None
        if demo:
            from llm_mux.server.demo import start_demo

            demo_url = await stack.enter_async_context(start_demo())
        try:
            secrets = await asyncio.to_thread(open_store, env=env, data_dir=paths.data_dir(env))
            app = make_app(loaded, env, secrets, demo_url, worker)
            more = (config.ollama_port,) if config.ollama_port else ()
            runner, bound = await start(app, config.host, config.port, more, drain_s=_GRACE_S, doors=doors)
        except (ConfigError, StoreError, Unheard, OSError) as error:
            print(f"llm-mux: {error}", file=sys.stderr)
            return exit_code(error)
        doors.settle()
        stack.push_async_callback(runner.cleanup)
        reload, bare = app[RELOADER].reload, not accounts_of(app[DAEMON].gateway)
        if worker is None:
            stack.callback(paths.remove_daemon, os.getpid(), env)
            signals = Signals(reload, partial(_succeed, app, doors, detached=detached))
            signals.listen()
            await announce(loaded, bound, demo)
            if bare:
                show_ways_in()
        else:
            await open_door(runner, worker)
            signals = Signals(reload, partial(_stand_back, app))
            signals.listen()
            stack.callback((await report(worker, signals.end, bare=bare)).close)
        await stack.enter_async_context(running(_settle_down(app)))
        await signals.told_to_end(_end_now)
        await _drain(app, runner, doors, os.getpid() if worker is None else worker.supervisor)
    return EXIT_OK


async def _succeed(app: web.Application, doors: Doors, *, detached: bool) -> bool:
    """Start a successor, which is to know what this one does; whether it serves."""
    await _stand_back(app)
    if await handover.succeed(doors, detached=detached):
        return True
    await _stand_back(app)
    return False


async def _stand_back(app: web.Application) -> bool:
    """Leave to a successor what it writes too, or take it up again when there is none after all. Not the end yet."""
    parts = app[DAEMON].parts
    if parts.account_notes.silent:
        parts.account_notes.resume()
    else:
        await parts.cooldowns.save()
        await parts.quotas.save()
        await parts.account_notes.hand_over()
    return False


async def _drain(app: web.Application, runner: web.AppRunner, doors: Doors, own: int) -> None:
    """Stop accepting, let those under way finish until the deadline, then tell them. `own` is the daemon's process."""
    daemon = app[DAEMON]
    drain, succeeded = daemon.parts.drain, paths.read_daemon()
    drain.leaving = True
    handed_over = succeeded is not None and succeeded.pid != own
    if not handed_over:
        # Load balancers look at /ready now and then, and send requests until they have seen it.
        await asyncio.sleep(daemon.loaded.config.drain_delay)
    sites = [site for site in runner.sites if not isinstance(site, Door)]
    if handed_over:
        for site in sites:
            await site.stop()
    else:
        await doors.leave(runner, sites)
    # Whoever was let in a moment ago has not asked yet: a load balancer asks for others. With a successor nobody may
    # notice at all: clients that keep their connections learn with the next answer on each to make new ones.
    behind_balancer = daemon.loaded.config.drain_delay > 0
    quiet_s = handover.LINGER_S if handed_over or behind_balancer else 0
    await runner.shutdown()
    if not await drain.idle(daemon.loaded.config.drain_timeout, quiet_s=quiet_s):
        log.logger.warning("drain.deadline", unfinished=len(drain))
        drain.end()
        await drain.idle(_GRACE_S)


def _end_now(number: int) -> None:
    log.flush()
    paths.remove_daemon(os.getpid())
    os._exit(128 + number)


async def _settle_down(app: web.Application) -> None:
    """What has time until a while after the start."""
    await asyncio.sleep(_SETTLED_S)
    early.settled()
    keep_pages()
    gateway = app[DAEMON].gateway
    if any(account.provider.base_url.startswith("https:") for account in gateway.accounts):
        await gateway.upstream.prepare()
