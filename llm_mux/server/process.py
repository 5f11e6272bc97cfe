"""The process of `llm-mux serve`: from its start, through signals, to its exit code."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from contextlib import AsyncExitStack

from llm_mux import __version__, log, paths
from llm_mux.auth.sealed import StoreError
from llm_mux.auth.store import open_store
from llm_mux.config import ConfigError, Loaded
from llm_mux.server.address import Unheard
from llm_mux.server.app import make_app, start
from llm_mux.server.reload import RELOADER, Reloader, State

_SETTLED_S = 2.0
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_PORT = 0, 1, 2, 3


def run(loaded: Loaded, *, host: str | None = None, port: int | None = None, demo: bool = False) -> int:
    """`llm-mux serve`: until SIGTERM or SIGINT; the exit code."""
    config = loaded.config
    log.configure(debug=config.debug, file=paths.log_dir(os.environ) / "llm-mux.log")
    listen = host or config.host, config.port if port is None else port
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(loaded, *listen, demo))
    return uvloop.run(_serve(loaded, *listen, demo))


async def _serve(loaded: Loaded, host: str, port: int, demo: bool) -> int:
    config, env = loaded.config, os.environ
    async with AsyncExitStack() as stack:
        demo_url = None
        if demo:
            from llm_mux.server.demo import start_demo

            demo_url = await stack.enter_async_context(start_demo())
        try:
            secrets = await asyncio.to_thread(open_store, env=env, data_dir=paths.data_dir(env))
            app = make_app(loaded, env, secrets, demo_url)
            more = (config.ollama_port,) if config.ollama_port else ()
            runner, bound = await start(app, host, port, more, drain_s=config.drain_timeout)
        except (ConfigError, StoreError, Unheard, OSError) as error:
            print(f"llm-mux: {error}", file=sys.stderr)
            return _exit_code(error)
        stack.push_async_callback(runner.cleanup)
        stack.callback(paths.remove_daemon, os.getpid(), env)
        _announce(loaded, host, bound, demo)
        asyncio.get_running_loop().call_later(_SETTLED_S, _spare_the_collector)
        await _until_stopped(app[RELOADER])
    return EXIT_OK


def _exit_code(error: Exception) -> int:
    if isinstance(error, Unheard):
        return EXIT_PORT if error.taken else EXIT_FAILED
    return EXIT_USAGE if isinstance(error, (ConfigError, StoreError)) else EXIT_FAILED


def _spare_the_collector() -> None:
    """What start-up made stays for good: the collector need not look at it again and again, nor come so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _announce(loaded: Loaded, host: str, port: int, demo: bool) -> None:
    import psutil

    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    started = psutil.Process().create_time()
    record = paths.DaemonRecord(os.getpid(), host, port, url, started, __version__, str(loaded.path or ""))
    paths.write_daemon(record, os.environ)
    print(f"listening on {url}", flush=True)
    if demo:
        from llm_mux.server.demo import curls

        print(curls(url, keyed=not loaded.config.disable_auth), flush=True)


async def _until_stopped(reloader: Reloader) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    readings: set[asyncio.Task[State]] = set()

    def read_again() -> None:
        task = loop.create_task(reloader.reload())
        readings.add(task)
        task.add_done_callback(readings.discard)

    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, read_again)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Whoever says it twice does not want to wait for what is under way.
        loop.add_signal_handler(number, os._exit, 128 + number)
