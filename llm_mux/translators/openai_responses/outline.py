"""What one look at a request reads: the settings at its top, and of items, content parts and tools what decides whether
the request can go as it is.

Rule: texts and other values that nobody looks into stay `Raw` (views of the body), so the cost is that of skipping the
bytes once. An outline is strict: in a body that has it every key of the request, of its items and of their parts is
known, so that nothing that decides can stand where nobody looked. A body with anything else has no outline.
Conversations are remembered (`translators.outlined`): of an item what decides is kept, whoever the next target is.
Spec: the Responses API page, sections 2 to 4.
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from llm_mux.translators.base import Outline, Repeats
from llm_mux.translators.memory import MARK
from llm_mux.translators.openai_responses import searches
from llm_mux.translators.openai_responses.decode import RESOLVED

SEAL: Final = "gw1"
"""How sealed data of ours begins."""

_PartKind: TypeAlias = Literal[
    "input_text",
    "output_text",
    "text",
    "summary_text",
    "reasoning_text",
    "refusal",
    "input_image",
    "input_file",
    "input_audio",
]
_ItemKind: TypeAlias = Literal[
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "local_shell_call",
    "local_shell_call_output",
    "web_search_call",
    "tool_search_call",
    "tool_search_output",
    "additional_tools",
    "item_reference",
    "compaction",
    "compaction_summary",
    "compaction_trigger",
]


_Role: TypeAlias = Literal["user", "assistant", "developer", "system"]


class Part(Struct, forbid_unknown_fields=True, gc=False):
    """A content part of a message or of a tool's output."""

    type: _PartKind
    text: Raw | UnsetType = UNSET
    annotations: Raw | UnsetType = UNSET
    logprobs: Raw | UnsetType = UNSET
    refusal: Raw | UnsetType = UNSET
    image_url: Raw | UnsetType = UNSET
    detail: Raw | UnsetType = UNSET
    file_id: Raw | UnsetType = UNSET
    file_data: Raw | UnsetType = UNSET
    file_url: Raw | UnsetType = UNSET
    filename: Raw | UnsetType = UNSET
    input_audio: Raw | UnsetType = UNSET
    prompt_cache_breakpoint: Raw | UnsetType = UNSET


class Tool(Struct, gc=False):
    """A tool, or a group of them. The other members of a tool are settings and schemas, whatever they are called."""

    type: str | None = None
    namespace: Raw | UnsetType = UNSET
    tools: list[Tool] | None = None
    prompt_cache_breakpoint: Raw | UnsetType = UNSET


class Item(Struct, forbid_unknown_fields=True, gc=False):
    """An item of a kind that agents send back with every turn."""

    type: _ItemKind | None = None
    role: _Role | None = None
    content: str | list[Part] | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Raw | UnsetType = UNSET
    output: Raw | UnsetType = UNSET
    encrypted_content: str | None = None
    summary: Raw | UnsetType = UNSET
    status: str | None = None
    phase: str | None = None
    input: Raw | UnsetType = UNSET
    namespace: Raw | UnsetType = UNSET
    tools: list[Tool] | None = None
    action: Raw | UnsetType = UNSET
    execution: Raw | UnsetType = UNSET
    caller: Raw | UnsetType = UNSET
    internal_chat_message_metadata_passthrough: Raw | UnsetType = UNSET


_SAID: Final = Raw(b'""')
_QUOTE: Final = ord('"')
_MARKED: Final = MARK[1:-1].decode()


def _kept(item: Item) -> Item:
    """`item` without its texts and with nothing that holds on to its body. Those of which no more than their kind
    decides are one and the same."""
    output, content, ours = item.output, item.content, item.id is not None and item.id.startswith(searches.SEARCH_ID)
    sealed = item.encrypted_content is not None and item.encrypted_content.startswith(SEAL)
    marked = [each for each in content if _is_set(each.prompt_cache_breakpoint)] if type(content) is list else []
    text = output is not UNSET and memoryview(output)[0] == _QUOTE
    if not (ours or sealed or marked or _is_set(item.namespace) or item.tools) and (text or output is UNSET):
        return _plain(item.type, item.role, text)
    return Item(
        item.type,
        item.role,
        [Part(each.type, prompt_cache_breakpoint=_SAID) for each in marked] or None,
        searches.SEARCH_ID if ours else None,
        output=_SAID if text else UNSET if output is UNSET else Raw(bytes(output)),
        encrypted_content=SEAL if sealed else None,
        namespace=_SAID if _is_set(item.namespace) else UNSET,
        tools=None if item.tools is None else list(map(_kept_tool, item.tools)),
    )


@cache
def _plain(kind: _ItemKind | None, role: _Role | None, output: bool) -> Item:
    return Item(kind, role, output=_SAID if output else UNSET)


def _kept_tool(tool: Tool) -> Tool:
    return Tool(
        tool.type,
        _SAID if _is_set(tool.namespace) else UNSET,
        None if tool.tools is None else list(map(_kept_tool, tool.tools)),
        _SAID if _is_set(tool.prompt_cache_breakpoint) else UNSET,
    )


def _is_set(value: Raw | UnsetType) -> bool:
    return value is not UNSET


class Head(Outline, frozen=True, forbid_unknown_fields=True):
    """A request."""

    repeats: ClassVar[Repeats | None] = Repeats(
        b'{"type":"message","role":"user","content":%b}' % MARK,
        lambda item: item.content == _MARKED,
        _kept,
        msgspec.json.Decoder(list[Item]).decode,
        msgspec.json.Decoder(list[Tool]).decode,
        lambda tools: tuple([tool.type for tool in tools]),
        key="input",
    )

    input: list[Item] | str | None = None
    tools: list[Tool] | None = None
    tool_choice: Raw | UnsetType = UNSET
    parallel_tool_calls: Raw | UnsetType = UNSET
    max_tool_calls: Raw | UnsetType = UNSET
    instructions: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    text: Raw | UnsetType = UNSET
    include: Raw | UnsetType = UNSET
    store: Raw | UnsetType = UNSET
    stream_options: Raw | UnsetType = UNSET
    background: Raw | UnsetType = UNSET
    max_output_tokens: Raw | UnsetType = UNSET
    max_completion_tokens: Raw | UnsetType = UNSET
    max_tokens: Raw | UnsetType = UNSET
    temperature: Raw | UnsetType = UNSET
    top_p: Raw | UnsetType = UNSET
    top_logprobs: Raw | UnsetType = UNSET
    truncation: Raw | UnsetType = UNSET
    context_management: Raw | UnsetType = UNSET
    previous_response_id: Raw | UnsetType = UNSET
    resolved: Raw | UnsetType = field(default=UNSET, name=RESOLVED)
    conversation: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET
    client_metadata: Raw | UnsetType = UNSET
    service_tier: Raw | UnsetType = UNSET
    prompt_cache_key: Raw | UnsetType = UNSET
    prompt_cache_options: Raw | UnsetType = UNSET
    prompt_cache_retention: Raw | UnsetType = UNSET
    safety_identifier: Raw | UnsetType = UNSET
    user: Raw | UnsetType = UNSET
    moderation: Raw | UnsetType = UNSET
    generate: Raw | UnsetType = UNSET


SETTINGS: Final = {
    each.encode_name: each.name for each in msgspec.structs.fields(Head) if each.type == (Raw | UnsetType)
}
"""The fields at the top that are kept as they came, and what a `Head` calls them."""
