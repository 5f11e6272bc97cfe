"""Answers beside the model calls: guarded, with a request id. Errors of a protocol's lists have that protocol's shape,
those of the daemon's own endpoints one shape with both field sets."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Literal

from aiohttp import web

from llm_mux import log
from llm_mux.errors import Kind, MuxError, flat
from llm_mux.server.aiohttp_end import last, told
from llm_mux.server.serving import DAEMON, Daemon, cors, request_id
from llm_mux.wire import hints

Who = Literal["key", "local", "anyone"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def error_body(error: MuxError, status: int) -> dict[str, object]:
    """The shape of errors beside the model protocols: OpenAI's object and the flat fields in one."""
    fields = flat(error.message, status)
    word = fields["error_type"]
    type_ = "invalid_request_error" if word == "validation_error" else word
    inner = {"message": error.message, "type": type_, "param": error.param, "code": error.code or error.kind.value}
    return {"error": inner, **fields}


def protocol_of(request: web.Request) -> str | None:
    """The translator of the protocol that a request looks like; None: none of them."""
    path = request.path
    if "anthropic-version" in request.headers or path.startswith("/v1/messages"):
        return "anthropic"
    if "x-goog-api-key" in request.headers or path.startswith(("/v1beta", "/v1alpha")):
        return "gemini"
    if path.startswith("/api/"):
        return "ollama"
    if path.startswith("/model/"):
        return "bedrock"
    return "openai_chat" if path.startswith("/v1") else None


async def methods_of(request: web.Request) -> list[str]:
    """The methods that the router knows for a path, for `Allow`; none: there is no such path."""
    found: set[str] = set()
    for resource in request.app.router.resources():
        _, methods = await resource.resolve(request)
        if "*" not in methods:
            found |= methods
    return sorted(found)


def not_so(request: web.Request, methods: list[str]) -> MuxError:
    """A path that is there, asked with a method that is not."""
    message = f"{request.path} is not asked with {request.method}; it takes {', '.join(methods)}."
    return MuxError(Kind.METHOD, message, code="method_not_allowed")


async def _refused(request: web.Request, error: MuxError, who: Who, name: str) -> web.StreamResponse:
    """OpenAI's clients read the daemon's own shape too, so it stands for theirs."""
    protocol = protocol_of(request) if who == "key" else None
    if protocol is None or protocol == "openai_chat":
        return plainly(error)
    return told(error, protocol, name)


def plainly(error: MuxError) -> web.Response:
    """A failure in the shape of the daemon's own endpoints."""
    response = web.json_response(error_body(error, error.http_status), status=error.http_status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = hints.to_seconds_header(max(1.0, error.retry_after))
    return response


async def _standing(daemon: Daemon, request: web.Request) -> dict[str, str]:
    """The headers that say where the limits of whoever asks stand. Raises MuxError as `Guard.caller` does."""
    caller = await daemon.guard.caller(request.headers, request.query.get("key"))
    return await daemon.admission.headers(caller) if daemon.admission.concerns(caller) else {}


def answered(handler: Handler, *, who: Who = "key") -> Handler:
    """A handler behind the guard. `who` may call: a client with a key (where keys are asked for), whoever reaches a
    daemon on loopback (elsewhere a client with a key), or anyone past the Host and Origin check."""

    @wraps(handler)
    async def guarded(request: web.Request) -> web.StreamResponse:
        daemon = request.app[DAEMON]
        name, origin = request_id(request), None
        more: dict[str, str] = {}
        try:
            origin = daemon.guard.check(request.headers)
            if who == "key" or (who == "local" and not daemon.guard.local):
                more = await _standing(daemon, request)
            elif who == "local" and daemon.admission.limited:
                # Open pages are open: a wrong key, or limits that cannot be read now, only leave the headers out.
                with contextlib.suppress(MuxError):
                    more = await _standing(daemon, request)
            response = await handler(request)
        except MuxError as error:
            response = await _refused(request, error, who, name)
        except web.HTTPException:
            raise
        except Exception:
            log.logger.exception("request.broken", path=request.path)
            broken = MuxError(Kind.INTERNAL, "llm-mux failed on this request; its log has the details.")
            response = await _refused(request, broken, who, name)
        if not response.prepared:
            last(request, response)
            response.headers["X-Request-ID"] = name
            response.headers.update(more)
            if origin is not None:
                response.headers.update(cors(origin))
        return response

    guarded.who = who  # type: ignore[attr-defined]  # for the OpenAPI document
    return guarded


def open_endpoint(handler: Handler) -> Handler:
    """A handler that tells nothing about the user (is anybody there, which version)."""
    return answered(handler, who="anyone")


def local_endpoint(handler: Handler) -> Handler:
    """A handler that tells how the daemon is set up: open on loopback, behind the client keys elsewhere."""
    return answered(handler, who="local")
