"""The Bedrock Runtime protocol: `model/{id}/converse`, `invoke` and their streaming twins, and token counts.

A client may sign with any secret: the access key's id is taken as its client key, the signature is not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from aiohttp import web

from llm_mux.errors import Kind, MuxError
from llm_mux.gateway import count, embeddings
from llm_mux.server.aiohttp_end import refuse, serve_route
from llm_mux.server.serving import ModelRoute, aside
from llm_mux.translators.base import Hints

_EMBEDS = ("titan-embed", "cohere.embed")
_COUNT = aside(count.serve)
_EMBED = aside(embeddings.serve)


def add_routes(app: web.Application) -> None:
    app.router.add_post("/model/{call:.+/[a-z-]+}", method)


def model_route(call: str) -> ModelRoute | None:
    """What a call of `{id}/converse` and its kin asks for. The `:` and `/` of an id may have been encoded."""
    front, _, name = call.rpartition("/")
    model = unquote(front)
    match name:
        case "converse" | "converse-stream":
            return ModelRoute("bedrock", Hints(model=model, stream=name == "converse-stream"))
        case "invoke" if any(word in model for word in _EMBEDS):
            return ModelRoute("bedrock", Hints(model=model, stream=False, operation="embed"), _EMBED)
        case "invoke" | "invoke-with-response-stream":
            return ModelRoute("bedrock_invoke", Hints(model=model, stream=name != "invoke"))
        case "count-tokens":
            return ModelRoute("bedrock", Hints(model=model, stream=False, operation="count"), _COUNT)
        case _:
            return None


def route_at(path: str, query: Mapping[str, str]) -> ModelRoute | None:
    """The model route at a whole path."""
    return model_route(path[7:]) if path.startswith("/model/") else None


async def method(request: web.Request) -> web.StreamResponse:
    call = request.match_info["call"]
    if (route := model_route(call)) is not None:
        return await serve_route(request, route)
    message = (
        f"The operation {call.rpartition('/')[2]} does not exist here; there is converse, converse-stream, invoke, "
        "invoke-with-response-stream and count-tokens."
    )
    return await refuse(request, MuxError(Kind.NOT_FOUND, message), "bedrock")
