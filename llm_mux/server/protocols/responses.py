"""The OpenAI Responses protocol: create, retrieve, delete, input items, compact, input tokens."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Raw, Struct

from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway import compact, count, stored
from llm_mux.gateway.ask import Answer, Ask
from llm_mux.gateway.core import Gateway
from llm_mux.ledger.response_table import Stored
from llm_mux.server.aiohttp_end import served
from llm_mux.server.answers import answered
from llm_mux.server.described import asked, told
from llm_mux.server.kept import store_of
from llm_mux.server.protocols import responses_ws
from llm_mux.server.serving import DAEMON, Daemon, ModelRoute, aside
from llm_mux.translators.base import Hints
from llm_mux.translators.ids import digest
from llm_mux.wire import jsonx

_MOST_ITEMS = 100


async def _create(daemon: Daemon, ask: Ask) -> Answer:
    return await stored.server(store_of(daemon))(daemon.gateway, ask)


def _aside(operation: str, serve: Callable[[Gateway, Ask], Awaitable[Answer]]) -> ModelRoute:
    return ModelRoute("openai_responses", Hints(operation=operation, stream=False), aside(serve))


MODEL_ROUTES = {
    "/v1/responses": ModelRoute("openai_responses", run=_create),
    "/responses": ModelRoute("openai_responses", run=_create),
    "/v1/responses/compact": _aside("compact", compact.serve),
    "/v1/responses/input_tokens": _aside("count", count.serve),
}


def add_routes(app: web.Application) -> None:
    for path, route in MODEL_ROUTES.items():
        app.router.add_post(path, served(route))
    for prefix in ("/v1", ""):
        app.router.add_get(f"{prefix}/responses", responses_ws.connect)
    app.router.add_get("/v1/responses/{id}", retrieve)
    app.router.add_delete("/v1/responses/{id}", delete)
    app.router.add_post("/v1/responses/{id}/cancel", cancel)
    app.router.add_get("/v1/responses/{id}/input_items", input_items)


async def _found(request: web.Request) -> Stored:
    daemon, name = request.app[DAEMON], request.match_info["id"]
    table, caller = daemon.store, await daemon.guard.caller(request.headers, request.query.get("key"))
    kept = await table.get(caller.tenant, name, now=time.time()) if table is not None else None
    if kept is None:
        raise MuxError(Kind.NOT_FOUND, f"Response with id '{name}' not found.", param="id", code="response_not_found")
    return kept


class Retrieved(Struct, frozen=True):
    stream: bool = False


@answered
@told(query=Retrieved, answer=dict[str, Any], errors=(404,))
async def retrieve(request: web.Request) -> web.StreamResponse:
    """A kept response."""
    kept = await _found(request)
    if asked(request, Retrieved).stream:
        raise bad_request("A finished response is not streamed again; leave `stream` out.", param="stream")
    return web.Response(body=kept.body, content_type="application/json")


@answered
@told(answer=dict[str, Any], errors=(404,))
async def delete(request: web.Request) -> web.StreamResponse:
    """Forgets a kept response."""
    kept = await _found(request)
    table = request.app[DAEMON].store
    if table is not None:
        await table.delete(kept.tenant, kept.id, now=time.time())
    return web.json_response({"id": kept.id, "object": "response", "deleted": True})


@answered
@told(errors=(404,))
async def cancel(request: web.Request) -> web.StreamResponse:
    """Only background responses can be cancelled, and none runs here."""
    await _found(request)
    raise bad_request("Cannot cancel a synchronous response: only responses created with background=true can be.")


class Items(Struct, frozen=True):
    """`after`: the id of the item before the first one."""

    order: str = "desc"
    after: str | None = None
    limit: str = "20"


@answered
@told(query=Items, answer=dict[str, Any], errors=(404,))
async def input_items(request: web.Request) -> web.StreamResponse:
    """The request's own items, each with an id, newest first unless `order=asc`."""
    kept, wanted = await _found(request), asked(request, Items)
    items = [_with_id(item, f"{kept.id}{n}") for n, item in enumerate(jsonx.decode(kept.items, list[dict[str, Raw]]))]
    if wanted.order != "asc":
        items.reverse()
    ids = [msgspec.json.decode(item["id"]) for item in items]
    start = ids.index(wanted.after) + 1 if wanted.after in ids else 0
    limit = int(wanted.limit) if wanted.limit.isdigit() else 20
    page = items[start : start + max(1, min(limit, _MOST_ITEMS))]
    shown = ids[start : start + len(page)]
    body = {
        "object": "list",
        "data": page,
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
        "has_more": start + len(page) < len(items),
    }
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


def _with_id(item: dict[str, Raw], seed: str) -> dict[str, Raw]:
    made = Raw(msgspec.json.encode(f"item_{digest(seed)}"))
    return item if "id" in item else {"id": made, **item}
