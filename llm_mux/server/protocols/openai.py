"""The OpenAI protocol: chat, legacy completions, embeddings and model lists (Responses has its own module)."""

from __future__ import annotations

from typing import Any, Literal

from aiohttp import web

from llm_mux.gateway import embeddings
from llm_mux.server import listing
from llm_mux.server.aiohttp_end import served
from llm_mux.server.answers import answered
from llm_mux.server.described import asked, told
from llm_mux.server.listing import Entry
from llm_mux.server.protocols import anthropic, gemini, ollama
from llm_mux.server.serving import DAEMON, ModelRoute, aside
from llm_mux.translators.base import Hints

_CREATED = 1735689600
_CHAT = ModelRoute("openai_chat")
_COMPLETIONS = ModelRoute("openai_completions", Hints(operation="complete"))
_EMBEDDINGS = ModelRoute("openai_chat", Hints(operation="embed", stream=False), aside(embeddings.serve))

MODEL_ROUTES = {
    "/v1/chat/completions": _CHAT,
    "/chat/completions": _CHAT,
    "/v1/chat/completions/stream": ModelRoute("openai_chat", Hints(stream=True)),
    "/v1/completions": _COMPLETIONS,
    "/completions": _COMPLETIONS,
    "/v1/embeddings": _EMBEDDINGS,
    "/embeddings": _EMBEDDINGS,
}


def add_routes(app: web.Application) -> None:
    for path, route in MODEL_ROUTES.items():
        app.router.add_post(path, served(route))
    for prefix in ("/v1", ""):
        app.router.add_get(f"{prefix}/models", models)
    app.router.add_get("/v1/models/{name:(?s:.+)}", model)


class Listed(listing.Filter, frozen=True):
    """`format`: the shape, whoever asks. `limit`, `after_id` and `before_id` are Anthropic's, `pageSize` and
    `pageToken` Gemini's."""

    format: Literal["openai", "anthropic", "gemini", "ollama", "raw", "list"] | None = None
    limit: str | None = None
    after_id: str | None = None
    before_id: str | None = None
    pageSize: str | None = None  # as clients send it
    pageToken: str | None = None


def list_shape(request: web.Request) -> str:
    """Which of the three APIs behind `GET /v1/models` the client means."""
    if (wanted := asked(request, Listed).format) is not None:
        return wanted
    headers = request.headers
    if "anthropic-version" in headers:
        return "anthropic"
    agent = headers.get("User-Agent", "") + headers.get("x-goog-api-client", "")
    if "x-goog-api-key" in headers or "google-genai" in agent:
        return "gemini"
    return request.app[DAEMON].loaded.config.models_format


@answered
@told(query=Listed, answer=Any, errors=(404,))
async def models(request: web.Request) -> web.StreamResponse:
    """The models that a client can name, in the shape of the API that it speaks."""
    found = await listing.asked_for(request)
    match list_shape(request):
        case "anthropic":
            return web.json_response(anthropic.model_list(found, request.query))
        case "gemini":
            return web.json_response(gemini.model_list(found, request.query))
        case "ollama":
            return web.json_response(ollama.model_list(found))
        case "list":
            return web.json_response([item(entry) for entry in found])
        case "raw":
            return web.json_response([raw(entry) for entry in found])
        case _:
            return web.json_response({"object": "list", "data": [item(entry) for entry in found]})


@answered
@told(query=Listed, answer=dict[str, Any], errors=(404,))
async def model(request: web.Request) -> web.StreamResponse:
    """One model, also by a prefixed name."""
    entry = await listing.one(request, request.match_info["name"])
    match list_shape(request):
        case "anthropic":
            return web.json_response(anthropic.model_item(entry))
        case "gemini":
            return web.json_response(gemini.model_item(entry))
        case _:
            return web.json_response(item(entry))


def item(entry: Entry) -> dict[str, object]:
    """OpenAI's fields, 004's permission block, and what we know beyond."""
    info = entry.info
    return {
        "id": entry.name,
        "object": "model",
        "created": info.created or _CREATED,
        "owned_by": info.owned_by or entry.provider,
        "permission": [_permission(info.created or _CREATED)],
        "root": info.id,
        "parent": None,
        "provider": entry.provider,
        "context_window": info.context,
        "max_output_tokens": info.max_output,
        "capabilities": list(info.capabilities),
        "pricing": entry.pricing,
    }


def _permission(created: int) -> dict[str, object]:
    return {
        "id": "modelperm-0",
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }


def raw(entry: Entry) -> dict[str, object]:
    """What the provider's list said, under its own id."""
    info = entry.info
    return {
        "name": entry.name,
        "provider": entry.provider,
        "id": info.id,
        "display_name": info.display_name,
        "created": info.created,
        "owned_by": info.owned_by,
        "context_window": info.context,
        "max_output_tokens": info.max_output,
        "capabilities": list(info.capabilities),
        "description": info.description,
    }
