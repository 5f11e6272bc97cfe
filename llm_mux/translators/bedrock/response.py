"""Whole answers: an upstream's into canonical form, ours for a client, and what the books need of one passed through.

Rule: an answer without content or stop reason is nonsense, not an empty answer.
Spec: the Bedrock Runtime page, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators import ids, tools
from llm_mux.translators.anthropic.response import broken
from llm_mux.translators.base import Summary, Target, nonsense, present
from llm_mux.translators.bedrock import decode_blocks, errors, finish, seals, wire
from llm_mux.translators.bedrock.wire import NAME
from llm_mux.wire import jsonx

EXTRAS: Final = ("additionalModelResponseFields", "trace", "performanceConfig", "serviceTier")
_SEARCHES: Final = frozenset({"web_search_call", "web_search"})


def decode_response(body: bytes, target: Target) -> ir.Response:
    """An upstream's answer. Raises MuxError: its error, or UPSTREAM_NONSENSE."""
    try:
        found = jsonx.decode(body, wire.Answer)
    except jsonx.Malformed as error:
        raise nonsense(f"an answer that cannot be read ({error})") from error
    message = found.output.message if found.output is not None else None
    if message is None and found.message is not None:
        raise errors.decode_error(200, {}, body)
    if message is None or message.content is None:
        raise nonsense("an answer without `output.message.content`")
    if found.stopReason is None:
        raise nonsense("an answer without `stopReason`")
    try:
        parts = decode_blocks.parts(message.content, "content", ir.family(target.model))
    except MuxError as error:
        raise nonsense(f"content that cannot be read ({error.message})") from error
    calls = any(isinstance(part, ir.ToolCall) for part in parts)
    return ir.Response(
        id="",
        model=target.model,
        choices=(ir.Choice(parts, finish.decode(found.stopReason, calls=calls)),),
        usage=finish.usage(found.usage, target.model) if found.usage is not None else None,
        owner=NAME,
        extras={name: value for name in EXTRAS if present(value := getattr(found, name))},
    )


class _Message(Struct, frozen=True):
    role: str
    content: list[wire.Block | Raw]


class _Output(Struct, frozen=True):
    message: _Message


class _Answer(Struct, frozen=True, omit_defaults=True):
    output: _Output
    stopReason: str
    usage: wire.Usage
    metrics: dict[str, int]
    additionalModelResponseFields: wire.RawField = UNSET
    trace: wire.RawField = UNSET
    performanceConfig: wire.RawField = UNSET
    serviceTier: wire.RawField = UNSET


def encode_response(response: ir.Response, request: ir.Request) -> bytes:
    """The first choice as a message. Raises MuxError when there is none, or when the model broke it off."""
    if not response.choices:
        raise nonsense("an answer without any choice")
    choice = response.choices[0]
    if choice.finish.reason == "broken" and response.owner != NAME:
        raise broken(choice.finish)
    parts = tools.whole_parts(choice)
    content = list(blocks(parts, response.id))
    calls = any(isinstance(part, ir.ToolCall) for part in parts)
    own: dict[str, Any] = dict(response.extras) if response.owner == NAME else {}
    answer = _Answer(
        output=_Output(_Message("assistant", content)),
        stopReason=finish.encode(choice.finish, calls=calls),
        usage=finish.told(response.usage),
        metrics={"latencyMs": 0},
        **{name: own[name] for name in EXTRAS if name in own},
    )
    return jsonx.encode(answer)


def blocks(parts: Sequence[ir.Part], seed: str) -> Iterator[wire.Block | Raw]:
    """The content of an answer; `seed` (its id) makes ids for calls that have none."""
    for index, part in enumerate(parts):
        match part:
            case ir.Text():
                yield from text(part)
            case ir.Refusal(text=words):
                if words:
                    yield wire.Block(text=words)
            case ir.Reasoning():
                if (thought := seals.shown(part)) is not None:
                    yield wire.Block(reasoningContent=thought)
            case ir.ToolCall():
                yield from call(part, seed, index)
            case ir.Opaque():
                if (block := opaque(part)) is not None:
                    yield block
            case _:
                yield wire.Block(text=placeholder(part))


def placeholder(part: ir.Part) -> str:
    """What stands for output that the format has no form for."""
    return f"[{type(part).__name__.lower()} output cannot be shown here]"


def text(part: ir.Text) -> Iterator[wire.Block | Raw]:
    """Text, as cited content where sources are known."""
    if not part.text:
        return
    if not part.citations:
        yield wire.Block(text=part.text)
        return
    cited = {"content": [{"text": part.text}], "citations": [source(one) for one in part.citations]}
    yield Raw(jsonx.encode({"citationsContent": cited}))


def source(citation: ir.Citation) -> Raw:
    """One source of a text."""
    if citation.native is not None and citation.native.owner == NAME:
        return citation.native.data
    found: dict[str, Any] = {}
    if citation.title:
        found["title"] = citation.title
    if citation.cited_text:
        found["sourceContent"] = [{"text": citation.cited_text}]
    if citation.url:
        found["location"] = {"web": {"url": citation.url}}
    return Raw(jsonx.encode(found))


def call(part: ir.ToolCall, seed: str, index: int) -> Iterator[wire.Block | Raw]:
    """A call, and before it the empty thought that carries another vendor's seal."""
    if (sealed := seals.before_call(part)) is not None:
        yield wire.Block(reasoningContent=sealed)
    given = Raw(jsonx.encode({"input": part.arguments})) if part.custom else jsonx.object_arguments(part.arguments)
    yield wire.Block(toolUse=wire.ToolUse(call_id(part, seed, index), part.name or f"tool_{index}", given))


def call_id(part: ir.ToolCall, seed: str, index: int) -> str:
    return part.id or ids.synthesised(seed, 0, index, part.name, part.arguments)


def opaque(part: ir.Opaque) -> wire.Block | Raw | None:
    """An own block as it is, another's in words or not at all."""
    if part.native.owner == NAME:
        return part.native.data
    return wire.Block(text=part.text) if part.text and not part.hint and part.label not in _SEARCHES else None


class _Seen(Struct, frozen=True):
    stopReason: str | None = None
    usage: wire.Usage | None = None


def summary(body: bytes) -> Summary:
    """Usage and end of an answer; empty when the body is no such thing."""
    try:
        seen = jsonx.peek(body, _Seen)
    except jsonx.Malformed:
        return Summary()
    reason = None
    if seen.stopReason is not None:
        reason = finish.decode(seen.stopReason, calls=seen.stopReason == "tool_use").reason
    return Summary(finish.usage(seen.usage, "") if seen.usage else None, reason)


class _Count(Struct, frozen=True):
    inputTokens: int


def decode_count(body: bytes) -> int:
    """The number of a `count-tokens` answer. Raises MuxError UPSTREAM_NONSENSE."""
    try:
        return jsonx.decode(body, _Count, strict=False).inputTokens
    except jsonx.Malformed as error:
        raise nonsense("a token count that cannot be read") from error


def encode_count(tokens: int, request: ir.Request) -> bytes:
    return msgspec.json.encode(_Count(tokens))
