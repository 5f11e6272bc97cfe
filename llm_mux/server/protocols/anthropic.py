"""The Anthropic protocol: messages, token counts, its model list, and the probes its clients send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from aiohttp import web

from llm_mux.gateway import count
from llm_mux.server.aiohttp_end import served
from llm_mux.server.answers import open_endpoint
from llm_mux.server.listing import Entry
from llm_mux.server.serving import ModelRoute, aside
from llm_mux.translators.base import Hints

MODEL_ROUTES = {
    "/v1/messages": ModelRoute("anthropic"),
    "/v1/messages/count_tokens": ModelRoute("anthropic", Hints(operation="count", stream=False), aside(count.serve)),
}


def add_routes(app: web.Application) -> None:
    for path, route in MODEL_ROUTES.items():
        app.router.add_post(path, served(route))
    app.router.add_route("*", "/api/hello", hello)
    app.router.add_route("*", "/api/event_logging/{tail:(?s:.*)}", hello)
    app.router.add_route("*", "/api/claude_cli/{tail:(?s:.*)}", hello)


@open_endpoint
async def hello(request: web.Request) -> web.StreamResponse:
    """Clients' reachability probes and telemetry: answered at once, kept nowhere."""
    return web.json_response({})


def model_list(entries: Sequence[Entry], query: Mapping[str, str]) -> dict[str, object]:
    """`{data, has_more, first_id, last_id}` with `limit`, `after_id` and `before_id`."""
    items = [model_item(entry) for entry in entries]
    ids = [entry.name for entry in entries]
    first = ids.index(query["after_id"]) + 1 if query.get("after_id") in ids else 0
    last = ids.index(query["before_id"]) if query.get("before_id") in ids else len(ids)
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 20
    page = items[first:last][: max(1, min(limit, 1000))]
    return {
        "data": page,
        "has_more": first + len(page) < last,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def model_item(entry: Entry) -> dict[str, object]:
    info = entry.info
    created = datetime.fromtimestamp(info.created or 1735689600, UTC)
    return {
        "type": "model",
        "id": entry.name,
        "display_name": info.display_name or entry.name,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "max_input_tokens": info.context,
        "max_tokens": info.max_output,
    }
