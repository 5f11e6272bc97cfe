"""The shapes of the Messages API as msgspec structs; wire strings stand here once, as tags.

Rule: blocks refuse unknown fields, so that one typed pass reads what is well known and only the rest takes the slow way
that keeps what it does not know. What nobody looks into stays `Raw`. Spec: the Messages API page, sections 1 to 8.
"""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, Raw, Struct, UnsetType

NAME: Final = "anthropic"


class CacheControl(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="ephemeral"):
    ttl: str | None = None


class _Block(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type"):
    pass


class Base64Source(_Block, frozen=True, tag="base64"):
    media_type: str
    data: str


class UrlSource(_Block, frozen=True, tag="url"):
    url: str


class FileSource(_Block, frozen=True, tag="file"):
    file_id: str


class TextSource(_Block, frozen=True, tag="text"):
    data: str
    media_type: str = ""


class ContentSource(_Block, frozen=True, tag="content"):
    content: Raw


class Text(_Block, frozen=True, tag="text"):
    text: str
    citations: Raw | UnsetType = UNSET
    cache_control: CacheControl | None = None


class Image(_Block, frozen=True, tag="image"):
    source: Base64Source | UrlSource | FileSource
    cache_control: CacheControl | None = None


class CitationsSwitch(Struct, frozen=True, omit_defaults=True):
    enabled: bool | None = None


class Document(_Block, frozen=True, tag="document"):
    source: Base64Source | UrlSource | FileSource | TextSource | ContentSource
    title: str | None = None
    context: str | None = None
    citations: CitationsSwitch | None = None
    cache_control: CacheControl | None = None


class ToolUse(_Block, frozen=True, tag="tool_use"):
    id: str
    name: str
    input: Raw | UnsetType = UNSET
    cache_control: CacheControl | None = None
    caller: Raw | UnsetType = UNSET


class Thinking(_Block, frozen=True, tag="thinking"):
    thinking: str | None = None
    signature: Raw | UnsetType = UNSET
    cache_control: CacheControl | None = None


class RedactedThinking(_Block, frozen=True, tag="redacted_thinking"):
    data: Raw
    cache_control: CacheControl | None = None


class ToolResult(_Block, frozen=True, tag="tool_result"):
    tool_use_id: str
    content: str | list[Text | Image | Document] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


Block = Text | Image | Document | ToolUse | ToolResult | Thinking | RedactedThinking


class Message(Struct, frozen=True, forbid_unknown_fields=True):
    """One element of `messages` as most clients send it."""

    role: str
    content: str | list[Block]


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    """A request in which nothing is unusual; what is not in its messages stays as it came."""

    messages: list[Message]
    model: Raw | UnsetType = UNSET
    max_tokens: Raw | UnsetType = UNSET
    system: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    tool_choice: Raw | UnsetType = UNSET
    stream: Raw | UnsetType = UNSET
    stop_sequences: Raw | UnsetType = UNSET
    temperature: Raw | UnsetType = UNSET
    top_p: Raw | UnsetType = UNSET
    top_k: Raw | UnsetType = UNSET
    thinking: Raw | UnsetType = UNSET
    output_config: Raw | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET
    service_tier: Raw | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET
    context_management: Raw | UnsetType = UNSET


class Kind(Struct, frozen=True):
    """What every block and event has."""

    type: str | None = None


class Scalars(Struct, frozen=True):
    """The plain top-level fields of a request. `service_tier` and `stop_sequences` may be null."""

    model: str | None = None
    max_tokens: int | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    service_tier: str | None = None
    cache_control: CacheControl | None = None


class ThinkingConfig(Struct, frozen=True, omit_defaults=True):
    type: str
    budget_tokens: int | None = None
    display: str | None = None
    block_binding: dict[str, str] | None = None


class Format(Struct, frozen=True, omit_defaults=True):
    type: str | None = None
    schema: Raw | UnsetType = UNSET


class Metadata(Struct, frozen=True, omit_defaults=True):
    user_id: str | None = None


class ToolChoice(Struct, frozen=True, omit_defaults=True):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Tool(Struct, frozen=True, omit_defaults=True):
    """A tool the client runs; on input also the head of a vendor's tool."""

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Raw | UnsetType = UNSET
    strict: bool | None = None
    cache_control: CacheControl | None = None


class MessageOut(Struct, frozen=True):
    """One element of `messages` as we send it."""

    role: str
    content: list[Block | Raw]


class CacheCreation(Struct, frozen=True):
    ephemeral_5m_input_tokens: int | None = 0
    ephemeral_1h_input_tokens: int | None = 0


class ServerToolUse(Struct, frozen=True):
    web_search_requests: int | None = 0
    web_fetch_requests: int | None = 0


class TokenDetails(Struct, frozen=True):
    thinking_tokens: int | None = None


class Usage(Struct, frozen=True, omit_defaults=True):
    """Usage in answers and in both places of a stream; in `message_delta` only what changed is there."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: TokenDetails | None = None
    server_tool_use: ServerToolUse | None = None


class Answer(Struct, frozen=True):
    """A whole answer of an upstream, and the message that opens a stream. `error`: of servers that fail with 200."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Raw | UnsetType = UNSET
    usage: Usage | None = None
    container: Raw | UnsetType = UNSET
    diagnostics: Raw | UnsetType = UNSET
    context_management: Raw | UnsetType = UNSET
    input_transformations: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class AnswerOut(Struct, frozen=True):
    """A whole answer for a client; `stop_reason` and `stop_sequence` are there even when null."""

    id: str
    model: str
    content: list[Block | Raw]
    stop_reason: str | None
    stop_sequence: str | None
    usage: Usage
    type: str = "message"
    role: str = "assistant"
    stop_details: Raw | UnsetType = UNSET
    container: Raw | UnsetType = UNSET
    diagnostics: Raw | UnsetType = UNSET
    context_management: Raw | UnsetType = UNSET
    input_transformations: Raw | UnsetType = UNSET


class StopDetails(Struct, frozen=True):
    explanation: str | None = None


# Stream records. The delta of a record that this page does not know fails the decode and is then looked at by type.


class _Tagged(Struct, frozen=True, tag_field="type"):
    pass


class TextDelta(_Tagged, frozen=True, tag="text_delta"):
    text: str


class InputDelta(_Tagged, frozen=True, tag="input_json_delta"):
    partial_json: str | None


class ThinkingDelta(_Tagged, frozen=True, tag="thinking_delta"):
    thinking: str


class SignatureDelta(_Tagged, frozen=True, tag="signature_delta"):
    signature: Raw


class CitationsDelta(_Tagged, frozen=True, tag="citations_delta"):
    citation: Raw


class CompactionDelta(_Tagged, frozen=True, tag="compaction_delta"):
    content: Raw | UnsetType = UNSET


class MessageStart(_Tagged, frozen=True, tag="message_start"):
    message: Answer


class BlockStart(_Tagged, frozen=True, tag="content_block_start"):
    content_block: Raw
    index: int = 0


class BlockDelta(_Tagged, frozen=True, tag="content_block_delta"):
    delta: TextDelta | InputDelta | ThinkingDelta | SignatureDelta | CitationsDelta | CompactionDelta
    index: int = 0


class BlockStop(_Tagged, frozen=True, tag="content_block_stop"):
    index: int = 0


class StopDelta(Struct, frozen=True):
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Raw | UnsetType = UNSET
    container: Raw | UnsetType = UNSET


class MessageDelta(_Tagged, frozen=True, tag="message_delta"):
    delta: StopDelta
    usage: Usage | None = None
    context_management: Raw | UnsetType = UNSET


class MessageStop(_Tagged, frozen=True, tag="message_stop"):
    pass


class Ping(_Tagged, frozen=True, tag="ping"):
    pass


class ErrorRecord(_Tagged, frozen=True, tag="error"):
    error: Raw | UnsetType = UNSET


Record = MessageStart | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop | Ping | ErrorRecord
