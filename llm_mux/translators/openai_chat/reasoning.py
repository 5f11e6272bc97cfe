"""Reasoning in messages: `reasoning_content` and its other spellings, and the `reasoning_details` that carry seals.

Rules. Chat completions has no official slot for opaque reasoning data, so natives of other owners travel to the client
as `reasoning_details` entries whose `data` is an envelope, each saying which characters of the reasoning text, which
tool call or which text it belongs to. A damaged envelope is dropped. Entries that are not ours are kept unmodified as
one native of this format (a JSON array), which only its own model family gets back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw, Struct, field

from llm_mux import ir
from llm_mux.translators import envelope
from llm_mux.translators.base import Target, usable
from llm_mux.translators.openai_chat import quirks as quirks_
from llm_mux.translators.openai_chat import wire

GEMINI = "gemini"


class Sealed(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="reasoning.encrypted"):
    """An entry of ours; see `wire.Detail`."""

    index: int
    data: str
    format: str = ""
    id: str | None = None
    on: str | None = None
    start: int | None = None
    length: int | None = None
    position: int | None = None


class Thoughts(Struct):
    """What a message says about reasoning. `placed` pairs each part with the number of tool calls before it."""

    placed: list[tuple[int, ir.Reasoning]] = field(default_factory=list)
    calls: dict[str, ir.Native] = field(default_factory=dict)
    text: ir.Native | None = None


def decode(message: wire.Message) -> Thoughts:
    """The reasoning of an assistant message in a client's history, in whatever spelling."""
    text = _plain(message)
    thoughts = Thoughts()
    if not text and not message.reasoning_details:
        return thoughts
    foreign: list[Raw] = []
    ours: list[tuple[wire.Detail, ir.Native]] = []
    for raw in message.reasoning_details or ():
        entry = _entry(raw)
        if entry is None or entry.data is None or not envelope.is_sealed(entry.data):
            foreign.append(raw)
            continue
        native = envelope.unseal(entry.data)
        if native is not None:
            _place(entry, native, thoughts, ours)
    if foreign and not ours:
        native = ir.Native(wire.NAME, array(foreign))
        thoughts.placed.append((0, ir.Reasoning(text or details_text(foreign), native=native)))
    else:
        thoughts.placed.extend(_spans(text, ours))
    return thoughts


def _plain(message: wire.Message) -> str:
    for spelling in (message.reasoning_content, message.reasoning, message.thinking):
        if isinstance(spelling, str) and spelling:
            return spelling
    return "".join(_block(raw) for raw in message.thinking_blocks or ())


def _block(raw: Raw) -> str:
    """The text of one of LiteLLM's Anthropic-shaped blocks."""
    try:
        block = msgspec.json.decode(raw, type=dict[str, object])
    except msgspec.ValidationError:
        return ""
    text = block.get("thinking")
    return text if isinstance(text, str) else ""


def _entry(raw: Raw) -> wire.Detail | None:
    try:
        return wire.detail.decode(raw)
    except msgspec.ValidationError:
        return None


def _place(entry: wire.Detail, native: ir.Native, into: Thoughts, spans: list[tuple[wire.Detail, ir.Native]]) -> None:
    if entry.on == "text":
        into.text = native
    elif entry.id:
        into.calls[entry.id] = native
    else:
        spans.append((entry, native))


def _spans(text: str, ours: Sequence[tuple[wire.Detail, ir.Native]]) -> Iterable[tuple[int, ir.Reasoning]]:
    """The reasoning text cut as the entries say, what no entry covers as parts without a seal.

    A span that the text does not hold (the client trimmed it) keeps its seal with an empty text.
    """
    at = 0
    for entry, native in sorted(ours, key=lambda pair: pair[0].index or 0):
        start, length = entry.start or 0, entry.length or 0
        whole = at <= start and start + length <= len(text)
        if whole and start > at:
            yield 0, ir.Reasoning(text[at:start])
        yield entry.position or 0, ir.Reasoning(text[start : start + length] if whole else "", native=native)
        at = start + length if whole else at
    if text[at:] and (at or not ours):
        yield 0, ir.Reasoning(text[at:])


def details_text(details: Iterable[Raw]) -> str:
    """The readable text of foreign entries (`reasoning.text`, `reasoning.summary`)."""
    entries = (_entry(raw) for raw in details)
    return "".join(e.text or e.summary or "" for e in entries if e is not None)


def array(items: Sequence[Raw]) -> Raw:
    """Raw values as one raw JSON array."""
    return Raw(b"[" + b",".join(bytes(item) for item in items) + b"]")


def items(native: ir.Native) -> list[Raw]:
    """What `array` put together; empty for anything else."""
    try:
        return msgspec.json.decode(native.data, type=list[Raw])
    except msgspec.DecodeError:
        return []


class Ledger:
    """The running `reasoning_details` of one answered message: counts entries, reasoning characters and calls."""

    __slots__ = ("calls", "characters", "index")

    def __init__(self) -> None:
        self.index = 0
        self.characters = 0
        self.calls = 0

    def reasoning(self, native: ir.Native, length: int) -> list[Raw | Sealed]:
        """The entries for a reasoning part of `length` characters that has just ended."""
        start = self.characters - length
        return self._entries(native, start=start, length=length, position=self.calls or None)

    def call(self, native: ir.Native, call_id: str) -> list[Raw | Sealed]:
        return self._entries(native, id=call_id)

    def text(self, native: ir.Native) -> list[Raw | Sealed]:
        return self._entries(native, on="text")

    def _entries(self, native: ir.Native, **place: object) -> list[Raw | Sealed]:
        if native.owner == wire.NAME:
            own: list[Raw | Sealed] = list(items(native))
            self.index += len(own)
            return own
        entry = Sealed(index=self.index, data=envelope.seal(native), format="llm-mux", **place)  # type: ignore[arg-type]
        self.index += 1
        return [entry]


def google(native: ir.Native) -> dict[str, dict[str, str]] | None:
    """`extra_content` for a Gemini signature, None when the native is no such thing."""
    if native.owner != GEMINI:
        return None
    try:
        signature = msgspec.json.decode(native.data, type=dict[str, str])["thoughtSignature"]
    except (msgspec.DecodeError, KeyError):
        return None
    return {"google": {"thought_signature": signature}}


def from_google(call: wire.Call, family: str = "") -> ir.Native | None:
    """The Gemini signature on a tool call."""
    found = call.extra_content.google if call.extra_content else None
    if found is None or not found.thought_signature:
        return None
    return ir.Native(GEMINI, Raw(msgspec.json.encode({"thoughtSignature": found.thought_signature})), family)


class SentBack(msgspec.Struct, frozen=True):
    """What a server gets of an assistant turn's reasoning; None fields are left out."""

    text: str | None = None
    details: Raw | None = None


_NOTHING = SentBack()


class History:
    """Decides, turn by turn, what reasoning a server gets back."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._quirks = quirks_.of(target)
        self._last = ""

    def next(self, parts: Sequence[ir.Part]) -> SentBack:
        """For the next assistant turn of the conversation."""
        quirks = self._quirks
        if quirks.send_back_reasoning == "never" and not quirks.reasoning_details:
            return _NOTHING
        mine = [p for p in parts if type(p) is ir.Reasoning and self._may_go(p)]
        if quirks.reasoning_details:
            details = [item for p in mine if p.native is not None for item in items(p.native)]
            if details:
                return SentBack(details=array(details))
        calls = any([type(p) is ir.ToolCall for p in parts])
        if quirks.send_back_reasoning == "never" or (quirks.send_back_reasoning == "tool_loops" and not calls):
            return _NOTHING
        text = "".join([p.text for p in mine])
        self._last = text or self._last
        if not text and not calls:
            return _NOTHING
        return SentBack(self._last if quirks.repeat_reasoning else text)

    def _may_go(self, part: ir.Reasoning) -> bool:
        return part.native is None or usable(part.native, wire.NAME, self._target.model)
