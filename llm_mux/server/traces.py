"""Finished exchanges as traces: OTLP over HTTP, with OpenTelemetry's conventions for generative AI; Langfuse takes the
same.

Rule: off unless a destination is configured, and then an exchange pays an append. Spans are made in a thread and sent
by the daemon's own HTTP client; what a destination does not take after some tries is dropped and counted. Prompts and
answers are never in them. `opentelemetry-proto` (the extra `otel`) is loaded with the first batch.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from llm_mux import __version__, log
from llm_mux.errors import MuxError
from llm_mux.gateway.outcome import Tried
from llm_mux.gateway.upstream import Call, Timeouts, Upstream
from llm_mux.ledger.rows import PICO, Exchange

MOST_WAITING = 4096
BATCH = 512
GATHER_S = 1.0
INSTALL = "install it with: pip install 'llm-mux[otel]'"
_PAUSES_S = (1.0, 3.0)
_TIMEOUTS = Timeouts(connect=5, first_byte=10, between_bytes=10)
_AGAIN = frozenset({408, 429, 502, 503, 504})
_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_CLIENT_SPAN, _STATUS_ERROR = 3, 2
_PROVIDERS = {
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""Where OpenTelemetry has another name for a provider."""


class Done(Struct, frozen=True, gc=False):
    """One exchange on its way into a span. `parent` is what the client sent as `traceparent`."""

    row: Exchange
    vendor: str
    address: str
    tried: tuple[Tried, ...]
    parent: str | None


@dataclass(slots=True)
class Destination:
    """Where spans go; what became of them so far."""

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    sent: int = 0
    dropped: int = 0
    error: str | None = None

    @property
    def status(self) -> str:
        return "healthy" if self.error is None else "unhealthy"


class Traces:
    """`add` at the end of each exchange while `on`; `run` as a task beside the server, `close` at the end."""

    def __init__(self, upstream: Upstream, *, gather_s: float = GATHER_S) -> None:
        self._upstream = upstream
        self._gather_s = gather_s
        self._waiting: deque[Done] = deque(maxlen=MOST_WAITING)
        self._work = asyncio.Event()
        self.destinations: tuple[Destination, ...] = ()
        self.environment = ""
        self.on = False

    def become(self, destinations: Sequence[Destination], environment: str) -> None:
        """Send there from now on. A destination that stays keeps its counts."""
        known = {(each.name, each.url): each for each in self.destinations}
        self.destinations = tuple(_again(known.get((each.name, each.url)), each) for each in destinations)
        self.environment = environment
        self.on = bool(self.destinations)

    def add(self, done: Done) -> None:
        self._waiting.append(done)
        self._work.set()

    async def run(self) -> None:
        while True:
            await self._work.wait()
            await asyncio.sleep(self._gather_s)
            await self.flush()

    async def close(self, deadline_s: float = 3.0) -> None:
        """Send what waits, if it can be had in time."""
        try:
            async with asyncio.timeout(deadline_s):
                await self.flush()
        except TimeoutError:
            log.logger.warning("traces.lost", spans=len(self._waiting))

    async def flush(self) -> None:
        """Send all that waits."""
        self._work.clear()
        while self._waiting and self.on:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                body = await asyncio.to_thread(encoded, batch, self.environment)
            except ModuleNotFoundError:
                self._lost(batch, f"opentelemetry-proto is missing; {INSTALL}")
                continue
            await asyncio.gather(*(self._send(each, body, len(batch)) for each in self.destinations))

    def _lost(self, batch: Sequence[Done], why: str) -> None:
        for destination in self.destinations:
            _failed(destination, len(batch), why)

    async def _send(self, destination: Destination, body: bytes, spans: int) -> None:
        error = ""
        for pause in (*_PAUSES_S, None):
            try:
                status = await self._post(destination, body)
            except MuxError as unreached:
                error, again = unreached.message, True
            else:
                if status < 300:
                    destination.sent += spans
                    destination.error = None
                    return
                error, again = f"HTTP {status}", status in _AGAIN
            if pause is None or not again:
                break
            await asyncio.sleep(pause)
        _failed(destination, spans, error)

    async def _post(self, destination: Destination, body: bytes) -> int:
        headers = {"content-type": "application/x-protobuf", "user-agent": f"llm-mux/{__version__}"}
        headers.update(destination.headers)
        call = Call(destination.url, headers, body, place=destination.name, timeouts=_TIMEOUTS)
        reply = await self._upstream.send(call)
        try:
            await reply.read(1 << 16)
        finally:
            reply.close()
        return reply.status


def _again(known: Destination | None, fresh: Destination) -> Destination:
    if known is None:
        return fresh
    known.headers = fresh.headers
    return known


def _failed(destination: Destination, spans: int, why: str) -> None:
    destination.dropped += spans
    if destination.error is None:
        log.logger.warning("traces.failed", destination=destination.name, error=why)
    destination.error = why


def encoded(batch: Sequence[Done], environment: str) -> bytes:
    """The body of an OTLP request. Raises ModuleNotFoundError without the extra."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    about = {"service.name": "llm-mux", "service.version": __version__, "deployment.environment.name": environment}
    _put(resource.resource.attributes, about)
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "llm_mux", __version__
    for done in batch:
        _fill(scope.spans.add(), done)
    content: bytes = request.SerializeToString()
    return content


def _fill(span: Any, done: Done) -> None:
    row = done.row
    parent = _PARENT.fullmatch(done.parent) if done.parent else None
    span.trace_id = bytes.fromhex(parent[1]) if parent else os.urandom(16)
    span.parent_span_id = bytes.fromhex(parent[2]) if parent else b""
    span.span_id = os.urandom(8)
    span.name = f"{_operation(row)} {row.names.model_served or row.names.model_asked}"
    span.kind = _CLIENT_SPAN
    span.start_time_unix_nano = _nano(row.time)
    span.end_time_unix_nano = _nano(row.time + row.duration_ms / 1000)
    _put(span.attributes, _attributes(done))
    if row.names.error_kind is not None:
        span.status.code, span.status.message = _STATUS_ERROR, row.names.error_kind
    if row.ttft_ms is not None:
        event = span.events.add()
        event.name, event.time_unix_nano = "gen_ai.first_token", _nano(row.time + row.ttft_ms / 1000)
    for tried in done.tried:
        event = span.events.add()
        event.name, event.time_unix_nano = "llm_mux.attempt_failed", span.start_time_unix_nano
        _put(event.attributes, {"llm_mux.account": tried.account, "error.type": tried.kind.value})


def _operation(row: Exchange) -> str:
    return "text_completion" if row.names.protocol == "openai_completions" else "chat"


def _attributes(done: Done) -> dict[str, Any]:
    row = done.row
    started = None if row.ttft_ms is None else time.gmtime(row.time + row.ttft_ms / 1000)
    return {
        "gen_ai.operation.name": _operation(row),
        "gen_ai.provider.name": _PROVIDERS.get(done.vendor, done.vendor) or None,
        "gen_ai.request.model": row.names.model_asked,
        "gen_ai.response.model": row.names.model_served,
        "gen_ai.response.finish_reasons": [row.names.stop_reason] if row.names.stop_reason else None,
        "gen_ai.usage.input_tokens": row.input_tokens + row.cache_read_tokens + row.cache_write_tokens,
        "gen_ai.usage.output_tokens": row.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": row.cache_read_tokens or None,
        "gen_ai.usage.cache_creation.input_tokens": row.cache_write_tokens or None,
        "gen_ai.usage.reasoning.output_tokens": row.reasoning_tokens,
        "gen_ai.usage.cost": None if row.cost is None else row.cost / 10**PICO,
        "error.type": row.names.error_kind,
        "http.response.status_code": row.names.status,
        "server.address": done.address or None,
        "user.id": row.names.user or row.names.client_key,
        "langfuse.observation.completion_start_time": None if started is None else time.strftime(_ISO, started),
        "llm_mux.request_id": row.request_id,
        "llm_mux.protocol": row.names.protocol,
        "llm_mux.account": row.names.account,
        "llm_mux.attempts": row.names.attempts,
        "llm_mux.path": row.names.path,
    }


_ISO = "%Y-%m-%dT%H:%M:%SZ"


def _nano(unix_s: float) -> int:
    return int(unix_s * 1e9)


def _put(into: Any, attributes: Mapping[str, Any]) -> None:
    """Attributes with a value, each in the field of its type."""
    for name, value in attributes.items():
        if value is None:
            continue
        entry = into.add()
        entry.key = name
        if isinstance(value, bool):
            entry.value.bool_value = value
        elif isinstance(value, int):
            entry.value.int_value = value
        elif isinstance(value, float):
            entry.value.double_value = value
        elif isinstance(value, list):
            for each in value:
                entry.value.array_value.values.add().string_value = each
        else:
            entry.value.string_value = value


def address_of(base_url: str) -> str:
    return urlsplit(base_url).hostname or ""
