"""The shapes of Converse and ConverseStream as msgspec structs.

Rules. Every block has exactly one key; what this page does not look into stays `Raw`. Bytes travel as base64 text and
are never decoded here but to look at their first bytes. Spec: the Bedrock Runtime page, sections 2 to 5.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Raw, Struct, UnsetType

NAME: Final = "bedrock"

RawField = Raw | UnsetType


class _Out(Struct, frozen=True, omit_defaults=True):
    pass


class S3Location(_Out, frozen=True):
    uri: str
    bucketOwner: str | None = None


class Source(_Out, frozen=True):
    """Where media are: exactly one is given. `text` and `content` are for documents only."""

    bytes: str | None = None
    s3Location: S3Location | None = None
    text: str | None = None
    content: RawField = UNSET


class Media(_Out, frozen=True):
    """An image, a video or a sound."""

    format: str
    source: Source


class CitationsSwitch(_Out, frozen=True):
    enabled: bool | None = None


class Document(_Out, frozen=True):
    name: str
    source: Source
    format: str | None = None
    context: str | None = None
    citations: CitationsSwitch | None = None


class ToolUse(_Out, frozen=True):
    toolUseId: str
    name: str
    input: RawField = UNSET
    type: str | None = None


class ToolResult(_Out, frozen=True):
    toolUseId: str
    content: list[Any]
    status: str | None = None
    type: str | None = None


class ReasoningText(_Out, frozen=True):
    text: str
    signature: str | None = None


class Reasoning(_Out, frozen=True):
    reasoningText: ReasoningText | None = None
    redactedContent: str | None = None


class CachePoint(Struct, frozen=True, omit_defaults=True):
    ttl: str | None = None
    type: str = ""


class Block(_Out, frozen=True):
    """One content block of a request, an answer, a tool's result or the system slot."""

    text: str | None = None
    image: Media | None = None
    document: Document | None = None
    video: Media | None = None
    audio: Media | None = None
    toolUse: ToolUse | None = None
    toolResult: ToolResult | None = None
    reasoningContent: Reasoning | None = None
    cachePoint: CachePoint | None = None
    citationsContent: RawField = UNSET
    json: RawField = UNSET


class ToolSchema(Struct, frozen=True):
    json: Raw


class ToolSpec(_Out, frozen=True):
    name: str
    inputSchema: ToolSchema | None = None
    description: str | None = None
    strict: bool | None = None


class NamedTool(Struct, frozen=True):
    name: str


class Tool(_Out, frozen=True):
    toolSpec: ToolSpec | None = None
    systemTool: RawField = UNSET
    cachePoint: CachePoint | None = None


class ToolChoice(_Out, frozen=True):
    auto: dict[str, Any] | None = None
    any: dict[str, Any] | None = None
    tool: NamedTool | None = None


class ToolConfig(_Out, frozen=True):
    tools: list[Tool]
    toolChoice: ToolChoice | None = None


class Inference(_Out, frozen=True):
    maxTokens: int | None = None
    temperature: float | None = None
    topP: float | None = None
    stopSequences: list[str] | None = None


class JsonSchema(_Out, frozen=True):
    """`schema` is JSON text, not an object."""

    schema: str
    name: str | None = None
    description: str | None = None


class Structure(_Out, frozen=True):
    jsonSchema: JsonSchema | None = None


class TextFormat(_Out, frozen=True):
    type: str
    structure: Structure | None = None


class OutputConfig(_Out, frozen=True):
    textFormat: TextFormat | None = None
    effort: str | None = None


class Tier(Struct, frozen=True):
    type: str


class Message(Struct, frozen=True):
    role: str
    content: list[Raw]


class CacheDetail(Struct, frozen=True):
    ttl: str
    inputTokens: int = 0


class Usage(_Out, frozen=True):
    """Token counts; `inputTokens` leaves out both cache counts, as Anthropic's does."""

    inputTokens: int | None = None
    outputTokens: int | None = None
    totalTokens: int | None = None
    cacheReadInputTokens: int | None = None
    cacheWriteInputTokens: int | None = None
    cacheDetails: list[CacheDetail] | None = None


class AnswerMessage(Struct, frozen=True):
    content: list[Raw] | None = None
    role: str = "assistant"


class Output(Struct, frozen=True):
    message: AnswerMessage | None = None


class Answer(Struct, frozen=True):
    """A whole answer of an upstream. `message` is there in an error that came with status 200."""

    output: Output | None = None
    stopReason: str | None = None
    usage: Usage | None = None
    message: str | None = None
    additionalModelResponseFields: RawField = UNSET
    trace: RawField = UNSET
    performanceConfig: RawField = UNSET
    serviceTier: RawField = UNSET


# Stream payloads. A delta and a start have exactly one key; unknown keys (padding) are passed over.


class ReasoningDelta(_Out, frozen=True):
    text: str | None = None
    signature: str | None = None
    redactedContent: str | None = None


class ToolUseDelta(Struct, frozen=True):
    input: str


class Delta(_Out, frozen=True):
    text: str | None = None
    toolUse: ToolUseDelta | None = None
    reasoningContent: ReasoningDelta | None = None
    citation: RawField = UNSET


class BlockDelta(Struct, frozen=True):
    delta: Delta
    contentBlockIndex: int = 0


class Begin(_Out, frozen=True):
    toolUse: ToolUse | None = None


class BlockStart(Struct, frozen=True):
    start: Begin
    contentBlockIndex: int = 0


class BlockStop(Struct, frozen=True):
    contentBlockIndex: int = 0


class MessageStart(Struct, frozen=True):
    role: str = "assistant"


class MessageStop(_Out, frozen=True):
    stopReason: str | None = None
    additionalModelResponseFields: RawField = UNSET


class Metrics(Struct, frozen=True):
    latencyMs: int = 0


class Metadata(Struct, frozen=True, omit_defaults=True):
    usage: Usage | None = None
    trace: RawField = UNSET
    performanceConfig: RawField = UNSET
    serviceTier: RawField = UNSET
