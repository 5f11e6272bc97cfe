"""The composition root: the whole configuration in, a running daemon out. One function builds the runner for all.

Routes are added by the modules of `ROUTES`, each with its own `add_routes(app)`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from llm_mux.auth.store import SecretStore
from llm_mux.config import Loaded
from llm_mux.errors import Kind, MuxError
from llm_mux.server import billing, forwarding, health, metadata, openapi, together
from llm_mux.server.address import Doors
from llm_mux.server.aiohttp_end import told
from llm_mux.server.answers import error_body, methods_of, not_so, protocol_of
from llm_mux.server.build import build
from llm_mux.server.dashboard import pages
from llm_mux.server.lanes import Runner
from llm_mux.server.management import routes as management
from llm_mux.server.parts import opened, running
from llm_mux.server.peers import PEERS
from llm_mux.server.protocols import anthropic, bedrock, gemini, ollama, openai, responses, responses_ws
from llm_mux.server.reload import RELOADER, Reloader
from llm_mux.server.serving import DAEMON, ModelRoute, cors, request_id
from llm_mux.server.understood import understood
from llm_mux.server.worker import Worker

ROUTES = (openai, responses, anthropic, gemini, ollama, bedrock, billing, health, metadata, pages, management, openapi)


def make_app(
    loaded: Loaded,
    env: Mapping[str, str],
    secrets: SecretStore,
    demo_url: str | None = None,
    worker: Worker | None = None,
) -> web.Application:
    """The application, of one of several workers where `worker` says so. What is below it is opened when it starts and
    closed when it ends."""
    app = web.Application(
        client_max_size=loaded.config.max_request_size,
        middlewares=[understood, *([forwarding.to_the_leader] if worker is not None and not worker.leads else [])],
    )

    async def life(app: web.Application) -> AsyncIterator[None]:
        async with opened(loaded.config, env, secrets, demo_url, worker) as parts:
            app[PEERS] = parts.peers
            app[DAEMON] = daemon = await build(loaded, parts)
            parts.limiters.succeed()
            app[RELOADER] = reloader = Reloader(daemon)
            async with running(reloader.run(), *together.loops(daemon, reloader)):
                yield

    app.cleanup_ctx.append(life)
    app.on_shutdown.append(responses_ws.leave)
    app.on_shutdown.append(_let_go_of_watchers)
    for module in ROUTES:
        module.add_routes(app)
    if worker is not None:
        together.add_routes(app)
    app.router.add_route("*", "/{tail:(?s:.*)}", unrouted)
    return app


async def _let_go_of_watchers(app: web.Application) -> None:
    parts = app[DAEMON].parts
    parts.drain.leaving = True
    parts.recent.close()


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
    methods = await methods_of(request)
    message = f"There is no {request.method} {request.path} here; GET / lists the endpoints."
    if request.path.startswith("/v1/v1"):
        message = "The path has /v1 twice: this client adds it by itself, so take it away from its base URL."
    wrong = not_so(request, methods) if methods else MuxError(Kind.NOT_FOUND, message, code="unknown_url")
    protocol = protocol_of(request)
    if protocol is None:
        headers = named if origin is None else {**named, **cors(origin)}
        response = web.json_response(error_body(wrong, wrong.http_status), status=wrong.http_status, headers=headers)
    else:
        response = told(wrong, protocol, named["X-Request-ID"], origin)
    if methods:
        response.headers["Allow"] = ", ".join(methods)
    return response


_MODEL_ROUTES = {
    path: route for module in (openai, responses, anthropic, ollama) for path, route in module.MODEL_ROUTES.items()
}


def model_route(path: str, query: Mapping[str, str]) -> ModelRoute | None:
    """What a POST there asks a model for, if it does."""
    return _MODEL_ROUTES.get(path) or gemini.route_at(path, query) or bedrock.route_at(path, query)


def make_runner(app: web.Application, drain_s: float = 5) -> web.AppRunner:
    """The only place that decides how requests are run. A vanished client cancels its handler; at the end those under
    way get `drain_s` to finish."""
    return Runner(
        app,
        model_route,
        handler_cancellation=True,
        access_log=None,
        auto_decompress=True,
        max_line_size=65536,
        max_field_size=65536,
        keepalive_timeout=75,
        shutdown_timeout=drain_s,
    )


async def start(
    app: web.Application,
    host: str,
    port: int,
    more: tuple[int, ...] = (),
    *,
    drain_s: float = 5,
    doors: Doors | None = None,
) -> tuple[web.AppRunner, int]:
    """A listening daemon and its port; `doors` keeps its sockets. Raises Unheard when an address cannot be had."""
    runner = make_runner(app, drain_s)
    doors = doors or Doors()
    await runner.setup()
    try:
        bound = await doors.listen(runner, host, port)
        for number in more:
            await doors.listen(runner, host, number)
    except BaseException:
        await runner.cleanup()
        raise
    return runner, bound
