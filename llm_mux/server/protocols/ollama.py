"""The Ollama protocol: chat, generate, embeddings, and the model list, details and versions its clients ask for."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from aiohttp import web
from msgspec import Raw, Struct

from llm_mux import __version__
from llm_mux.errors import bad_request
from llm_mux.gateway import embeddings
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.models import described
from llm_mux.server import listing
from llm_mux.server.aiohttp_end import read_body, served
from llm_mux.server.answers import answered, open_endpoint
from llm_mux.server.described import told
from llm_mux.server.listing import Entry
from llm_mux.server.serving import DAEMON, ModelRoute, aside
from llm_mux.translators.base import Hints
from llm_mux.translators.ids import digest
from llm_mux.wire import jsonx

# Clients compare this with the version that brought a feature; it is the newest server whose API this one answers.
_SPOKEN_VERSION = "0.13.0"
_CONTEXT = 128000
_FACTS = frozenset(
    {
        *("license", "modelfile", "parameters", "template", "system", "messages", "details", "model_info", "tensors"),
        *(
            "projector_info",
            "capabilities",
            "modified_at",
            "remote_model",
            "remote_host",
            "renderer",
            "parser",
            "requires",
        ),
    }
)
_SMALL = 512


def _words(operation: str) -> ModelRoute:
    return ModelRoute("ollama", Hints(operation=operation, framing="ndjson"), streams=True, least=_SMALL)


def _vectors(operation: str) -> ModelRoute:
    return ModelRoute("ollama", Hints(operation=operation, stream=False), aside(embeddings.serve))


MODEL_ROUTES = {
    "/api/chat": _words("chat"),
    "/api/generate": _words("generate"),
    "/api/embed": _vectors("embed"),
    "/api/embeddings": _vectors("embeddings"),
}


def add_routes(app: web.Application) -> None:
    for path, route in MODEL_ROUTES.items():
        app.router.add_post(path, spoken(route) if route.least else served(route))
    app.router.add_get("/api/tags", tags)
    app.router.add_post("/api/show", show)
    app.router.add_get("/api/ps", running)
    app.router.add_get("/api/version", version)
    app.router.add_post("/api/pull", pull)


class _Load(Struct):
    """As much of a body as says whether it only loads or unloads a model."""

    model: str = ""
    messages: list[object] | None = None
    prompt: str | None = None
    keep_alive: Raw = Raw(b"1")


@answered
async def _loaded(request: web.Request) -> web.StreamResponse:
    found = jsonx.decode(await request.read(), _Load, strict=False)
    await listing.one(request, found.model.removesuffix(":latest"))
    unload = bytes(found.keep_alive) in (b"0", b'"0"', b'"0s"')
    said = {"message": {"role": "assistant", "content": ""}} if request.path == "/api/chat" else {"response": ""}
    body = {"model": found.model, "created_at": _time(int(time.time())), **said, "done": True}
    return web.json_response({**body, "done_reason": "unload" if unload else "load"})


async def _only_loads(request: web.Request) -> bool:
    """Whether a request has no words: `ollama run` and `keep_alive: 0` send such to load and unload a model."""
    if (request.content_length or _SMALL) >= _SMALL:
        return False
    try:
        found = jsonx.decode(await request.read(), _Load, strict=False)
    except (jsonx.Malformed, web.HTTPException, web.RequestPayloadError):
        return False
    return bool(found.model) and not found.messages and not found.prompt


def spoken(route: ModelRoute) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Chat and generate, which also load and unload models."""
    plain = served(route)

    @wraps(plain)
    async def handle(request: web.Request) -> web.StreamResponse:
        return await (_loaded(request) if await _only_loads(request) else plain(request))

    return handle


@answered
@told(query=listing.Filter, answer=dict[str, Any], errors=(404,))
async def tags(request: web.Request) -> web.StreamResponse:
    return web.json_response(model_list(await listing.asked_for(request)))


class _Show(Struct):
    """Which model; old clients say `name`."""

    model: str | None = None
    name: str | None = None
    verbose: bool | None = None


async def _asked(request: web.Request) -> _Show:
    """The request, its `model` without the tag that stands for none."""
    body = await read_body(request, request.app[DAEMON].max_request_size)
    try:
        asked = jsonx.decode(body, _Show)
    except jsonx.Malformed as error:
        raise bad_request(f"The request body is not a valid request: {error}") from None
    if not (name := asked.model or asked.name):
        raise bad_request("The field `model` is missing.", param="model")
    return _Show(name.removesuffix(":latest"), verbose=asked.verbose)


@answered
@told(answer=dict[str, Any])
async def show(request: web.Request) -> web.StreamResponse:
    """What is known of a model; of one that an Ollama serves, what that Ollama says."""
    asked = await _asked(request)
    entry = await listing.one(request, asked.model or "")
    body = jsonx.encode({**details(entry), **await _own_facts(request.app[DAEMON].gateway, entry, asked)})
    return web.Response(body=body, content_type="application/json")


async def _own_facts(gateway: Gateway, entry: Entry, asked: _Show) -> dict[str, Raw]:
    """What the Ollama behind a model says of it: its details, template, parameters, capabilities and the rest."""
    accounts = [account for account in gateway.accounts if account.provider.name == entry.provider]
    if not accounts or accounts[0].provider.models_translator != "ollama":
        return {}
    body = jsonx.encode({"model": entry.info.id, **({"verbose": True} if asked.verbose else {})})
    try:
        found = jsonx.top(await described(accounts, gateway.upstream, gateway.credentials, body) or b"{}")
    except jsonx.Malformed:
        return {}
    return {name: value for name, value in found.items() if name in _FACTS}


@answered
@told(answer=dict[str, Any])
async def pull(request: web.Request) -> web.StreamResponse:
    """A model that exists needs no pulling: success, as one object or as the stream its clients wait for."""
    await listing.one(request, (await _asked(request)).model or "")
    return web.Response(body=b'{"status":"success"}\n', content_type="application/x-ndjson")


@answered
@told(answer=dict[str, Any])
async def running(request: web.Request) -> web.StreamResponse:
    """Nothing is loaded here; what is at a provider is always ready."""
    return web.json_response({"models": []})


@open_endpoint
@told(answer=dict[str, Any])
async def version(request: web.Request) -> web.StreamResponse:
    return web.json_response({"version": _SPOKEN_VERSION, "llm_mux": __version__})


def model_list(entries: Sequence[Entry]) -> dict[str, object]:
    return {"models": [model_item(entry) for entry in entries]}


def model_item(entry: Entry) -> dict[str, object]:
    info = entry.info
    return {
        "name": entry.name,
        "model": entry.name,
        "modified_at": _time(info.created),
        "size": 0,
        "digest": digest(f"{entry.provider}/{info.id}").ljust(64, "0"),
        "details": _details(entry),
        "capabilities": _capabilities(entry),
    }


def details(entry: Entry) -> dict[str, object]:
    """The answer of `/api/show`."""
    info = entry.info
    architecture = entry.provider
    return {
        "license": "",
        "modelfile": f"FROM {entry.name}",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": _details(entry),
        "model_info": {
            "general.architecture": architecture,
            "general.basename": info.id,
            f"{architecture}.context_length": info.context or _CONTEXT,
        },
        "capabilities": _capabilities(entry),
        "modified_at": _time(info.created),
    }


def _details(entry: Entry) -> dict[str, object]:
    family = entry.info.owned_by or entry.provider
    return {
        "parent_model": "",
        "format": "api",
        "family": family,
        "families": [family],
        "parameter_size": "",
        "quantization_level": "",
    }


def _capabilities(entry: Entry) -> list[str]:
    """Ollama's words for what the provider's list says; without a word from it, what current models can."""
    if "embed" in entry.info.id:
        return ["embedding"]
    known = entry.info.capabilities
    if not known:
        return ["completion", "tools", "vision"]
    thinks = any(word.startswith("thinking") for word in known)
    return ["completion", *(word for word in ("tools", "vision") if word in known), *(["thinking"] if thinks else [])]


def _time(created: int | None) -> str:
    return datetime.fromtimestamp(created or 1735689600, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")
