"""What one look at a Messages request reads: the fields that say where it goes, and whether it can go there as it is.

Rule: every value that is not looked into stays `Raw` (a view of the body), so the cost is that of skipping the bytes
once. Histories of texts, thoughts, calls, results, images and the server's own searches are `Usual`; of any other only
the `Head` is read.
Clients move their cache marks with each turn: what stands before the first of them is what comes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Literal, TypeAlias, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux.translators.anthropic import seals
from llm_mux.translators.base import Outline, Repeats
from llm_mux.translators.memory import MARK

Field: TypeAlias = Raw | UnsetType


class _Thinking(Struct, frozen=True):
    type: str | None = None


class _Choice(Struct, frozen=True):
    type: str | None = None


class Head(Outline, frozen=True):
    """The top-level fields that decide."""

    max_tokens: int | None = None
    system: Field = UNSET
    thinking: _Thinking | None = None
    tool_choice: _Choice | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    output_config: Field = UNSET
    thread: Field = UNSET
    context_management: Field = UNSET
    container: Field = UNSET
    mcp_servers: Field = UNSET
    service_tier: Field = UNSET
    metadata: Field = UNSET


OPTIONAL: Final = frozenset(each.name for each in msgspec.structs.fields(Head) if each.default is UNSET)
"""The fields of which a `Head` says whether they were sent."""


class _Block(Struct, tag_field="type", gc=False):
    cache_control: Field = UNSET


class Text(_Block, tag="text"):
    text: Raw = Raw(b'""')


class Thinking(_Block, tag="thinking"):
    signature: Field = UNSET


class Use(_Block, tag="tool_use"):
    pass


class Result(_Block, tag="tool_result"):
    content: Field = UNSET


class Image(_Block, tag="image"):
    pass


class Redacted(_Block, tag="redacted_thinking"):
    pass


class Search(_Block, tag="server_tool_use"):
    id: str = ""


class Searched(_Block, tag="web_search_tool_result"):
    tool_use_id: str = ""


Block: TypeAlias = Text | Thinking | Use | Result | Image | Redacted | Search | Searched


class Message(Struct, gc=False):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block] = ""
    cache_control: Field = UNSET


class Tool(Struct, gc=False):
    type: str | None = None
    name: str = ""


_inner: Final[msgspec.json.Decoder[list[Block]]] = msgspec.json.Decoder(list[Text | Image])
_BLANK: Final = len(b'""')
_BRACKET: Final = ord("[")
_MARKED: Final = MARK[1:-1].decode()


def are_sound(messages: Sequence[Message]) -> bool:
    """Whether nothing in them is ours or blank, as far as that can be told without a look at all bytes. An agent's
    history is hundreds of blocks."""
    for message in messages:
        if isinstance(message.content, str):
            continue
        for block in message.content:
            if isinstance(block, Text):
                if len(block.text) <= _BLANK:
                    return False
            elif isinstance(block, Result):
                if isinstance(block.content, Raw) and memoryview(block.content)[0] == _BRACKET and not _plain(block):
                    return False
            elif isinstance(block, Thinking):
                if _is_ours(block.signature):
                    return False
            elif isinstance(block, Search | Searched) and _stands_in(block):
                return False
    return True


def _is_ours(signature: Field) -> bool:
    return isinstance(signature, Raw) and bytes(signature).startswith(seals.TRACE)


def _stands_in(block: Search | Searched) -> bool:
    """Whether it is one of ours for another vendor's search."""
    return (block.id if isinstance(block, Search) else block.tool_use_id).startswith(seals.SEARCH_ID)


def _plain(result: Result) -> bool:
    """Whether what a tool gave back is texts and images, and no text is blank."""
    try:
        return are_sound([Message("user", _inner.decode(bytes(cast(Raw, result.content))))])
    except msgspec.DecodeError:
        return False


def _lasting(messages: Sequence[Message]) -> int:
    """How many of the first messages have no cache mark."""
    for number, message in enumerate(messages):
        if message.cache_control is not UNSET:
            return number
        content = message.content
        if not isinstance(content, str) and any([block.cache_control is not UNSET for block in content]):
            return number
    return len(messages)


_SOUND: Final = {role: Message(role) for role in ("user", "assistant", "system")}
_UNSOUND: Final = {role: Message(role, [Text()]) for role in ("user", "assistant", "system")}


def _kept(message: Message) -> Message:
    return (_SOUND if are_sound([message]) else _UNSOUND)[message.role]


class Usual(Head, frozen=True):
    messages: list[Message] | None = None
    tools: list[Tool] | None = None

    repeats: ClassVar[Repeats | None] = Repeats(
        b'{"role":"user","content":%b}' % MARK,
        lambda message: message.content == _MARKED,
        _kept,
        msgspec.json.Decoder(list[Message]).decode,
        msgspec.json.Decoder(list[Tool]).decode,
        lambda tools: tuple([tool.name for tool in tools]),
        _lasting,
    )
