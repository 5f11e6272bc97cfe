"""`/openapi.json` and `/docs`: every route of the daemon, described from the code that serves it.

Rule: nothing is written down twice. The management API's records carry their types; the daemon's other handlers say
theirs (`described`); a model request is told by its route, and its errors by the protocol that makes them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct, inspect

from llm_mux import __version__
from llm_mux.errors import Kind, MuxError
from llm_mux.server.answers import local_endpoint
from llm_mux.server.described import HTML, Told, told, told_of
from llm_mux.server.management.access import KEY_HEADER
from llm_mux.server.management.endpoint import JSON, ROOT, Endpoint
from llm_mux.server.management.routes import ENDPOINTS
from llm_mux.server.serving import ModelRoute
from llm_mux.translators import registry
from llm_mux.translators.base import Outline, Translator

Json = dict[str, Any]
_REF = "#/components/schemas/{name}"
_ALWAYS = (400, 401, 403, 429)
_TOLD = {
    400: "The request makes no sense as it is",
    401: "No key, or a wrong one",
    403: "Not from this machine, or not from this page",
    402: "The balance is used up",
    404: "There is no such thing",
    409: "It does not go with what is there",
    413: "The body is too large",
    429: "Too much in too short a time, or too many wrong keys from this address",
    503: "What is needed does not answer just now",
}


class ErrorFacts(Struct):
    """What went wrong, in OpenAI's form."""

    message: str
    type: str
    param: str | None
    code: str


class Error(Struct):
    """An error of the daemon's own routes."""

    error: ErrorFacts
    detail: str
    code: int
    error_type: str


def add_routes(app: web.Application) -> None:
    app.router.add_get("/openapi.json", openapi)
    app.router.add_get("/docs", docs)


@local_endpoint
@told(answer=dict[str, Any])
async def openapi(request: web.Request) -> web.StreamResponse:
    """Every route, as an OpenAPI 3.1 document."""
    return web.Response(body=msgspec.json.encode(document(request.app)), content_type=JSON)


@local_endpoint
@told(media=HTML)
async def docs(request: web.Request) -> web.StreamResponse:
    """The same for reading, without a script."""
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return web.Response(text=page(document(request.app)), content_type="text/html", headers=policy)


def document(app: web.Application) -> Json:
    """The OpenAPI document of an application."""
    schemas, components = _schemas(app)
    paths: dict[str, Json] = {}
    for endpoint in ENDPOINTS:
        methods = paths.setdefault(ROOT + endpoint.path, {})
        methods[endpoint.method.lower()] = _managed(endpoint, schemas, components)
    for method, path, handler in _others(app):
        paths.setdefault(path, {})[method] = _plain(method, path, handler, schemas, components)
    keys = {
        "management": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
        "client": {"type": "http", "scheme": "bearer"},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "llm-mux", "version": __version__},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components, "securitySchemes": keys},
    }


def _schemas(app: web.Application) -> tuple[dict[Any, Json], dict[str, Any]]:
    """The schema of every type that a record or a handler names, and the components that those refer to."""
    types: list[Any] = [Error, Outline]
    for endpoint in ENDPOINTS:
        types += [each for each in (endpoint.query, endpoint.body, endpoint.answer) if each not in (None, bytes)]
    for _, _, handler in _others(app):
        if (found := told_of(handler)) is not None:
            types += [found.query, *(each for each in found.answers.values() if each is not None)]
    return _made(tuple(dict.fromkeys(types)))


@lru_cache(maxsize=4)
def _made(types: tuple[Any, ...]) -> tuple[dict[Any, Json], dict[str, Any]]:
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    return dict(zip(types, schemas, strict=True)), components


def _managed(endpoint: Endpoint, schemas: Mapping[Any, Json], components: Mapping[str, Any]) -> Json:
    answer: Json = {endpoint.media: {"schema": schemas.get(endpoint.answer, {})}}
    if endpoint.also is not None:
        answer[endpoint.also] = {"schema": {"type": "string"}}
    responses: Json = {str(endpoint.status): {"description": "Done", "content": answer}}
    errors = {*_ALWAYS, *endpoint.errors, *((413,) if endpoint.body is not None else ())}
    for status in sorted(errors):
        responses[str(status)] = {"description": _TOLD[status], "content": {JSON: {"schema": schemas[Error]}}}
    shown: Json = {
        "summary": endpoint.summary,
        "description": endpoint.more,
        "tags": ["management"],
        "security": [{"management": []}],
        "parameters": [*_path_parameters(endpoint.path), *_query_parameters(endpoint.query, schemas, components)],
        "responses": responses,
    }
    if endpoint.body is not None:
        schema = schemas.get(endpoint.body, {"type": "string"})
        shown["requestBody"] = {"required": True, "content": {endpoint.body_media: {"schema": schema}}}
    return shown


def _path_parameters(path: str) -> list[Json]:
    names = re.findall(r"\{(\w+)[^}]*\}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(
    query: type[Struct], schemas: Mapping[Any, Json], components: Mapping[str, Any]
) -> Iterator[Json]:
    described = inspect.type_info(query)
    assert isinstance(described, inspect.StructType)
    properties = components[schemas[query]["$ref"].rpartition("/")[2]].get("properties", {})
    for field in described.fields:
        schema = properties[field.encode_name]
        yield {"name": field.encode_name, "in": "query", "required": field.required, "schema": schema}


def _others(app: web.Application) -> Iterator[tuple[str, str, Any]]:
    """Method, path and handler of every route that is no management one."""
    for route in app.router.routes():
        if route.resource is None or route.method == "HEAD":
            continue
        path = route.resource.canonical
        if path.startswith(ROOT) or path == "/{tail}":
            continue
        yield ("get" if route.method == "*" else route.method.lower()), path, route.handler


def _plain(method: str, path: str, handler: Any, schemas: Mapping[Any, Json], components: Mapping[str, Any]) -> Json:
    said = (handler.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")
    found, route = told_of(handler) or Told(), getattr(handler, "route", None)
    shown: Json = {
        "summary": re.sub(r"\s+", " ", said).partition(". ")[0].rstrip(".") or path,
        "tags": [_tag(path)],
        "security": [] if getattr(handler, "who", "key") == "anyone" else [{"client": []}, {}],
        "parameters": [*_path_parameters(path), *_query_parameters(found.query, schemas, components)],
        "responses": _failures(registry.get(route.protocol)) if route is not None else _refusals(found, schemas),
    }
    if route is not None:
        shown["requestBody"] = {"required": True, "content": {JSON: {"schema": _body(route, schemas, components)}}}
        shown["responses"]["200"] = {"description": _ANSWERED, "content": _answers(route)}
        return shown
    if method == "post":
        shown["requestBody"] = {"content": {JSON: {"schema": {"type": "object"}}}}
    answer = {media: {"schema": schemas.get(each, {})} for media, each in found.answers.items()}
    for status in (200, *found.also):
        shown["responses"][str(status)] = {"description": "The answer", **({"content": answer} if answer else {})}
    return shown


_ANSWERED = "What was asked for, whole or as a stream; the headers say who answered"


def _body(route: ModelRoute, schemas: Mapping[Any, Json], components: Mapping[str, Any]) -> Json:
    """What the daemon itself reads of a request; the rest is the protocol's own and goes on to the target."""
    read = components[schemas[Outline]["$ref"].rpartition("/")[2]]["properties"]
    shown = {name: schema for name, schema in read.items() if name != "stream" or route.hints.stream is None}
    text = f"A request in the form of {route.protocol}; docs/translation.md says what of it reaches which target."
    return {"type": "object", "description": text, "properties": shown, "required": ["model"]}


def _answers(route: ModelRoute) -> Json:
    whole: Json = {JSON: {"schema": {"type": "object"}}}
    if route.hints.stream is False:
        return whole
    stream: Json = {registry.get(route.protocol).stream_type: {"schema": {"type": "string"}}}
    return stream if route.hints.stream else whole | stream


def _failures(protocol: Translator) -> Json:
    """By status, in the protocol's own shape."""
    found: Json = {}
    for kind, text in _FAILURES.items():
        error = MuxError(kind, text)
        example = msgspec.json.decode(protocol.encode_error(error, "req_1"))
        content = {JSON: {"schema": {"type": "object"}, "example": example}}
        found.setdefault(str(protocol.error_status(error)), {"description": text, "content": content})
    return found


_FAILURES = {
    Kind.BAD_REQUEST: "The request cannot be understood, or its target has no form for something in it",
    Kind.CLIENT_AUTH: "No key, or a wrong one",
    Kind.BALANCE: "The balance is used up, or less than the request may cost",
    Kind.FORBIDDEN: "The key does not reach this, or the page may not use the daemon",
    Kind.MODEL_NOT_FOUND: "There is no such model",
    Kind.TOO_LARGE: "The body is too large",
    Kind.UNSUPPORTED_MEDIA: "The Content-Encoding is not known",
    Kind.LIMITED: "A limit or budget is used up, or every account rests; Retry-After says how long",
    Kind.UPSTREAM_NONSENSE: "The provider failed",
    Kind.NO_TARGET: "Nobody can be asked",
    Kind.FIRST_BYTE_TIMEOUT: "The provider did not answer in time",
}


def _refusals(found: Told, schemas: Mapping[Any, Json]) -> Json:
    statuses = sorted({400, 401, 403, *found.errors} - set(found.also))
    content = {JSON: {"schema": schemas[Error]}}
    return {str(status): {"description": _TOLD[status], "content": content} for status in statuses}


def _tag(path: str) -> str:
    if path.startswith("/dashboard"):
        return "daemon"
    if path.startswith("/api/"):
        return "ollama"
    if path.startswith("/v1/messages"):
        return "anthropic"
    if path.startswith("/{version"):
        return "gemini"
    return "openai" if path.startswith("/v1") or path.count("/") > 1 else "daemon"


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #ddd } pre { background: #22262c } }
summary { cursor: pointer; padding: .2rem 0 } code, pre { font: 13px ui-monospace, monospace }
b { display: inline-block; width: 4.5rem } pre { overflow-x: auto; padding: .6rem; border-radius: 4px }
"""


def page(found: Json) -> str:
    """The document as a page."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in found["paths"].items():
        for method, shown in methods.items():
            by_tag.setdefault(shown["tags"][0], []).append(
                _operation(method, path, shown, found["components"]["schemas"])
            )
    parts = [f"<h2>{html.escape(tag)}</h2>\n" + "\n".join(lines) for tag, lines in sorted(by_tag.items())]
    title = f"llm-mux {html.escape(__version__)}"
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    intro = f'<h1>{title}</h1><p>The same for programs: <a href="/openapi.json">openapi.json</a>.</p>'
    return f"{head}\n{intro}\n" + "\n".join(parts) + "\n</html>\n"


def _operation(method: str, path: str, told: Json, schemas: Json) -> str:
    shown = [
        f"{each['in']}: {each['name']}" + ("" if each["required"] else " (optional)") for each in told["parameters"]
    ]
    lines = [f"<p>{html.escape(', '.join(shown))}</p>"] if shown else []
    for title, content in _contents(told):
        for media, each in content.items():
            schema = _expanded(each["schema"], schemas)
            text = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
            lines.append(f"<p>{html.escape(title)} ({html.escape(media)})</p><pre>{html.escape(text)}</pre>")
    head = f"<summary><b>{method.upper()}</b> <code>{html.escape(path)}</code> {html.escape(told['summary'])}</summary>"
    return f"<details>{head}{''.join(lines)}</details>"


def _contents(told: Json) -> Sequence[tuple[str, Json]]:
    found = [("Body", told["requestBody"]["content"])] if "requestBody" in told else []
    answer = told["responses"].get("200", {}).get("content")
    return [*found, ("Answer", answer)] if answer else found


def _expanded(schema: Any, schemas: Json, depth: int = 0) -> Any:
    """A schema with what it refers to in place."""
    if isinstance(schema, list):
        return [_expanded(each, schemas, depth) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and depth < 4:
        return _expanded(schemas[schema["$ref"].rpartition("/")[2]], schemas, depth + 1)
    return {name: _expanded(value, schemas, depth) for name, value in schema.items()}
