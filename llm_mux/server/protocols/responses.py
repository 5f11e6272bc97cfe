"""The OpenAI Responses protocol: create, retrieve, delete, input items, compact, input tokens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Raw, Struct

from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway import compact, count, stored
from llm_mux.gateway.ask import Answer, Ask
from llm_mux.gateway.background import Running
from llm_mux.gateway.core import Gateway
from llm_mux.ledger.response_table import Stored
from llm_mux.server.aiohttp_end import served, streamed
from llm_mux.server.answers import answered
from llm_mux.server.described import asked, told
from llm_mux.server.kept import current, store_of
from llm_mux.server.peers import Cancelled
from llm_mux.server.protocols import responses_ws
from llm_mux.server.serving import DAEMON, Daemon, ModelRoute, aside, request_id
from llm_mux.server.together import tell
from llm_mux.translators.base import Hints, Outline
from llm_mux.translators.ids import digest
from llm_mux.translators.openai_responses import background
from llm_mux.wire import jsonx

_MOST_ITEMS = 100
_LOOKS = 40
_LOOK_S = 0.05


async def _create(daemon: Daemon, ask: Ask) -> Answer:
    return await stored.server(store_of(daemon), background=daemon.parts.background)(daemon.gateway, ask)


def _aside(operation: str, serve: Callable[[Gateway, Ask], Awaitable[Answer]]) -> ModelRoute:
    return ModelRoute("openai_responses", Hints(operation=operation, stream=False), aside(serve))


def _is_plain(daemon: Daemon, outline: Outline | None) -> bool:
    return stored.wants_no_more(outline, keeps=store_of(daemon) is not None)


_CREATE = ModelRoute("openai_responses", run=_create, plain=_is_plain)
MODEL_ROUTES = {
    "/v1/responses": _CREATE,
    "/responses": _CREATE,
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


async def _tenant(request: web.Request) -> str:
    return (await request.app[DAEMON].guard.caller(request.headers, request.query.get("key"))).tenant


async def _running(request: web.Request) -> Running | None:
    """The background response, where it runs here or is not long finished."""
    tenant = await _tenant(request)
    return request.app[DAEMON].parts.background.get(tenant, request.match_info["id"])


async def _found(request: web.Request) -> Stored:
    table, name, tenant = request.app[DAEMON].store, request.match_info["id"], await _tenant(request)
    kept = await current(table, tenant, name, time.time()) if table is not None else None
    if kept is None:
        raise MuxError(Kind.NOT_FOUND, f"Response with id '{name}' not found.", param="id", code="response_not_found")
    return kept


class Retrieved(Struct, frozen=True):
    """`stream`: the events of a background response, those above number `starting_after` alone."""

    stream: bool = False
    starting_after: Annotated[int, Meta(ge=0, le=2**62)] | None = None


@answered
@told(query=Retrieved, answer=dict[str, Any], errors=(404,))
async def retrieve(request: web.Request) -> web.StreamResponse:
    """A kept response, or a background one as it is now."""
    running, wanted = await _running(request), asked(request, Retrieved)
    if running is not None and wanted.stream:
        after = -1 if wanted.starting_after is None else wanted.starting_after
        return await streamed(request, running.stream({"X-Request-ID": request_id(request)}, after))
    body = (await _found(request)).body if running is None else running.told.body
    if wanted.stream and background.in_background(body):
        message = "The events of a background response are kept where it runs, and for ten minutes after its end; "
        raise bad_request(message + "leave `stream` out.", param="stream")
    if wanted.stream:
        raise bad_request("A finished response is not streamed again; leave `stream` out.", param="stream")
    return web.Response(body=body, content_type="application/json")


@answered
@told(answer=dict[str, Any], errors=(404,))
async def delete(request: web.Request) -> web.StreamResponse:
    """Forgets a kept response; one that runs in the background ends."""
    kept, daemon = await _found(request), request.app[DAEMON]
    await daemon.parts.background.cancel(kept.tenant, kept.id, forget=True)
    if background.running(kept.body):
        await tell(daemon, cancelled=[Cancelled(kept.tenant, kept.id, forget=True)])
    table = daemon.store
    if table is not None:
        await table.delete(kept.tenant, kept.id, now=time.time())
    return web.json_response({"id": kept.id, "object": "response", "deleted": True})


@answered
@told(answer=dict[str, Any], errors=(404,))
async def cancel(request: web.Request) -> web.StreamResponse:
    """Ends a background response; one that is finished stays as it is."""
    daemon = request.app[DAEMON]
    running = await daemon.parts.background.cancel(await _tenant(request), request.match_info["id"])
    if running is not None:
        return web.Response(body=running.told.body, content_type="application/json")
    kept = await _found(request)
    if not background.in_background(kept.body):
        raise bad_request("Cannot cancel a synchronous response: only responses created with background=true can be.")
    if background.running(kept.body):
        await tell(daemon, cancelled=[Cancelled(kept.tenant, kept.id)])
        kept = await _ended(request)
    return web.Response(body=kept.body, content_type="application/json")


async def _ended(request: web.Request) -> Stored:
    """What another worker wrote of a response that it was told to end, as soon as it has."""
    for _ in range(_LOOKS):
        kept = await _found(request)
        if not background.running(kept.body):
            break
        await asyncio.sleep(_LOOK_S)
    return kept


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
