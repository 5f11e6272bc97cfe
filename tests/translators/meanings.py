"""What a request asks and what an answer says, format aside: the values that a crossing may not change.

White space between the parts of a turn is the formats' own business, so words are compared without any. JSON is compared
as JSON. What an encoder adds (a note, an opening) is no change; what it takes away is.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from msgspec import Raw

from llm_mux import ir
from llm_mux.translators import effort, history
from llm_mux.translators.tools import Names, raise_call

Medium = ir.Image | ir.Document | ir.Audio | ir.Video


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of the history with its arguments as JSON (or free text), and the words of its result."""

    name: str
    namespace: str | None
    arguments: str
    result: str | None
    failed: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """A declared tool: what it is called, what it is for, what it takes."""

    name: str
    description: str
    properties: tuple[str, ...]
    required: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The meaning of a request."""

    words: tuple[tuple[str, str], ...]
    calls: tuple[Call, ...]
    media: tuple[str, ...]
    tools: tuple[Offer, ...]
    choice: tuple[str, tuple[str, ...]] | None
    parallel: bool | None
    effort: str | None
    schema: tuple[tuple[str, ...], tuple[str, ...]] | None
    stop: tuple[str, ...]
    max_tokens: int | None


def squeezed(text: str) -> str:
    """`text` without white space."""
    return "".join(text.split())


def asked(request: ir.Request, names: Names | None = None) -> Asked:
    """What `request` means; `names` restores the client's tool names in a request that went through an encoder."""
    messages = history.tidy([_restored(message, names or Names()) for message in request.messages])
    return Asked(
        words=tuple(_words(messages)),
        calls=tuple(_calls(messages)),
        media=tuple(sorted(_media(part for message in messages for part in message.parts))),
        tools=tuple(_offer(tool, names or Names()) for tool in request.tools if isinstance(tool, ir.Tool)),
        choice=_choice(request, names or Names()),
        parallel=request.parallel_tool_calls,
        effort=effort.of(request.thinking),
        schema=_outline(request.output.schema) if request.output.schema is not None else None,
        stop=request.stop,
        max_tokens=request.max_tokens,
    )


def _restored(message: ir.Message, names: Names) -> ir.Message:
    parts = tuple(raise_call(part, names) if isinstance(part, ir.ToolCall) else part for part in message.parts)
    return ir.Message(message.role, parts)


def _words(messages: Sequence[ir.Message]) -> Iterator[tuple[str, str]]:
    """Who says what, in order; the system slot is told apart from the conversation."""
    leading = True
    for message in messages:
        leading = leading and message.role in ("system", "developer")
        side = "system" if leading else "model" if message.role == "assistant" else "user"
        for part in message.parts:
            text = _text(part)
            if text:
                yield side, text


def _text(part: ir.Part) -> str:
    match part:
        case ir.Text(text=text) | ir.Refusal(text=text):
            return squeezed(text)
        case ir.Document(source=ir.Inline(media_type=type_, data=data)) if type_.startswith("text/"):
            return squeezed(base64.b64decode(data).decode())
        case _:
            return ""


def _calls(messages: Sequence[ir.Message]) -> Iterator[Call]:
    results = {p.call_id: p for m in messages for p in m.parts if isinstance(p, ir.ToolResult)}
    for message in messages:
        for part in message.parts:
            if isinstance(part, ir.ToolCall):
                yield _call(part, results.get(part.id))


def _call(call: ir.ToolCall, result: ir.ToolResult | None) -> Call:
    said = "".join(_text(part) for part in result.content) if result is not None else None
    arguments = call.arguments if call.custom else _json(call.arguments.encode() or b"{}")
    failed = result is not None and (bool(result.is_error) or (said or "").lower().startswith("error"))
    return Call(call.name, call.namespace, arguments, said, failed)


def _media(parts: Iterable[ir.Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, ir.ToolResult):
            yield from _media(part.content)
        elif isinstance(part, Medium) and not _text(part):
            yield f"{type(part).__name__} {_source(part.source)}"


def _source(source: ir.Source) -> str:
    match source:
        case ir.Inline(data=data):
            return data
        case ir.Url(url=url):
            return url
        case ir.FileId(id=id_):
            return id_


def _offer(tool: ir.Tool, names: Names) -> Offer:
    client = names.to_client.get(tool.name)
    properties, required = _outline(tool.schema)
    return Offer(
        client.name if client is not None else tool.name, squeezed(tool.description or ""), properties, required
    )


def _outline(schema: Raw | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Property names and the required ones: what survives the rewriting into any vendor's dialect."""
    found = json.loads(bytes(schema)) if schema is not None else {}
    if not isinstance(found, dict):
        return (), ()
    return tuple(sorted(found.get("properties") or {})), tuple(sorted(found.get("required") or ()))


def _choice(request: ir.Request, names: Names) -> tuple[str, tuple[str, ...]] | None:
    choice = request.tool_choice
    if choice is None or (choice.mode == "auto" and not choice.names):
        return None
    return choice.mode, tuple(names.to_client[n].name if n in names.to_client else n for n in choice.names)


def _json(text: bytes) -> str:
    """JSON text in one spelling; what is no JSON stays as it is."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text.decode(errors="replace")


_UNSAID: dict[str, tuple[object, ...]] = {"parallel": (None, True)} | dict.fromkeys(
    ("media", "choice", "effort", "schema", "stop", "max_tokens"), (None, ())
)
"""Values that ask for nothing: many formats let the model call several tools at once unless told otherwise."""


def missing(before: Asked, after: Asked) -> set[str]:
    """The aspects of `before` that `after` does not hold."""
    gone = {
        name
        for name in _UNSAID
        if getattr(before, name) not in _UNSAID[name] and getattr(before, name) != getattr(after, name)
    }
    gone |= set() if _spoken(before.words, after.words) else {"words"}
    gone |= set() if _same_calls(before.calls, after.calls) else {"calls"}
    gone |= set() if _same_tools(before.tools, after.tools) else {"tools"}
    return gone


def _spoken(before: Sequence[tuple[str, str]], after: Sequence[tuple[str, str]]) -> bool:
    """Whether every word of each side is said by the same side, in the same order."""
    sides = {side: "".join(text for s, text in after if s == side) for side in ("system", "user", "model")}
    at = dict.fromkeys(sides, 0)
    for side, text in before:
        found = sides[side].find(text, at[side])
        if found < 0:
            return False
        at[side] = found + len(text)
    return True


def _same_calls(before: Sequence[Call], after: Sequence[Call]) -> bool:
    if len(before) != len(after):
        return False
    return all(
        (b.name, b.namespace, b.arguments, b.failed) == (a.name, a.namespace, a.arguments, a.failed)
        and (b.result or "") in (a.result or "")
        for b, a in zip(before, after, strict=True)
    )


def _same_tools(before: Sequence[Offer], after: Sequence[Offer]) -> bool:
    """Names in order, descriptions as a part; a target that refuses a schema's shape may add to it, never take."""
    if [offer.name for offer in before] != [offer.name for offer in after]:
        return False
    pairs = list(zip(before, after, strict=True))
    return all(b.description in a.description and set(b.properties) <= set(a.properties) for b, a in pairs)


@dataclass(frozen=True, slots=True)
class Made:
    """A tool call of an answer; `whole`: its arguments are an object, or free text, as the model finished it."""

    name: str
    arguments: str
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Said:
    """The meaning of one choice of an answer. `ending` is a class of finish reasons, see `ENDINGS`; `tokens` are those
    whose log probabilities it tells."""

    text: str
    reasoning: str
    refusal: str
    calls: tuple[Made, ...]
    media: tuple[str, ...]
    ending: str
    tokens: tuple[tuple[str, float], ...] = ()


ENDINGS = {
    "stop": "stop",
    "stop_sequence": "stop",
    "paused": "stop",
    "length": "length",
    "context": "length",
    "tool_calls": "tool_calls",
    "filtered": "filtered",
    "refusal": "filtered",
    "broken": "broken",
}
"""What every format tells apart of the canonical finish reasons."""


def said(response: ir.Response) -> tuple[Said, ...]:
    """What an answer says, choice by choice."""
    return tuple(_said(choice) for choice in response.choices)


def _said(choice: ir.Choice) -> Said:
    parts = choice.parts
    return Said(
        text=ir.joined(parts),
        reasoning="".join(part.text for part in parts if isinstance(part, ir.Reasoning)),
        refusal="".join(part.text for part in parts if isinstance(part, ir.Refusal)),
        calls=tuple(_made(part) for part in parts if isinstance(part, ir.ToolCall)),
        media=tuple(_media(parts)),
        ending=ENDINGS[choice.finish.reason],
        tokens=tuple((t["token"], t["logprob"]) for t in json.loads(bytes(choice.logprobs or b"[]"))),
    )


def _made(call: ir.ToolCall) -> Made:
    if call.custom:
        return Made(call.name, call.arguments)
    arguments = _json(call.arguments.encode() or b"{}")
    finished = arguments.startswith("{") and arguments.endswith("}") and not arguments.startswith('{"_raw"')
    return Made(call.name, arguments, whole=finished)
