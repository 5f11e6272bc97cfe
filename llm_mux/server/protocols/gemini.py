"""The Gemini protocol: `models/{m}:method` under every version prefix, and its model list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from aiohttp import web

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway import count, embeddings
from llm_mux.server import listing
from llm_mux.server.answers import answered
from llm_mux.server.listing import Entry
from llm_mux.server.serving import refuse, serve
from llm_mux.translators import registry
from llm_mux.translators.base import Hints

_VERSIONS = "v1beta|v1beta1|v1alpha|v1"
_METHODS = ["generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"]


def add_routes(app: web.Application) -> None:
    app.router.add_post(f"/{{version:{_VERSIONS}}}/{{call:.*:[A-Za-z]+}}", method)
    app.router.add_get("/{version:v1beta|v1beta1|v1alpha}/models", models)
    app.router.add_get("/{version:v1beta|v1beta1|v1alpha}/models/{name:.+}", model)


async def method(request: web.Request) -> web.StreamResponse:
    """A call of `.../models/{m}:method`; the model id is what stands between, whatever is in front."""
    path, _, name = request.match_info["call"].rpartition(":")
    model_id = unquote(path.rsplit("models/", 1)[-1].removeprefix("tunedModels/"))
    translator = registry.get("gemini")
    match name:
        case "generateContent":
            return await serve(request, translator, Hints(model=model_id, stream=False))
        case "streamGenerateContent":
            framing = "sse" if request.query.get("alt") == "sse" else "array"
            return await serve(request, translator, Hints(model=model_id, stream=True, framing=framing))
        case "countTokens":
            hints = Hints(model=model_id, stream=False, operation="count")
            return await serve(request, translator, hints, run=count.serve)
        case "embedContent" | "batchEmbedContents":
            operation = "embed" if name == "embedContent" else "batch_embed"
            hints = Hints(model=model_id, stream=False, operation=operation)
            return await serve(request, translator, hints, run=embeddings.serve)
        case _:
            message = f"The method {name} does not exist here; there is {', '.join(_METHODS)}."
            error = MuxError(Kind.NOT_FOUND, message)
            return await refuse(request, error, translator)


@answered
async def models(request: web.Request) -> web.StreamResponse:
    return web.json_response(model_list(await listing.asked_for(request), request.query))


@answered
async def model(request: web.Request) -> web.StreamResponse:
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
