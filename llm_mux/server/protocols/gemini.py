"""The Gemini protocol: `models/{m}:method` under every version prefix, and its model list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway import count, embeddings
from llm_mux.server import listing
from llm_mux.server.aiohttp_end import refuse, serve_route
from llm_mux.server.answers import answered
from llm_mux.server.described import told
from llm_mux.server.listing import Entry
from llm_mux.server.serving import ModelRoute, aside
from llm_mux.translators.base import Hints

_VERSIONS = "v1beta|v1beta1|v1alpha|v1"
_EMBED = aside(embeddings.serve)
_METHODS = ["generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"]


def add_routes(app: web.Application) -> None:
    app.router.add_post(f"/{{version:{_VERSIONS}}}/{{call:.*:[A-Za-z]+}}", method)
    app.router.add_get("/{version:v1beta|v1beta1|v1alpha}/models", models)
    app.router.add_get("/{version:v1beta|v1beta1|v1alpha}/models/{name:(?s:.+)}", model)


def model_route(path: str, query: Mapping[str, str]) -> ModelRoute | None:
    """What a call of `.../models/{m}:method` asks for; the model id is what stands between, whatever is in front."""
    front, _, name = path.rpartition(":")
    model_id = unquote(front.rsplit("models/", 1)[-1].removeprefix("tunedModels/"))
    match name:
        case "generateContent":
            return ModelRoute("gemini", Hints(model=model_id, stream=False))
        case "streamGenerateContent":
            framing = "sse" if query.get("alt") == "sse" else "array"
            return ModelRoute("gemini", Hints(model=model_id, stream=True, framing=framing))
        case "countTokens":
            return ModelRoute("gemini", Hints(model=model_id, stream=False, operation="count"), aside(count.serve))
        case "embedContent" | "batchEmbedContents":
            operation = "embed" if name == "embedContent" else "batch_embed"
            return ModelRoute("gemini", Hints(model=model_id, stream=False, operation=operation), _EMBED)
        case _:
            return None


def route_at(path: str, query: Mapping[str, str]) -> ModelRoute | None:
    """The model route at a whole path, version and all."""
    _, version, call, *_ = (*path.split("/", 2), "")
    return model_route(call, query) if version in _VERSIONS.split("|") and ":" in call else None


@told(answer=Any, errors=(402, 404, 429))
async def method(request: web.Request) -> web.StreamResponse:
    """A model request in the form of gemini: `models/{model}:{method}`."""
    path = request.match_info["call"]
    if (route := model_route(path, request.query)) is not None:
        return await serve_route(request, route)
    name = path.rpartition(":")[2]
    message = f"The method {name} does not exist here; there is {', '.join(_METHODS)}."
    return await refuse(request, MuxError(Kind.NOT_FOUND, message), "gemini")


class Paged(listing.Filter, frozen=True):
    """`pageToken` is that of the page before."""

    pageSize: str | None = None  # as clients send it
    pageToken: str | None = None


@answered
@told(query=Paged, answer=dict[str, Any], errors=(404,))
async def models(request: web.Request) -> web.StreamResponse:
    """The models that a client can name."""
    return web.json_response(model_list(await listing.asked_for(request), request.query))


@answered
@told(answer=dict[str, Any], errors=(404,))
async def model(request: web.Request) -> web.StreamResponse:
    """One model."""
    return web.json_response(model_item(await listing.one(request, request.match_info["name"])))


def model_list(entries: Sequence[Entry], query: Mapping[str, str]) -> dict[str, object]:
    """`{models, nextPageToken}`; the token is the next index."""
    size = int(query["pageSize"]) if query.get("pageSize", "").isdigit() else 50
    start = int(query["pageToken"]) if query.get("pageToken", "").isdigit() else 0
    until = start + max(1, min(size, 1000))
    page: dict[str, object] = {"models": [model_item(entry) for entry in entries[start:until]]}
    if until < len(entries):
        page["nextPageToken"] = str(until)
    return page


def model_item(entry: Entry) -> dict[str, object]:
    info = entry.info
    embeds = "embed" in info.id
    methods = ["embedContent", "batchEmbedContents"] if embeds else ["generateContent", "countTokens"]
    return {
        "name": f"models/{entry.name}",
        "baseModelId": info.id,
        "version": "001",
        "displayName": info.display_name or entry.name,
        "description": info.description or f"{entry.name} at {entry.provider}",
        "inputTokenLimit": info.context or 128000,
        "outputTokenLimit": info.max_output or 8192,
        "supportedGenerationMethods": methods,
    }
