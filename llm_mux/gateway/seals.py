"""Reasoning and signatures that clients strip, kept for the turn that needs them back. Bounded, in memory, per tenant.

What came before a tool call (reasoning with its seal, the call's own signature) is remembered under the call's id and
under its name and arguments (Ollama's clients lose ids). When the call comes back without it, it is put in again. Other
processes hear of it before the answer ends (`elsewhere`), so the next turn may reach any of them. They are asked for
the newest calls of which nothing is known here, and not again soon where nobody knew: most calls never had a seal.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from operator import is_
from typing import Protocol

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.translators.ids import digest

_MOST_ENTRIES = 4096
_MOST_BYTES = 32 << 20
LIFE_S = 24 * 3600.0
_MOST_LOOKED_FOR = 8
"""Calls of one request that are asked for elsewhere, the newest."""
_VAIN_S = 60.0
"""For so long nobody is asked again for a call that nobody knew."""

_Data = tuple[str, bytes, str]


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """What one process tells another: where it belongs, reasoning as (text, raw, seal), the call's own seal."""

    keys: tuple[str, ...]
    reasoning: list[tuple[str, bool, _Data | None]]
    native: _Data | None


class Elsewhere(Protocol):
    """Where other processes keep theirs."""

    def told(self, keys: Sequence[str], packed: bytes) -> None:
        """Something new; whoever must know that it has arrived asks `settled`."""

    async def found(self, keys: Sequence[str]) -> tuple[list[bytes], bool]:
        """What is there of it, and whether everybody answered."""

    @property
    def telling(self) -> bool:
        """Whether something that was told may not have arrived."""

    @property
    def current(self) -> bool:
        """Whether all that others keep was told here, as far as is known."""

    async def settled(self) -> None:
        """What was told has arrived, or there is no sense in waiting for it."""


class _Kept(msgspec.Struct, frozen=True):
    reasoning: tuple[ir.Reasoning, ...]
    native: ir.Native | None
    until: float
    size: int


class Seals:
    """The store. Oldest entries go first when it is full."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0
        self._vain: dict[str, float] = {}
        self.elsewhere: Elsewhere | None = None

    def keep(self, tenant: str, parts: Sequence[ir.Part], now: float) -> None:
        """Remembers what an answer's tool calls need, if anything does."""
        reasoning: list[ir.Reasoning] = []
        for part in parts:
            if isinstance(part, ir.Reasoning):
                reasoning.append(part)
            elif isinstance(part, ir.ToolCall):
                if reasoning or part.native is not None:
                    self._put(tenant, part, tuple(reasoning), now)
                reasoning = []

    def restore(self, tenant: str, request: ir.Request, now: float) -> ir.Request:
        """`request` with what its client stripped from earlier tool calls."""
        if not self._kept:
            return request
        messages = tuple([self._restored(tenant, m, now) if m.role == "assistant" else m for m in request.messages])
        if all(map(is_, messages, request.messages)):
            # What is remembered of the conversation is bound to these very messages.
            return request
        return msgspec.structs.replace(request, messages=messages)

    @property
    def any(self) -> bool:
        """Whether there may be something to put back into a request."""
        return bool(self._kept) or (self.elsewhere is not None and not self.elsewhere.current)

    @property
    def telling(self) -> bool:
        """Whether other processes may not have heard yet what was kept."""
        return self.elsewhere is not None and self.elsewhere.telling

    def unknown(self, tenant: str, request: ir.Request, now: float) -> list[tuple[str, str]]:
        """The keys of each of the newest calls without a seal that other processes are to be asked for."""
        found: list[tuple[str, str]] = []
        left = _MOST_LOOKED_FOR if self.elsewhere is not None else 0
        for message in reversed(request.messages):
            if not left:
                break
            if message.role != "assistant" or any([_sealed(part) for part in message.parts]):
                continue
            calls = [part for part in message.parts if type(part) is ir.ToolCall][-left:]
            left -= len(calls)
            for call in calls:
                if self._vain.get(_by_id(tenant, call), now) <= now and self._find(tenant, call, now) is None:
                    found.append(_keys(tenant, call))
        return found

    async def recalled(self, tenant: str, request: ir.Request, now: float) -> bool:
        """Whether other processes had something for the calls of `request` that nothing is known of here."""
        if self.elsewhere is None or not (unknown := self.unknown(tenant, request, now)):
            return False
        found, everybody = await self.elsewhere.found([key for keys in unknown for key in keys])
        for packed in found:
            self.take(packed, now)
        if everybody:
            if len(self._vain) >= _MOST_ENTRIES:
                self._vain.clear()
            self._vain |= {keys[0]: now + _VAIN_S for keys in unknown if self._kept.keys().isdisjoint(keys)}
        return bool(found)

    def take(self, packed: bytes, now: float) -> None:
        """What another process has kept."""
        sent = msgspec.msgpack.decode(packed, type=_Packed)
        reasoning = tuple(ir.Reasoning(text, _native(data), raw) for text, raw, data in sent.reasoning)
        self._hold(sent.keys, reasoning, _native(sent.native), now)

    def packed(self, keys: Iterable[str] | None = None) -> list[bytes]:
        """What is kept under `keys`, or all of it, for another process; oldest first."""
        whole: dict[int, tuple[list[str], _Kept]] = {}
        wanted = list(self._kept) if keys is None else [key for key in keys if key in self._kept]
        for key in wanted:
            kept = self._kept[key]
            whole.setdefault(id(kept), ([], kept))[0].append(key)
        return [_pack(keys, kept) for keys, kept in whole.values()]

    def _restored(self, tenant: str, message: ir.Message, now: float) -> ir.Message:
        parts: list[ir.Part] = []
        had_reasoning = any(isinstance(part, ir.Reasoning) and part.native is not None for part in message.parts)
        for part in message.parts:
            kept = self._find(tenant, part, now) if isinstance(part, ir.ToolCall) else None
            if kept is None or not isinstance(part, ir.ToolCall):
                parts.append(part)
                continue
            if not had_reasoning:
                parts = [p for p in parts if not (kept.reasoning and isinstance(p, ir.Reasoning))]
                parts.extend(kept.reasoning)
            own = part.native is not None or kept.native is None
            parts.append(part if own else msgspec.structs.replace(part, native=kept.native))
        if len(parts) == len(message.parts) and all(map(is_, parts, message.parts)):
            return message
        return msgspec.structs.replace(message, parts=tuple(parts))

    def _find(self, tenant: str, call: ir.ToolCall, now: float) -> _Kept | None:
        for key in (_by_id, _by_content):  # the second is dear, and mostly not needed
            kept = self._kept.get(key(tenant, call))
            if kept is not None and kept.until > now:
                return kept
        return None

    def _put(self, tenant: str, call: ir.ToolCall, reasoning: tuple[ir.Reasoning, ...], now: float) -> None:
        keys = _keys(tenant, call)
        kept = self._hold(keys, tuple(_owned(r) for r in reasoning), _copied(call.native), now)
        if self.elsewhere is not None:
            self.elsewhere.told(keys, _pack(keys, kept))

    def _hold(
        self, keys: Sequence[str], reasoning: tuple[ir.Reasoning, ...], own: ir.Native | None, now: float
    ) -> _Kept:
        natives = [native for native in (own, *(r.native for r in reasoning)) if native is not None]
        size = 200 + sum(len(r.text) for r in reasoning) + sum(len(bytes(native.data)) for native in natives)
        kept = _Kept(reasoning, own, now + LIFE_S, size)
        for key in keys:
            old = self._kept.pop(key, None)
            self._bytes += size - (old.size if old else 0)
            self._kept[key] = kept
        while len(self._kept) > _MOST_ENTRIES or self._bytes > _MOST_BYTES:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= gone.size
        return kept


def _by_id(tenant: str, call: ir.ToolCall) -> str:
    return f"{tenant}\x00{call.id}"


def _by_content(tenant: str, call: ir.ToolCall) -> str:
    return f"{tenant}\x00{digest(f'{call.name}{chr(0)}{_squeezed(call.arguments)}')}"


def _keys(tenant: str, call: ir.ToolCall) -> tuple[str, str]:
    return _by_id(tenant, call), _by_content(tenant, call)


def _sealed(part: ir.Part) -> bool:
    return isinstance(part, ir.Reasoning | ir.ToolCall) and part.native is not None


def _pack(keys: Sequence[str], kept: _Kept) -> bytes:
    reasoning = [(part.text, part.raw, _data(part.native)) for part in kept.reasoning]
    return msgspec.msgpack.encode(_Packed(tuple(keys), reasoning, _data(kept.native)))


def _data(native: ir.Native | None) -> _Data | None:
    return None if native is None else (native.owner, bytes(native.data), native.family)


def _native(data: _Data | None) -> ir.Native | None:
    return None if data is None else ir.Native(data[0], Raw(data[1]), data[2])


def _squeezed(arguments: str) -> str:
    """Arguments with insignificant differences (spaces, empty text) taken out."""
    try:
        return msgspec.json.encode(msgspec.json.decode(arguments or "{}"), order="sorted").decode()
    except (msgspec.DecodeError, UnicodeError):
        return arguments


def _copied(native: ir.Native | None) -> ir.Native | None:
    return None if native is None else msgspec.structs.replace(native, data=native.data.copy())


def _owned(reasoning: ir.Reasoning) -> ir.Reasoning:
    return msgspec.structs.replace(reasoning, native=_copied(reasoning.native))


class Watcher:
    """Follows a stream's events and keeps what its tool calls need, with next to no work when nothing is sealed."""

    __slots__ = ("_parts", "_seals", "_tenant", "_text", "_wanted")

    def __init__(self, seals: Seals, tenant: str) -> None:
        self._seals = seals
        self._tenant = tenant
        self._parts: dict[int, ir.Part] = {}
        self._text: dict[int, list[str]] = {}
        self._wanted = False

    def piece(self, event: ir.ReasoningDelta | ir.ArgumentsDelta) -> None:
        """Takes note of a piece of reasoning or of a call's arguments."""
        pieces = self._text.get(event.index)
        if pieces is not None:
            pieces.append(event.text)

    def note(self, event: ir.Event) -> None:
        """Takes note of one event other than a text delta."""
        match event:
            case ir.PartStart(index=index, part=ir.Reasoning() | ir.ToolCall() as part):
                self._parts[index] = part
                self._text[index] = []
                self._wanted = self._wanted or isinstance(part, ir.Reasoning) or part.native is not None
            case ir.ReasoningDelta() | ir.ArgumentsDelta():
                self.piece(event)
            case ir.Seal(index=index, native=native) if index in self._parts:
                self._parts[index] = msgspec.structs.replace(self._parts[index], native=native)
                self._wanted = True
            case _:
                pass

    @property
    def keeps(self) -> bool:
        """Whether there is something to hand over."""
        return self._wanted and any(isinstance(part, ir.ToolCall) for part in self._parts.values())

    def settle(self, now: float) -> None:
        """Hands over what was gathered, at the end of the stream."""
        if self.keeps:
            self._seals.keep(self._tenant, [self._whole(index) for index in sorted(self._parts)], now)

    def _whole(self, index: int) -> ir.Part:
        part, more = self._parts[index], "".join(self._text[index])
        if isinstance(part, ir.ToolCall):
            return msgspec.structs.replace(part, arguments=part.arguments + more)
        return msgspec.structs.replace(part, text=part.text + more) if isinstance(part, ir.Reasoning) else part
