"""The process of `llm-mux serve`: from its start, through signals, to its exit code.

SIGHUP reads the configuration again (or ends it, when the terminal was closed that it runs in), SIGUSR2 hands over to a
successor, SIGTERM and SIGINT end it: who is under way may finish until `drain-timeout`, then gets an error. The second
of those ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from aiohttp import web

from llm_mux import __version__, log, paths
from llm_mux.auth.sealed import StoreError
from llm_mux.auth.store import open_store
from llm_mux.config import ConfigError, Loaded
from llm_mux.server import handover
from llm_mux.server.address import Doors, Unheard
from llm_mux.server.app import make_app, start
from llm_mux.server.reload import RELOADER
from llm_mux.server.serving import DAEMON

_SETTLED_S = 2.0
_GRACE_S = 2.0
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_PORT = 0, 1, 2, 3


def run(loaded: Loaded, *, demo: bool = False) -> int:
    """`llm-mux serve`: until SIGTERM or SIGINT, or until a successor has taken over; the exit code."""
    detached = os.environ.pop(handover.DETACHED, None) is not None
    log.configure(debug=loaded.config.debug, file=paths.log_dir(os.environ) / "llm-mux.log", only_file=detached)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(loaded, demo, detached))
    return uvloop.run(_serve(loaded, demo, detached))


async def _serve(loaded: Loaded, demo: bool, detached: bool) -> int:
    config, env = loaded.config, os.environ
    doors = Doors(handover.inherited(env))
    async with AsyncExitStack() as stack:
        demo_url = None
        if demo:
            from llm_mux.server.demo import start_demo

            demo_url = await stack.enter_async_context(start_demo())
        try:
            secrets = await asyncio.to_thread(open_store, env=env, data_dir=paths.data_dir(env))
            app = make_app(loaded, env, secrets, demo_url)
            more = (config.ollama_port,) if config.ollama_port else ()
            runner, bound = await start(app, config.host, config.port, more, drain_s=_GRACE_S, doors=doors)
        except (ConfigError, StoreError, Unheard, OSError) as error:
            print(f"llm-mux: {error}", file=sys.stderr)
            return _exit_code(error)
        doors.settle()
        stack.push_async_callback(runner.cleanup)
        stack.callback(paths.remove_daemon, os.getpid(), env)
        signals = _Signals(app, doors, detached)
        signals.listen()
        _announce(loaded, bound, demo)
        asyncio.get_running_loop().call_later(_SETTLED_S, _spare_the_collector)
        await signals.told_to_end()
        await _drain(app, runner)
    return EXIT_OK


async def _drain(app: web.Application, runner: web.AppRunner) -> None:
    """Stop accepting, let those under way finish until the deadline, then tell them."""
    daemon = app[DAEMON]
    drain, succeeded = daemon.parts.drain, paths.read_daemon()
    drain.leaving = True
    for site in runner.sites:
        await site.stop()
    # With a successor nobody may notice: whoever was let in a moment ago has not asked yet, and clients that keep their
    # connections learn with the next answer on each to make new ones.
    quiet_s = handover.LINGER_S if succeeded is not None and succeeded.pid != os.getpid() else 0
    await runner.shutdown()
    if not await drain.idle(daemon.loaded.config.drain_timeout, quiet_s=quiet_s):
        log.logger.warning("drain.deadline", unfinished=len(drain))
        drain.end()
        await drain.idle(_GRACE_S)


class _Signals:
    """What each signal does."""

    def __init__(self, app: web.Application, doors: Doors, detached: bool) -> None:
        self._app = app
        self._doors = doors
        self._detached = detached
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._work: set[asyncio.Task[Any]] = set()
        self._handing_over = False
        self._terminal = [fd for fd in (0, 1, 2) if os.isatty(fd)] if _has_terminal() else []

    def listen(self) -> None:
        """From now on signals do what they should; before, they end the process."""
        self._on("SIGHUP", self._hung_up)
        self._on("SIGUSR2", lambda: self._start(self._hand_over()))
        for name in ("SIGTERM", "SIGINT"):
            self._on(name, self._ended.set)

    async def told_to_end(self) -> None:
        """Returns at the first SIGTERM or SIGINT, or when a successor serves."""
        await self._ended.wait()
        for name in ("SIGTERM", "SIGINT"):
            # Whoever says it twice does not want to wait for what is under way.
            self._on(name, partial(_end_now, getattr(signal, name)))

    def _on(self, name: str, call: Callable[[], object]) -> None:
        number = getattr(signal, name, None)
        if number is None:
            return
        try:
            self._loop.add_signal_handler(number, call)
        except NotImplementedError:
            signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(call))

    def _hung_up(self) -> None:
        """Somebody wants the configuration read again, or the terminal that it was started in is gone."""
        if self._terminal and not _has_terminal():
            with open(os.devnull, "r+b") as nowhere:
                for fd in self._terminal:
                    os.dup2(nowhere.fileno(), fd)
            self._ended.set()
        else:
            self._start(self._app[RELOADER].reload())

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        task = self._loop.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _hand_over(self) -> None:
        if self._handing_over or self._ended.is_set():
            return
        self._handing_over = True
        parts = self._app[DAEMON].parts
        try:
            await parts.cooldowns.save()
            await parts.account_notes.hand_over()
            if await handover.succeed(self._doors, detached=self._detached):
                self._ended.set()
            else:
                parts.account_notes.resume()
        finally:
            self._handing_over = False


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _end_now(number: int) -> None:
    log.flush()
    paths.remove_daemon(os.getpid())
    os._exit(128 + number)


def _exit_code(error: Exception) -> int:
    if isinstance(error, Unheard):
        return EXIT_PORT if error.taken else EXIT_FAILED
    return EXIT_USAGE if isinstance(error, (ConfigError, StoreError)) else EXIT_FAILED


def _spare_the_collector() -> None:
    """What start-up made stays for good: the collector need not look at it again and again, nor come so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _announce(loaded: Loaded, port: int, demo: bool) -> None:
    import psutil

    host = loaded.config.host
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    started = psutil.Process().create_time()
    record = paths.DaemonRecord(os.getpid(), host, port, url, started, __version__, str(loaded.path or ""))
    paths.write_daemon(record, os.environ)
    handover.tell_systemd(f"MAINPID={os.getpid()}\nREADY=1", os.environ)
    said = f"listening on {url}"
    if demo:
        from llm_mux.server.demo import curls

        said = f"{said}\n{curls(url, keyed=not loaded.config.disable_auth)}"
    # A terminal that was closed meanwhile ends the daemon by its signal, in order.
    with contextlib.suppress(OSError):
        print(said, flush=True)
