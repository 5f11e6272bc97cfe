"""A conversation put in order before it is encoded: what several upstreams refuse is repaired here, once, for all.

`tidy` gives every encoder the same invariants: no empty turns; consecutive turns of one role are one; every tool call
of a turn is answered in the turn right after it, results first and in the order of the calls, once each; no orphan
result; call ids unique in the conversation; results know their tool's name. Pure and deterministic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter, eq
from typing import TypeGuard

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.translators.ids import digest

MISSING = "No result: the call was interrupted before it finished."


def tidy(messages: Sequence[ir.Message], *, complete: bool = True) -> tuple[ir.Message, ...]:
    """The conversation with the invariants above. `complete` False leaves calls of the last turn unanswered."""
    found = orderly(messages)
    return repaired(messages, complete=complete) if found is None else found


def repaired(messages: Sequence[ir.Message], *, complete: bool = True) -> tuple[ir.Message, ...]:
    """What `tidy` gives, the long way, for conversations in any state."""
    cleaned = [m for m in (_without_blanks(message) for message in messages) if m.parts]
    return _answered(_unique_ids(_merged(cleaned)), complete)


def orderly(messages: Sequence[ir.Message]) -> tuple[ir.Message, ...] | None:
    """A conversation of which nothing has to be repaired, with names on its results and turns of one role in a row as
    one: a single look, for nearly all there are. None for any other."""
    out: list[ir.Message] = []
    calls: list[ir.ToolCall] = []
    ids: list[str] = []
    turn: list[ir.Message] = []
    after_model = False
    for message in messages:
        role = message.role
        if role == "user":
            turn.append(message)
            continue
        model = role == "assistant"
        if turn:
            if not model or (answer := _as_one(turn, calls)) is None:
                return None
            out.append(answer)
            turn, calls = [], []
            after_model = False
        parts = message.parts
        if not parts or (after_model and not model) or not _sound(parts, calls, ids):
            return None
        if not after_model:
            out.append(message)
        elif not _mergeable(before := out[-1], message):
            return None
        else:
            out[-1] = ir.Message(role, before.parts + parts, before.name, before.phase, before.native)
        after_model = model
    if turn or calls:
        if (answer := _as_one(turn, calls)) is None:
            return None
        out.append(answer)
    return tuple(out) if len(set(ids)) == len(ids) else None


def _sound(parts: Sequence[ir.Part], calls: list[ir.ToolCall], ids: list[str]) -> bool:
    """Whether a turn that is no user's has nothing to repair. Its calls are added to `calls` and `ids`."""
    for part in parts:
        if type(part) is ir.ToolCall:
            calls.append(part)
            ids.append(part.id)
        elif type(part) is ir.Text:
            if (not part.text or part.text.isspace()) and part.native is None:
                return False
        elif type(part) is ir.ToolResult:
            return False
    return True


def _as_one(turn: Sequence[ir.Message], calls: Sequence[ir.ToolCall]) -> ir.Message | None:
    """A user's turns in a row as one that answers just these calls in their order; None for anything else."""
    if not turn:
        return None
    first = turn[0]
    parts = first.parts
    if len(turn) == 1 and len(parts) == 1 == len(calls):
        # One call and its result, as most turns of an agent are.
        only, call = parts[0], calls[0]
        if type(only) is not ir.ToolResult or only.call_id != call.id:
            return None
        return ir.Message("user", (_result(call, only),), first.name, first.phase, first.native)
    if len(turn) > 1:
        if not parts or not all([message.parts and _mergeable(first, message) for message in turn[1:]]):
            return None
        parts = tuple([part for message in turn for part in message.parts])
    if not parts or len(parts) < len(calls):
        return None
    results: list[ir.Part] = []
    for part, call in zip(parts, calls, strict=False):
        if type(part) is not ir.ToolResult or part.call_id != call.id:
            return None
        results.append(_result(call, part))
    rest = parts[len(calls) :]
    for part in rest:
        if type(part) is ir.ToolResult or (type(part) is ir.Text and _blank(part)):
            return None
    if len(turn) == 1 and not calls:
        return first
    return ir.Message("user", (*results, *rest), first.name, first.phase, first.native)


def names_speakers(messages: Sequence[ir.Message]) -> bool:
    """Whether turns carry the names of their speakers, for which only OpenAI's chat format has a place."""
    return any(map(_name, messages))


_name = attrgetter("name")


def alternate(messages: Sequence[ir.Message]) -> tuple[ir.Message, ...]:
    """Every run of turns of one role as one turn, whatever their names and phases (Anthropic, Gemini, Bedrock), of
    turns that `tidy` has put in order."""
    roles = [message.role for message in messages]
    if not any(map(eq, roles, roles[1:])):
        return tuple(messages)
    return tuple(_merged(messages, strictly=True))


def system_slot(
    messages: Sequence[ir.Message], *, keep_attribution: bool = False
) -> tuple[tuple[ir.Part, ...], tuple[ir.Message, ...]]:
    """The parts of the leading system and developer messages, and the conversation after them.

    `keep_attribution` False leaves out the line by which Claude Code marks its requests to Claude: it means nothing
    elsewhere and would break the prompt caches of others.
    """
    leading = 0
    while leading < len(messages) and messages[leading].role in ("system", "developer"):
        leading += 1
    parts = (part for message in messages[:leading] for part in message.parts)
    return tuple(p for p in parts if keep_attribution or not is_attribution(p)), tuple(messages[leading:])


ATTRIBUTION = ir.Native("anthropic", Raw(b'{"attribution":true}'))
"""What the decoder of Anthropic's format puts on that line."""


def is_attribution(part: ir.Part) -> bool:
    """Whether `part` is Claude Code's attribution line."""
    return isinstance(part, ir.Text) and part.native is not None and part.native == ATTRIBUTION


def fold_late_system(messages: Sequence[ir.Message]) -> tuple[ir.Message, ...]:
    """Later system messages as tagged text in a user turn, after that turn's tool results; never hoisted to the top."""
    return tuple(_merged([_as_user(m) if m.role in ("system", "developer") else m for m in messages]))


def _as_user(message: ir.Message) -> ir.Message:
    text = ir.joined(message.parts, "\n\n")
    tagged = (ir.Text(f"<system>\n{text}\n</system>"),) if text.strip() else ()
    others = tuple(part for part in message.parts if not isinstance(part, ir.Text))
    return ir.Message("user", (*tagged, *others))


def _without_blanks(message: ir.Message) -> ir.Message:
    for part in message.parts:
        if type(part) is ir.Text and _blank(part):
            break
    else:
        return message
    return msgspec.structs.replace(message, parts=tuple(part for part in message.parts if not _blank(part)))


def _blank(part: ir.Part) -> bool:
    return isinstance(part, ir.Text) and (not part.text or part.text.isspace()) and part.native is None


def _merged(messages: Iterable[ir.Message], *, strictly: bool = False) -> list[ir.Message]:
    merged: list[ir.Message] = []
    last: ir.Message | None = None
    for message in messages:
        if last is not None and last.role == message.role and (strictly or _mergeable(last, message)):
            parts = _results_first(last.parts + message.parts) if last.role == "user" else last.parts + message.parts
            merged[-1] = last = msgspec.structs.replace(last, parts=parts)
        else:
            last = message
            if message.role == "user" and (parts := _results_first(message.parts)) is not message.parts:
                last = msgspec.structs.replace(message, parts=parts)
            merged.append(last)
    return merged


def _mergeable(last: ir.Message, message: ir.Message) -> bool:
    return message.role in ("user", "assistant") and (last.name, last.phase) == (message.name, message.phase)


def _results_first(parts: tuple[ir.Part, ...]) -> tuple[ir.Part, ...]:
    if len(parts) == 1:
        return parts
    results = tuple([part for part in parts if isinstance(part, ir.ToolResult)])
    if not results or parts[: len(results)] == results:
        return parts
    return results + tuple(part for part in parts if not isinstance(part, ir.ToolResult))


def _unique_ids(messages: Sequence[ir.Message]) -> list[ir.Message]:
    """Later calls that reuse an id get a new one, and the results that follow them too."""
    ids = [part.id for message in messages for part in message.parts if type(part) is ir.ToolCall]
    if len(set(ids)) == len(ids):
        return list(messages)
    seen: set[str] = set()
    renamed: dict[str, str] = {}
    out: list[ir.Message] = []
    for message in messages:
        if message.role == "assistant":
            renamed = {}
        parts = tuple(_with_unique_id(part, seen, renamed) for part in message.parts)
        out.append(msgspec.structs.replace(message, parts=parts))
    return out


def _with_unique_id(part: ir.Part, seen: set[str], renamed: dict[str, str]) -> ir.Part:
    if isinstance(part, ir.ToolCall):
        if part.id in seen:
            renamed[part.id] = "call_" + digest(f"{part.id}\x00{len(seen)}")
            part = msgspec.structs.replace(part, id=renamed[part.id])
        seen.add(part.id)
    elif isinstance(part, ir.ToolResult) and part.call_id in renamed:
        part = msgspec.structs.replace(part, call_id=renamed[part.call_id])
    return part


def _answered(messages: list[ir.Message], complete: bool) -> tuple[ir.Message, ...]:
    out: list[ir.Message] = []
    position = 0
    while position < len(messages):
        message = messages[position]
        position += 1
        if message.role != "assistant":
            out.extend(_kept(_without_orphans(message)))
            continue
        calls = [part for part in message.parts if type(part) is ir.ToolCall]
        until = position
        while until < len(messages) and messages[until].role != "assistant":
            until += 1
        following = messages[position:until]
        position = until
        out.append(message)
        if calls and len(following) == 1 and (answered := _in_order(calls, following[0])) is not None:
            out.append(answered)
            continue
        if calls and (following or complete or until < len(messages)):
            following = _with_results(calls, following)
        out.extend(kept for m in following for kept in _kept(_without_orphans(m, calls)))
    return tuple(_merged(out))


def _kept(message: ir.Message) -> list[ir.Message]:
    return [message] if message.parts else []


def _in_order(calls: Sequence[ir.ToolCall], turn: ir.Message) -> ir.Message | None:
    """`turn` with names on its results when it answers just these calls in their order; None for anything else."""
    results: list[ir.Part] = []
    for part, call in zip(turn.parts, calls, strict=False):
        if type(part) is not ir.ToolResult or part.call_id != call.id:
            return None
        results.append(_result(call, part))
    rest = turn.parts[len(calls) :]
    if turn.role != "user" or len(results) < len(calls) or any(type(part) is ir.ToolResult for part in rest):
        return None
    return ir.Message(turn.role, (*results, *rest), turn.name, turn.phase, turn.native)


def _with_results(calls: list[ir.ToolCall], following: list[ir.Message]) -> list[ir.Message]:
    """`following` with one user turn in front that answers every call, in order; the last of duplicates counts."""
    wanted = {call.id: call for call in calls}
    found: dict[str, ir.ToolResult] = {}
    rest: list[ir.Message] = []
    for message in following:
        for part in message.parts:
            if isinstance(part, ir.ToolResult) and part.call_id in wanted:
                found[part.call_id] = part
        left = tuple(p for p in message.parts if not (isinstance(p, ir.ToolResult) and p.call_id in wanted))
        rest.append(msgspec.structs.replace(message, parts=left))
    results = tuple(_result(call, found.get(call.id)) for call in wanted.values())
    return [ir.Message("user", results), *(message for message in rest if message.parts)]


def _result(call: ir.ToolCall, result: ir.ToolResult | None) -> ir.ToolResult:
    if result is None:
        return ir.ToolResult(call.id, (ir.Text(MISSING),), name=call.name, is_error=True, custom=call.custom)
    custom = call.custom or result.custom
    if result.name == call.name and result.custom is custom:
        return result
    return ir.ToolResult(
        result.call_id, result.content, call.name, result.is_error, custom, result.cache, result.native
    )


def _without_orphans(message: ir.Message, calls: Sequence[ir.ToolCall] = ()) -> ir.Message:
    """Results that answer no call of the turn before become user text: the words stay, the pairing error goes."""
    ids = {call.id for call in calls}
    if not any(isinstance(part, ir.ToolResult) and part.call_id not in ids for part in message.parts):
        return message
    parts: list[ir.Part] = []
    for part in message.parts:
        if isinstance(part, ir.ToolResult) and part.call_id not in ids:
            parts.extend(_as_text(part))
        else:
            parts.append(part)
    return msgspec.structs.replace(message, parts=tuple(parts))


def _as_text(result: ir.ToolResult) -> list[ir.Part]:
    label = f"[Result of an earlier tool call{f' ({result.name})' if result.name else ''}]"
    text = ir.joined(result.content, "\n")
    rest = [part for part in result.content if not isinstance(part, ir.Text)]
    return [ir.Text(f"{label}\n{text}".rstrip()), *rest]


def result_text(result: ir.ToolResult, *, mark_errors: bool = True) -> str:
    """A result as plain text for formats that hold only that; "Error: " in front when the flag would be lost."""
    content = result.content
    if len(content) == 1 and type(content[0]) is ir.Text:
        text = content[0].text
    else:
        text = "\n".join(part.text for part in content if isinstance(part, ir.Text | ir.Refusal) or _stands_in(part))
    if mark_errors and result.is_error and not text.lower().startswith("error"):
        return f"Error: {text}" if text else "Error"
    return text


def _stands_in(part: ir.Part) -> TypeGuard[ir.Opaque]:
    """Whether `part` is of another format and has words for those who cannot read it."""
    return isinstance(part, ir.Opaque) and not part.hint and bool(part.text)


def result_media(result: ir.ToolResult) -> tuple[ir.Part, ...]:
    """The images and files of a result, which such formats carry in a user message after all results of the turn."""
    return tuple(part for part in result.content if isinstance(part, ir.Image | ir.Document | ir.Audio | ir.Video))
