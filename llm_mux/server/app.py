"""The composition root: the whole configuration in, a running daemon out. One function builds the runner for all."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from aiohttp import web

from llm_mux import __version__, log, paths
from llm_mux.auth.keys import keys, resolve
from llm_mux.auth.sealed import StoreError
from llm_mux.auth.store import SecretStore, open_store
from llm_mux.config import Config, ConfigError, Loaded
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.core import Gateway, Settings
from llm_mux.gateway.models import ModelLists
from llm_mux.gateway.upstream import Timeouts, Upstream
from llm_mux.ledger.database import Database
from llm_mux.ledger.responses import ResponseStore
from llm_mux.ledger.writer import Writer
from llm_mux.server import health
from llm_mux.server.address import Unheard, listen
from llm_mux.server.answers import error_body, protocol_of
from llm_mux.server.books import Books
from llm_mux.server.compose import fleet
from llm_mux.server.guard import Guard
from llm_mux.server.metrics import Metrics
from llm_mux.server.protocols import anthropic, gemini, ollama, openai, responses, responses_ws
from llm_mux.server.serving import DAEMON, STORE, Daemon, cors, refuse, request_id
from llm_mux.translators import registry

_SETTLED_S = 2.0
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_PORT = 0, 1, 2, 3


@dataclass(slots=True)
class Parts:
    """What lives as long as the daemon, beside the application."""

    writer: Writer
    store: ResponseStore
    database: Database
    metrics: Metrics = field(default_factory=Metrics)


def make_app(
    config: Config, env: Mapping[str, str], secrets: SecretStore, demo_url: str | None = None
) -> web.Application:
    """The application with everything below it. Opens no socket and asks nobody."""
    made = fleet(config, env, keys(secrets), secret=lambda text: resolve(text, env, secrets), demo_url=demo_url)
    app = web.Application(client_max_size=config.max_request_size)
    database = Database(config.usage.database or paths.data_dir(env) / "llm-mux.sqlite")
    parts = Parts(Writer(database), ResponseStore(database), database)
    lists = ModelLists(paths.cache_dir(env) / "models")
    lists.known(made.accounts)
    books = Books(parts.writer, parts.metrics)
    seconds = config.timeouts
    client_keys = [key for setting in config.api_keys for key in resolve(setting, env, secrets)]

    async def life(app: web.Application) -> object:
        async with AsyncExitStack() as stack:
            upstream = Upstream()
            stack.push_async_callback(upstream.close)
            gateway = Gateway(
                settings=Settings(
                    strict=config.strict,
                    timeouts=Timeouts(seconds.connect, seconds.first_byte, seconds.between_bytes),
                    aliases=dict(config.aliases),
                    default_provider=config.default_provider,
                ),
                offers=made.offers,
                accounts=made.accounts,
                upstream=upstream,
                lists=lists,
                settle=books,
            )
            app[DAEMON] = Daemon(gateway, Guard(config, client_keys), parts.metrics, config.max_request_size)
            loops = [asyncio.create_task(parts.writer.run()), asyncio.create_task(parts.store.run())]
            yield
            books.flush()
            await parts.writer.close()
            await parts.store.close()
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await database.close()

    app.cleanup_ctx.append(life)  # type: ignore[arg-type]  # an async generator function, as aiohttp wants it
    app[health.ENVIRONMENT] = config.environment
    if config.store_responses:
        app[STORE] = parts.store
    app.on_shutdown.append(responses_ws.leave)
    for protocol in (openai, responses, anthropic, gemini, ollama, health):
        protocol.add_routes(app)
    if config.telemetry.prometheus:
        app.router.add_get("/metrics", health.metrics)
    app.router.add_route("*", "/{tail:.*}", unrouted)
    return app


async def unrouted(request: web.Request) -> web.StreamResponse:
    """CORS preflights, and everything that has no route: the client's own 404."""
    daemon = request.app[DAEMON]
    named = {"X-Request-ID": request_id(request)}
    try:
        origin = daemon.guard.check(request.headers)
    except MuxError as error:
        return web.json_response(error_body(error, error.http_status), status=error.http_status, headers=named)
    if request.method == "OPTIONS" and origin is not None:
        asked = request.headers.get("Access-Control-Request-Headers", "*")
        allowed = {"Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS", "Access-Control-Max-Age": "600"}
        headers = {**named, **cors(origin), **allowed, "Access-Control-Allow-Headers": asked}
        return web.Response(status=204, headers=headers)
    message = f"There is no {request.method} {request.path} here; GET / lists the endpoints."
    missing = MuxError(Kind.NOT_FOUND, message, code="unknown_url")
    protocol = protocol_of(request)
    if protocol is None:
        headers = named if origin is None else {**named, **cors(origin)}
        return web.json_response(error_body(missing, 404), status=404, headers=headers)
    return await refuse(request, missing, registry.get(protocol))


def make_runner(app: web.Application, drain_s: float = 5) -> web.AppRunner:
    """The only place that decides how requests are run. A vanished client cancels its handler; at the end those under
    way get `drain_s` to finish."""
    return web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        auto_decompress=True,
        max_line_size=65536,
        max_field_size=65536,
        keepalive_timeout=75,
        shutdown_timeout=drain_s,
    )


async def start(
    app: web.Application, host: str, port: int, more: tuple[int, ...] = (), *, drain_s: float = 5
) -> tuple[web.AppRunner, int]:
    """A listening daemon and its port. Raises Unheard when an address cannot be had."""
    runner = make_runner(app, drain_s)
    await runner.setup()
    try:
        for number in (port, *more):
            await listen(runner, host, number)
    except BaseException:
        await runner.cleanup()
        raise
    bound: int = runner.addresses[0][1]
    return runner, bound


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
            app = await asyncio.to_thread(make_app, config, env, secrets, demo_url)
            more = (config.ollama_port,) if config.ollama_port else ()
            runner, bound = await start(app, host, port, more, drain_s=config.drain_timeout)
        except (ConfigError, StoreError, Unheard, OSError) as error:
            print(f"llm-mux: {error}", file=sys.stderr)
            return _exit_code(error)
        stack.push_async_callback(runner.cleanup)
        stack.callback(paths.remove_daemon, os.getpid(), env)
        _announce(loaded, host, bound, demo)
        asyncio.get_running_loop().call_later(_SETTLED_S, _spare_the_collector)
        await _until_stopped()
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


async def _until_stopped() -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Whoever says it twice does not want to wait for what is under way.
        loop.add_signal_handler(number, os._exit, 128 + number)
