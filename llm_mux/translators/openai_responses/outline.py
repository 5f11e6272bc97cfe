"""What one look at a request reads: the settings at its top, and of items, content parts and tools what decides whether
the request can go as it is.

Rule: texts and other values that nobody looks into stay `Raw` (views of the body), so the cost is that of skipping the
bytes once. An outline is strict: in a body that has it every key of the request, of its items and of their parts is
known, so that nothing that decides can stand where nobody looked. A body with anything else has no outline.
Spec: the Responses API page, sections 2 to 4.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from llm_mux.translators.base import Outline
from llm_mux.translators.openai_responses.decode import RESOLVED

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
    role: Literal["user", "assistant", "developer", "system"] | None = None
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


class Head(Outline, frozen=True, forbid_unknown_fields=True):
    """A request."""

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
