"""Whole answers: an upstream's into canonical form, ours for a client, and what the books need of one passed through.

Rule: an answer without content or stop reason is nonsense, not an empty answer; an error inside a 200 is an error.
Spec: the Messages API page, section 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import sources, tools
from llm_mux.translators.anthropic import answer_blocks, decode_blocks, errors, finish, usage, wire
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import Summary, Target, nonsense, present
from llm_mux.wire import jsonx

EXTRAS: Final = ("container", "diagnostics", "context_management", "input_transformations")
_extras: Final = attrgetter(*EXTRAS)
_NO_EXTRAS: Final = (UNSET,) * len(EXTRAS)


def decode_response(body: bytes, target: Target) -> ir.Response:
    """An upstream's answer. Raises MuxError: its error, or UPSTREAM_NONSENSE."""
    try:
        found = jsonx.decode(body, wire.Answer)
    except jsonx.Malformed as error:
        raise nonsense(f"an answer that cannot be read ({error})") from error
    if found.type == "error" or present(found.error):
        raise errors.decode_error(200, {}, body)
    if found.content is None:
        raise nonsense("an answer without `content`")
    if found.stop_reason is None:
        raise nonsense("an answer without `stop_reason`")
    try:
        parts = decode_blocks.answer(found.content, ir.family(target.model))
    except MuxError as error:
        raise nonsense(f"content that cannot be read ({error.message})") from error
    calls = any([isinstance(part, ir.ToolCall) for part in parts])
    end = finish.decode(found.stop_reason, found, calls=calls)
    return ir.Response(
        id=found.id or "",
        model=found.model or target.model,
        choices=(ir.Choice(parts, end),),
        usage=usage.decode(found.usage) if found.usage is not None else None,
        owner=NAME,
        extras=extras(found),
    )


def extras(found: wire.Answer) -> dict[str, Raw]:
    """The fields of an answer that only this format has."""
    values = _extras(found)
    if values == _NO_EXTRAS:
        return {}
    return {name: value for name, value in zip(EXTRAS, values, strict=True) if present(value)}


def encode_response(response: ir.Response, request: ir.Request) -> bytes:
    """The first choice as a message. Raises MuxError when there is none, or when the model broke it off."""
    if not response.choices:
        raise nonsense("an answer without any choice")
    choice = response.choices[0]
    if choice.finish.reason == "broken":
        raise broken(choice.finish)
    parts = tools.whole_parts(choice)
    content = list(answer_blocks.blocks(parts, response.id, linked=sources.linked(request)))
    if content and all(isinstance(block, wire.Thinking | wire.RedactedThinking) for block in content):
        # Some SDKs fail on an answer that holds thinking alone.
        content.append(wire.Text(""))
    refusals = [part.text for part in parts if isinstance(part, ir.Refusal)]
    calls = any(isinstance(part, ir.ToolCall) for part in parts)
    end = finish.encode(choice.finish, calls=calls, refusal=refusals[0] if refusals else None)
    own = response.extras if response.owner == NAME else {}
    message = wire.AnswerOut(
        id=message_id(response.id),
        model=response.model,
        content=content,
        stop_reason=end.stop_reason,
        stop_sequence=end.stop_sequence,
        usage=usage.encode(response.usage),
        stop_details=end.stop_details,
    )
    return jsonx.encode(with_extras(message, own))


def message_id(made: str) -> str:
    """An answer's id with the prefix that this format's ids have."""
    return made if made.startswith("msg_") else f"msg_{made}"


def with_extras(message: wire.AnswerOut, own: Mapping[str, Raw]) -> wire.AnswerOut:
    """`message` with those of its own format's fields that `own` holds."""
    found = {name: own[name] for name in EXTRAS if name in own}
    return msgspec.structs.replace(message, **found) if found else message


def broken(end: ir.Finish) -> MuxError:
    """The model stopped in the middle of a call that it could not form."""
    detail = f" ({end.detail})" if end.detail else ""
    return MuxError(Kind.UPSTREAM_NONSENSE, f"The model broke its answer off with a malformed tool call{detail}.")


class _Seen(Struct, frozen=True):
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: wire.Usage | None = None


def summary(body: bytes) -> Summary:
    """Usage, end, model and id of an answer; empty when the body is no such thing."""
    try:
        seen = jsonx.peek(body, _Seen)
    except jsonx.Malformed:
        return Summary()
    reason = None
    if seen.stop_reason is not None:
        reason = finish.decode(seen.stop_reason, wire.StopDelta(), calls=seen.stop_reason == "tool_use").reason
    return Summary(usage.decode(seen.usage) if seen.usage else None, reason, seen.model, seen.id)


class _Count(Struct, frozen=True):
    input_tokens: int


def decode_count(body: bytes) -> int:
    """The number of a `count_tokens` answer. Raises MuxError UPSTREAM_NONSENSE."""
    try:
        return jsonx.decode(body, _Count, strict=False).input_tokens
    except jsonx.Malformed as error:
        raise nonsense("a token count that cannot be read") from error


def encode_count(tokens: int, request: ir.Request) -> bytes:
    return jsonx.encode(_Count(tokens))
