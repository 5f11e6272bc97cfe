"""Messages of chat completions as steps: texts said by turns, calls, and their results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec
from msgspec import UNSET, Raw, Struct

from llm_mux.translators.openai_chat.outline import Plain
from llm_mux.translators.openai_chat.plain import said
from llm_mux.translators.steps import Block, Read, Result
from llm_mux.translators.steps import Call as Called
from llm_mux.wire import jsonx

_IDS: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}(?:,[a-zA-Z0-9_-]{1,64})*")
"""Ids that every upstream takes, as `ids.legal` says."""
_EMPTY: Final = Raw(b'""')
_SILENT: Final = (Raw(b"null"), _EMPTY)


class _Function(Struct):
    name: str
    arguments: str


_functions: Final[msgspec.json.Decoder[list[_Function]]] = msgspec.json.Decoder(list[_Function])


def read(found: Sequence[Any], begun: bool) -> Read | None:
    """The steps of some messages' outlines, as a `translators.steps.Reader`."""
    system: Raw | None = None
    if not begun and found and found[0].role == "system":
        system, found = found[0].content, found[1:]
    calls = _called(found) if found and found[0].role == ("assistant" if begun else "user") else None
    walk = None if calls is None else _walk(found, calls)
    if calls is None or walk is None:
        return None
    ids, texts = [call.id for call in calls], walk.texts if system is None else [system, *walk.texts]
    if said(texts) is None or not _are_legal(ids):
        return None
    return Read(system, walk.turns, ids, frozenset([call.name for call in calls]))


def _called(found: Sequence[Plain]) -> list[Called] | None:
    """All calls in their order; None where one is called in another way, or its arguments are no object."""
    calls = [call for message in found if message.tool_calls for call in message.tool_calls]
    if any([call.function is UNSET or call.custom is not UNSET or call.extra_content is not UNSET for call in calls]):
        return None
    try:
        functions = _functions.decode(b"[%b]" % b",".join([cast(Raw, call.function) for call in calls]))
    except ValueError:
        return None
    given = [function.arguments for function in functions]
    if not all([text.startswith("{") for text in given]):
        return None
    ids, names = [call.id for call in calls], [function.name for function in functions]
    return list(map(Called, cast(list[str], ids), names, _objects(given))) if all(ids) else None


def _objects(texts: Sequence[str]) -> list[Raw]:
    """The JSON objects of calls' arguments, all of them read at once where they are as they should be."""
    found = jsonx.elements(f"[{','.join(texts)}]".encode())
    # Where each is as long as its text, none of them begins or ends elsewhere.
    return found if list(map(len, found)) == list(map(len, texts)) else list(map(jsonx.object_arguments, texts))


class _Walked(NamedTuple):
    turns: list[list[Block]]
    texts: list[Raw]


def _walk(found: Sequence[Plain], calls: Sequence[Called]) -> _Walked | None:
    """The turns, and all texts in them; None where a call is not answered in its turn or the client has not the last
    word. Hundreds of messages go through this for each request."""
    turns: list[list[Block]] = []
    texts: list[Raw] = []
    waiting: list[str] = []
    model: list[Block] | None = None
    client: list[Block] | None = None
    done = 0
    for message in found:
        role, content, more = message.role, message.content, message.tool_calls
        if role == "assistant":
            if waiting:
                return None
            if model is None:
                model, client = [], None
                turns.append(model)
            if content not in _SILENT:
                texts.append(content)
                model.append(content)
            if more:
                made = calls[done : done + len(more)]
                model += made
                waiting = [call.id for call in reversed(made)]
                done += len(more)
            continue
        answered = message.tool_call_id
        if (
            more
            or (answered != waiting.pop() if waiting else answered is not None)
            or (role == "user") != (not answered)
        ):
            return None
        if client is None:
            model, client = None, []
            turns.append(client)
        if answered is None:
            client.append(content)
        elif content == _EMPTY:
            client.append(Result(answered, None))
            continue
        else:
            client.append(Result(answered, content))
        texts.append(content)
    return _Walked(turns, texts) if client is not None and not waiting and all(turns) else None


def _are_legal(ids: Sequence[str]) -> bool:
    """Whether every id can go as it is, and none is there twice."""
    if not ids:
        return True
    joined = ",".join(ids)
    return len(set(ids)) == len(ids) == joined.count(",") + 1 and _IDS.fullmatch(joined) is not None
