"""The history as `system` and `messages`: roles that alternate, results behind their calls, system messages in place.

Rules. A later system message keeps its place where model and host take one there, else it becomes tagged text of a user
turn; it never moves to the top, which would unbind every thinking block after it. The first turn is a user's.
Spec: translation matrix, section 1; the Messages API page, sections 1 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.translators import history, memory
from llm_mux.translators.anthropic import marks, opaque, wire
from llm_mux.translators.anthropic.encode_blocks import Blocks, blocks
from llm_mux.translators.anthropic.outlook import Outlook
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import usable
from llm_mux.wire import jsonx

_GO_ON: Final = "Continue."
_TOLD: Final = frozenset({"system", "developer"})


def ordered(look: Outlook) -> tuple[tuple[ir.Part, ...], tuple[ir.Message, ...]]:
    """The system slot and the conversation after it, in the order that the API demands."""
    claude = ir.family(look.target.model) == "claude"
    slot, rest = history.system_slot(look.request.messages, keep_attribution=claude)
    turns = memory.tidied(look.request.messages, rest)
    if not _TOLD.isdisjoint([turn.role for turn in turns]):
        turns = _with_systems_placed(turns, look)
    return slot, history.alternate(turns)


def _with_systems_placed(turns: Sequence[ir.Message], look: Outlook) -> tuple[ir.Message, ...]:
    allowed = look.facts.system_in_messages and look.quirks.system_in_messages
    placed: list[ir.Message] = []
    for position, turn in enumerate(turns):
        if turn.role not in ("system", "developer"):
            placed.append(turn)
        elif allowed and _may_stand(turns, position):
            placed.append(msgspec.structs.replace(turn, role="system"))
        else:
            for name in opaque.of_system([turn]):
                look.drop(name)
            placed.extend(history.fold_late_system([_without_steering(turn)]))
    return tuple(turn for turn in placed if turn.parts)


def _may_stand(turns: Sequence[ir.Message], position: int) -> bool:
    """After a user's turn, last or before the assistant's, and made of text (or of this format's own blocks)."""
    after_user = position > 0 and turns[position - 1].role == "user"
    last = position + 1 == len(turns)
    fits = all(
        isinstance(part, ir.Text) or (isinstance(part, ir.Opaque) and part.native.owner == NAME)
        for part in turns[position].parts
    )
    return fits and after_user and (last or turns[position + 1].role == "assistant")


def _without_steering(turn: ir.Message) -> ir.Message:
    kept = tuple(part for part in turn.parts if not (isinstance(part, ir.Opaque) and part.hint))
    return msgspec.structs.replace(turn, parts=kept)


def starts_with_thinking(turns: Sequence[ir.Message], model: str) -> bool:
    """Whether manual thinking may go on: the last assistant turn, if it calls tools, begins with its own thought."""
    last = next((turn for turn in reversed(turns) if turn.role == "assistant"), None)
    if last is None or not any(isinstance(part, ir.ToolCall) for part in last.parts):
        return True
    kept = (p for p in last.parts if not isinstance(p, ir.Reasoning) or usable(p.native, NAME, model))
    return isinstance(next(kept, None), ir.Reasoning)


def holds_thinking(turns: Sequence[ir.Message], model: str) -> bool:
    """Whether a thinking block goes back to its model."""
    return any(isinstance(p, ir.Reasoning) and usable(p.native, NAME, model) for turn in turns for p in turn.parts)


class Entry(NamedTuple):
    """One encoded turn; `native`: fields of the message that only this format knows."""

    role: str
    content: Blocks
    native: ir.Native | None = None

    def finished(self) -> wire.MessageOut | Raw:
        turn = wire.MessageOut(self.role, self.content)
        if self.native is None or self.native.owner != NAME:
            return turn
        extras = jsonx.top(bytes(self.native.data))
        return Raw(jsonx.splice(msgspec.json.encode(turn), {key: bytes(value) for key, value in extras.items()}))


def encode(
    turns: Sequence[ir.Message], look: Outlook, *, thinking: bool, prefill: bool, begun: bool = False
) -> list[Entry]:
    """`messages`. `thinking` False leaves thoughts out; `prefill`: the last turn may be the assistant's; `begun`: other
    turns stand before these."""
    out: list[Entry] = []
    for turn in turns:
        content = blocks(turn.parts, turn.role, look, thinking=thinking)
        if content and out and out[-1].role == turn.role:
            out[-1].content.extend(content)
        elif content:
            out.append(Entry(turn.role, content, turn.native))
    if begun and not out:
        return out
    if not begun and (not out or out[0].role != "user"):
        out.insert(0, Entry("user", [wire.Text(_GO_ON)]))
    if out[-1].role == "assistant":
        _end_of_prefill(out, look, prefill=prefill)
    return out


def sealed(turns: Sequence[ir.Message], look: Outlook, *, thinking: bool) -> list[Raw]:
    """The turns at the beginning of a remembered conversation as they were written before, without the last two."""
    if not turns or turns[0].role != "user":
        return []
    write = partial(_seal, look=look, thinking=thinking)
    return memory.written(look.request, turns[:-2], look.target, look.names, (NAME, thinking, look.own), write)


def _seal(turn: ir.Message, look: Outlook, thinking: bool) -> Raw | None:
    """A turn of which nothing depends on the others."""
    lost = len(look.dropped)
    content = blocks(turn.parts, turn.role, look, thinking=thinking)
    if not content or not marks.unmarked(content) or len(look.dropped) != lost:
        return None
    return Raw(jsonx.encode(Entry(turn.role, content, turn.native).finished()))


def _end_of_prefill(out: list[Entry], look: Outlook, *, prefill: bool) -> None:
    """Lets the assistant's last words stand without blanks at their end, or asks to go on where they may not stand."""
    content = out[-1].content
    last = content[-1]
    if isinstance(last, wire.Text) and (prefill or look.own):
        content[-1] = msgspec.structs.replace(last, text=last.text.rstrip())
    if not prefill and not look.own:
        out.append(Entry("user", [wire.Text(_GO_ON)]))
        look.drop("prefill")
