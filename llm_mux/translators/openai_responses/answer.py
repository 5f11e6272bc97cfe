"""The answer as this format's clients see it: the response object with its echo of the request, and output items.

Rules. Whole answers and streams are built from the same pieces, so that they agree. Item ids are derived from the
response's id and the item's place. Consecutive texts of one phase are one message. Usage always has its details. Codex
takes every `incomplete` for a failure to repeat and does not show refusals, so it gets completed answers in plain text.
Spec: the Responses API page, section 6; translation matrix, sections 9 and 10; real clients, Codex.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import ids
from llm_mux.translators.openai_responses import beside, errors, reasoning, searches, summary, tools, turns, wire
from llm_mux.translators.openai_responses.reading import CODEX, COMPACT, ECHO, OWNER, first_byte, present
from llm_mux.wire import jsonx

ItemOut: TypeAlias = Struct | Raw

_NULL: Final = wire.NULL
_DEFAULTS: Final[dict[str, Raw]] = {
    "instructions": _NULL,
    "max_output_tokens": _NULL,
    "max_tool_calls": _NULL,
    "parallel_tool_calls": Raw(b"true"),
    "previous_response_id": _NULL,
    "prompt_cache_key": _NULL,
    "safety_identifier": _NULL,
    "service_tier": Raw(b'"default"'),
    "store": Raw(b"true"),
    "temperature": Raw(b"1.0"),
    "tool_choice": Raw(b'"auto"'),
    "tools": Raw(b"[]"),
    "top_logprobs": Raw(b"0"),
    "top_p": Raw(b"1.0"),
    "truncation": Raw(b'"disabled"'),
    "user": _NULL,
    "metadata": Raw(b"{}"),
    "background": Raw(b"false"),
}
_INNER_DEFAULTS: Final[dict[str, dict[str, Raw]]] = {
    "reasoning": {"effort": _NULL, "summary": _NULL},
    "text": {"format": Raw(b'{"type":"text"}'), "verbosity": Raw(b'"medium"')},
}
_REFUSED: Final = "The model refused to answer."
_FILTERED: Final = "The provider's content filter stopped this answer."


class Client(Struct, frozen=True):
    """What of the request decides the form of its answer. `compacts`: text becomes a compaction item."""

    codex: bool
    compacts: bool
    searches: bool


def client_of(request: ir.Request) -> Client:
    return Client(CODEX in request.extras, COMPACT in request.extras, tools.client_searches(request))


def response_id(made: str) -> str:
    """The id with this format's prefix."""
    return made if made.startswith("resp_") else f"resp_{made}"


def item_id(prefix: str, response: str, index: int) -> str:
    """An id that is the same wherever the item at `index` is told of."""
    return prefix + "_" + ids.digest(f"{response}\x00{index}")


class Object:
    """The response object through its life: the same head and echo, with what changes."""

    def __init__(self, request: ir.Request, id_: str, model: str, created: int) -> None:
        self._fields: dict[str, object] = {
            "id": id_,
            "object": "response",
            "created_at": created,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": [],
            **_echo(request),
            "usage": None,
        }

    def at(self, status: str, **changes: object) -> dict[str, object]:
        """The object in `status`; `changes` are its fields by wire name."""
        return {**self._fields, "status": status, **changes}


def _echo(request: ir.Request) -> dict[str, object]:
    raw = request.extras.get(ECHO)
    said = msgspec.json.decode(raw, type=dict[str, Raw]) if raw is not None else {}
    inner = {
        name: {**defaults, **msgspec.json.decode(said[name], type=dict[str, Raw])} if name in said else defaults
        for name, defaults in _INNER_DEFAULTS.items()
    }
    return {**_DEFAULTS, **said, **inner}


def usage_out(usage: ir.Usage | None) -> wire.UsageOut:
    """Usage with all its details, zero where unknown: clients fail without them."""
    usage = usage or ir.Usage()
    return wire.UsageOut(
        usage.prompt,
        wire.CachedDetailsOut(usage.cache_read, usage.cache_write),
        usage.output,
        wire.ReasoningDetailsOut(usage.reasoning or 0),
        usage.total,
    )


class Ending(Struct, frozen=True):
    """How a finish is told. `status` of the response, `item` of its last item, `reason` why it is incomplete."""

    status: str = "completed"
    item: str = "completed"
    reason: str | None = None
    error: wire.ErrorOut | None = None


def ending(finish: ir.Finish, client: Client) -> Ending:
    """The ending of this format (matrix 10)."""
    match finish.reason:
        case "length" | "context" | "paused":
            if client.codex:
                return Ending(item="incomplete")
            return Ending("incomplete", "incomplete", "max_output_tokens")
        case "filtered" if not client.codex:
            return Ending("incomplete", "incomplete", "content_filter")
        case "broken":
            message = finish.detail or "The provider's model broke off in the middle of a tool call."
            return Ending("failed", "incomplete", error=errors.failed(MuxError(Kind.UPSTREAM_NONSENSE, message)))
        case _:
            return Ending()


def last_words(finish: ir.Finish, client: Client, *, spoken: bool, refused: bool) -> ir.Text | ir.Refusal | None:
    """What has to be said beside the model's own parts: a refusal that came without words."""
    if finish.reason == "refusal" and not refused and (finish.detail or not spoken):
        return ir.Refusal(finish.detail or _REFUSED)
    if finish.reason == "filtered" and client.codex and not spoken:
        return ir.Text(finish.detail or _FILTERED)
    return None


def content_out(
    part: ir.Text | ir.Refusal, client: Client, logprobs: Raw = wire.EMPTY_LIST
) -> wire.OutputTextOut | wire.RefusalOut:
    """A part of a message."""
    if isinstance(part, ir.Refusal):
        return wire.OutputTextOut(part.text) if client.codex else wire.RefusalOut(part.text)
    notes = [annotation_out(citation, len(part.text)) for citation in part.citations]
    return wire.OutputTextOut(part.text, [note for note in notes if note is not None], logprobs)


def spans_all(citation: ir.Citation) -> bool:
    """Whether the citation is of the whole text, whose length is known when it has ended."""
    return citation.end is None and (citation.native is None or citation.native.owner != OWNER)


def annotation_out(citation: ir.Citation, length: int) -> Raw | None:
    """A citation as an annotation: its own form, or a URL over its span; None for one without a URL."""
    if citation.native is not None and citation.native.owner == OWNER:
        return citation.native.data
    if citation.url is None:
        return None
    start = citation.start or 0
    end = citation.end if citation.end is not None else length
    return Raw(jsonx.encode(wire.UrlCitationOut(citation.url, citation.title or "", start, end)))


def message_out(
    id_: str, content: Sequence[wire.OutputTextOut | wire.RefusalOut], phase: str | None, status: str
) -> wire.AnswerMessageOut:
    return wire.AnswerMessageOut(id_, status, "assistant", list(content), phase=phase)


def call_kind(call: ir.ToolCall, client: Client) -> str:
    """The type of the item for a call; it is also what the id's prefix follows."""
    if client.searches and call.name == tools.SEARCH and call.namespace is None:
        return "tool_search_call"
    return "custom_tool_call" if call.custom else "function_call"


PREFIXES: Final = {"function_call": "fc", "custom_tool_call": "ctc", "tool_search_call": "tsc"}


def call_out(call: ir.ToolCall, kind: str, id_: str, status: str) -> ItemOut:
    """The item of a call; while it is in progress its arguments are empty."""
    if kind == "custom_tool_call":
        made = wire.CustomCallOut(call.id, call.name, call.arguments, namespace=call.namespace, id=id_, status=status)
        return beside.put(made, call.native)
    if kind == "tool_search_call":
        return wire.ToolSearchCallOut(id_, call.id, "client", jsonx.object_arguments(call.arguments), status)
    arguments = arguments_out(call.arguments, status)
    plain = wire.FunctionCallOut(call.id, call.name, arguments, namespace=call.namespace, id=id_, status=status)
    return beside.put(plain, call.native)


def arguments_out(arguments: str, status: str) -> str:
    """Final arguments are an object's text (nothing is `{}`); those of a cut call stay as they are."""
    return "{}" if status == "completed" and not arguments.strip() else arguments


def is_cut(call: ir.ToolCall) -> bool:
    """Whether the arguments end in the middle, as they do when the token limit hits."""
    if call.custom:
        return True
    try:
        msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return True
    return False


def compaction_out(text: str, response: str, index: int) -> wire.CompactionOut:
    return wire.CompactionOut(item_id("cmp", response, index), summary.sealed(text))


def opaque_out(part: ir.Opaque | ir.Image, response: str, index: int) -> ItemOut | None:
    """An item that this format made, an image and a search as the items of their tools, nothing for other things."""
    if part.native is not None and part.native.owner == OWNER and turns.inner_part(part.native) is None:
        return part.native.data
    if isinstance(part, ir.Image) and isinstance(part.source, ir.Inline):
        form = part.source.media_type.partition("/")[2] or "png"
        return wire.ImageCallOut(item_id("ig", response, index), "completed", part.source.data, form)
    return searches.item(part) if isinstance(part, ir.Opaque) else None


def output_items(
    parts: Sequence[ir.Part], finish: ir.Finish, response: str, client: Client, logprobs: Raw | None = None
) -> list[ItemOut]:
    """The `output` of a whole answer. `logprobs` belong to its first text."""
    builder = _Builder(response, client, _token_list(logprobs))
    for part in parts:
        builder.add(part)
    refused = any(isinstance(part, ir.Refusal) for part in parts)
    words = last_words(finish, client, spoken=builder.spoken, refused=refused)
    if words is not None:
        builder.add(words)
    return builder.finished(ending(finish, client).item)


class _Logprobs(Struct):
    content: Raw | UnsetType = UNSET


def _token_list(logprobs: Raw | None) -> Raw:
    """The tokens of a choice's log probabilities, whether they come as the list or as the object around it."""
    if logprobs is None or not present(logprobs):
        return wire.EMPTY_LIST
    if first_byte(logprobs) == b"[":
        return logprobs
    if first_byte(logprobs) != b"{":
        return wire.EMPTY_LIST
    found = msgspec.json.decode(logprobs, type=_Logprobs).content
    return found if present(found) and first_byte(found) == b"[" else wire.EMPTY_LIST


class _Builder:
    def __init__(self, response: str, client: Client, logprobs: Raw) -> None:
        self.response, self.client, self._logprobs = response, client, logprobs
        self.items: list[ItemOut] = []
        self.spoken = False
        self._last: ir.Part | None = None

    def add(self, part: ir.Part) -> None:
        self._last = part
        index = len(self.items)
        match part:
            case ir.Text() | ir.Refusal():
                self._said(part, index)
            case ir.Reasoning():
                id_ = reasoning.item_id(part) or item_id("rs", self.response, index)
                self.items.append(reasoning.to_client(part, id_, "completed"))
            case ir.ToolCall():
                sealed = reasoning.before_call(part, item_id("rs", self.response, index))
                self.items.extend([] if sealed is None else [sealed])
                self._call(part, len(self.items), "completed")
            case ir.Opaque() | ir.Image():
                made = opaque_out(part, self.response, index)
                if made is not None:
                    self.items.append(made)
                elif isinstance(part, ir.Opaque) and part.text and not part.hint:
                    self._said(ir.Text(part.text), index)
            case _:
                pass

    def _said(self, part: ir.Text | ir.Refusal, index: int) -> None:
        if self.client.compacts:
            self.items.append(compaction_out(part.text, self.response, index))
            return
        self.spoken = self.spoken or bool(part.text)
        phase = turns.phase_of(part)
        last = self.items[-1] if self.items else None
        if not isinstance(last, wire.AnswerMessageOut) or last.phase != phase:
            last = message_out(item_id("msg", self.response, index), [], phase, "completed")
            self.items.append(last)
        last.content.append(content_out(part, self.client, self._logprobs))
        self._logprobs = wire.EMPTY_LIST

    def _call(self, call: ir.ToolCall, index: int, status: str) -> None:
        kind = call_kind(call, self.client)
        self.items.append(call_out(call, kind, item_id(PREFIXES[kind], self.response, index), status))

    def finished(self, status: str) -> list[ItemOut]:
        """The items; the last one in `status` when it is not complete."""
        if status == "completed" or not self.items:
            return self.items
        last = self.items[-1]
        if isinstance(last, wire.AnswerMessageOut):
            last.status = status
        elif isinstance(self._last, ir.ToolCall) and is_cut(self._last):
            self.items.pop()
            self._call(self._last, len(self.items), status)
        return self.items
