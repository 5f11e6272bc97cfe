"""Messages of chat completions as steps: texts said by turns, calls, and their results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

from msgspec import UNSET, Raw

from llm_mux.translators.openai_chat.outline import Function, Plain
from llm_mux.translators.openai_chat.plain import are_said
from llm_mux.translators.steps import Piece, Read, Telling
from llm_mux.wire import jsonx

_IDS: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}(?:,[a-zA-Z0-9_-]{1,64})*")
"""Ids that every upstream takes, as `ids.legal` says."""
_EMPTY: Final = Raw(b'""')
_SILENT: Final = (Raw(b"null"), _EMPTY)
_SHORT: Final = len("null")
_BRACE: Final = bytearray(b"{")
"""Of JSON values only objects sort behind it."""


def read(found: Sequence[Any], begun: bool, telling: Telling) -> Read | None:
    """The steps of some messages' outlines, as a `translators.steps.Reader`."""
    system: Raw | None = None
    if not begun and found and found[0].role == "system":
        system, found = found[0].content, found[1:]
    calls = _called(found) if found and found[0].role == ("assistant" if begun else "user") else None
    walk = None if calls is None else _walk(found, begun, calls, telling)
    if calls is None or walk is None:
        return None
    if not are_said(walk.texts if system is None else [system, *walk.texts]):
        return None
    return Read(system, walk.turns, calls.ids, frozenset(calls.names), walk.calls)


class _Called(NamedTuple):
    """Calls in their order. Every id can go as it is, and none is there twice."""

    ids: Sequence[str]
    names: Sequence[str]
    arguments: Sequence[Raw]
    sent_ids: Sequence[bytes]
    sent_names: Sequence[bytes]


_NO_CALLS: Final = _Called((), (), (), (), ())


def _called(found: Sequence[Plain[Function]]) -> _Called | None:
    """All calls; None where one is called in another way, or its arguments are no object."""
    calls = [call for message in found if message.tool_calls for call in message.tool_calls]
    if not calls:
        return _NO_CALLS
    if any([call.custom is not UNSET or call.extra_content is not UNSET for call in calls]):
        return None
    functions = [call.function for call in calls if type(call.function) is Function]
    ids, names = [call.id for call in calls], [function.name for function in functions]
    if not all(ids) or len(names) < len(ids):
        return None
    given = _objects([function.arguments for function in functions])
    if given is None:
        return None
    listed = ",".join(cast(list[str], ids))
    sent_ids, sent_names = listed.encode().split(b","), ",".join(names).encode().split(b",")
    if not len(set(ids)) == len(ids) == len(sent_ids) == len(sent_names) or _IDS.fullmatch(listed) is None:
        return None
    return _Called(cast(list[str], ids), names, given, sent_ids, sent_names)


def _objects(texts: Sequence[str]) -> list[Raw] | None:
    """The JSON objects of calls' arguments, all of them read at once where they are as they should be; None: one is
    none."""
    found = jsonx.elements(f"[{','.join(texts)}]".encode())
    # Where each is as long as its text, none of them begins or ends elsewhere.
    if list(map(len, found)) == list(map(len, texts)):
        return found if all([each >= _BRACE for each in found]) else None
    return list(map(jsonx.object_arguments, texts)) if all([text[:1] == "{" for text in texts]) else None


class _Walked(NamedTuple):
    turns: list[Piece]
    texts: list[Raw]
    calls: bool


def _walk(found: Sequence[Plain[Function]], begun: bool, calls: _Called, to: Telling) -> _Walked | None:
    """The turns, and all texts in them; None where a call is not answered in its turn, a turn is empty or the client
    has not the last word. Hundreds of messages go through this for each request: each is written as it is read."""
    ids, sent = calls.ids, calls.sent_ids
    out: list[Piece] = []
    texts: list[Raw] = []
    said = answered = 0
    speaker, fresh, called = "user" if begun else "", False, False
    for message in found:
        role, content, more = message.role, message.content, message.tool_calls
        if role == "assistant":
            if answered < said:
                return None
            if speaker != "assistant":
                out.append(to.assistant[0])
                speaker, fresh = "assistant", True
            if len(content) > _SHORT or content not in _SILENT:
                texts.append(content)
                out += (to.text[fresh], content, to.text_end)
                fresh = False
            called = bool(more)
            for _ in more or ():
                name, given = calls.sent_names[said], calls.arguments[said]
                out += (to.call[fresh], sent[said], to.call_named, name, to.call_given, given, to.call_end)
                said, fresh = said + 1, False
            continue
        if more or (fresh and speaker == "assistant"):
            return None
        if speaker != "user":
            out.append(to.user[not speaker])
            speaker, fresh = "user", True
        if role == "tool":
            if answered == said or message.tool_call_id != ids[answered]:
                return None
            answered += 1
            if content == _EMPTY:
                out += (to.nothing[fresh], sent[answered - 1], to.nothing_end)
                fresh = False
                continue
            out += (to.result[fresh], sent[answered - 1], to.result_said, content, to.result_end)
        elif role == "user" and answered == said and message.tool_call_id is None:
            out += (to.text[fresh], content, to.text_end)
        else:
            return None
        texts.append(content)
        fresh = False
    return _Walked(out, texts, called) if speaker == "user" and answered == said else None
