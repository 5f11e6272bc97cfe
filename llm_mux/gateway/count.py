"""Token counts: the upstream's own where it has them, else an honest estimate, and which of them it was."""

from __future__ import annotations

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.gateway.aside import asked
from llm_mux.gateway.ask import Answer, Ask, Whole, error_answer
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.plan import operation_endpoint
from llm_mux.routing.select import Candidate
from llm_mux.translators import registry
from llm_mux.translators.base import Target

_CHARS_PER_TOKEN = 4
_IMAGE_TOKENS = 1000
_PER_MESSAGE = 4


async def serve(gateway: Gateway, ask: Ask) -> Answer:
    """The count for a request in the client's own shape, with `x-llm-mux-count: native|estimate`."""
    headers = {"X-Request-ID": ask.request_id}
    counter = ask.protocol.counter
    if counter is None:
        raise LookupError(f"{ask.protocol.name} has no token counts")
    try:
        request = ask.protocol.decode_request(ask.body, ask.hints)
        candidates = await gateway.candidates(ask)
    except MuxError as error:
        return error_answer(error, ask.protocol, ask.request_id, headers)
    for candidate in candidates[:1]:
        native = await _native(gateway, ask, candidate, request)
        if native is not None:
            return Whole(200, counter.encode_response(native, request), {**headers, "x-llm-mux-count": "native"})
    tokens = estimate(request)
    return Whole(200, counter.encode_response(tokens, request), {**headers, "x-llm-mux-count": "estimate"})


async def _native(gateway: Gateway, ask: Ask, candidate: Candidate, request: ir.Request) -> int | None:
    """The provider's own count, None when it has none or cannot give it now."""
    endpoint = operation_endpoint(ask, candidate, "count")
    translator = registry.get(endpoint.translator) if endpoint is not None else None
    if endpoint is None or translator is None or translator.counter is None:
        return None
    account = candidate.account
    target = Target(candidate.route.model, account.provider.name, endpoint.quirks)
    try:
        encoded = translator.counter.encode_request(request, target)
        body = await asked(gateway, ask, account, endpoint, target.model, encoded)
        return translator.counter.decode_response(body)
    except MuxError:
        return None


def estimate(request: ir.Request) -> int:
    """About four characters a token over system, messages and tools; images count as a fixed size."""
    chars = tokens = 0
    for message in request.messages:
        tokens += _PER_MESSAGE
        for part in message.parts:
            more_chars, more_tokens = _weight(part)
            chars, tokens = chars + more_chars, tokens + more_tokens
    for tool in request.tools:
        raw = tool.schema if isinstance(tool, ir.Tool) else tool.native.data
        chars += len(bytes(raw)) if raw is not None else 0
        chars += len(tool.name or "") + (len(tool.description or "") if isinstance(tool, ir.Tool) else 0)
    return max(1, tokens + -(-chars // _CHARS_PER_TOKEN))


def _weight(part: ir.Part) -> tuple[int, int]:
    match part:
        case ir.Text(text=text) | ir.Reasoning(text=text) | ir.Refusal(text=text):
            return len(text), 0
        case ir.ToolCall():
            return len(part.name) + len(part.arguments), 0
        case ir.ToolResult():
            inner = [_weight(one) for one in part.content]
            return sum(c for c, _ in inner), sum(t for _, t in inner)
        case ir.Opaque():
            return len(part.text), 0
        case _:
            return 0, _IMAGE_TOKENS
