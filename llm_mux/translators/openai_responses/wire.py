"""The Responses API's JSON as Structs: what clients send, what upstreams answer, and the records of a stream.

Rule: wire strings are literal, unknown fields are ignored here and kept by whoever holds the raw bytes. Read structs
have every field optional, because one struct reads every kind of item; written structs leave out what is unset.
Spec: the Responses API page, sections 2 to 7.
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct, UnsetType, field

EMPTY_LIST = Raw(b"[]")
NULL = Raw(b"null")


class Item(Struct):
    """Any input or output item. Fields whose type differs between kinds stay raw."""

    type: str | None = None
    role: str | None = None
    content: Raw | UnsetType = UNSET
    phase: str | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    output: Raw | UnsetType = UNSET
    summary: Raw | UnsetType = UNSET
    encrypted_content: str | None = None
    tools: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    text: Raw | UnsetType = UNSET
    execution: str | None = None
    result: Raw | UnsetType = UNSET
    output_format: str | None = None
    status: str | None = None
    caller: Raw | UnsetType = UNSET
    async_: bool | None = field(default=None, name="async")


class ItemKind(Struct):
    """The little that an item of an unknown kind is asked."""

    type: str | None = None


class Breakpoint(Struct):
    mode: str | None = None
    ttl: str | None = None


class ImageUrl(Struct):
    url: str | None = None


class InputAudio(Struct):
    data: str = ""
    format: str = "wav"


class Part(Struct):
    """Any content part of a message or of a tool's output."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    image_url: Raw | UnsetType = UNSET
    file_id: str | None = None
    detail: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: InputAudio | None = None
    annotations: list[Raw] | None = None
    logprobs: Raw | UnsetType = UNSET
    prompt_cache_breakpoint: Breakpoint | None = None


class Annotation(Struct):
    type: str = ""
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    filename: str | None = None


class Summary(Struct):
    text: str = ""


class Tool(Struct):
    """Any tool of a request."""

    type: str | None = None
    name: str | None = None
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None
    format: Raw | UnsetType = UNSET
    tools: list[Raw] | None = None
    execution: str | None = None


class AsyncTool(Struct):
    """Whether a tool, or one of a namespace, may answer later while the model goes on."""

    async_: bool | None = field(default=None, name="async")
    tools: list[AsyncTool] | None = None


class ToolChoice(Struct):
    type: str | None = None
    name: str | None = None
    mode: str | None = None
    tools: list[ToolChoice] | None = None
    server_label: str | None = None


class ReasoningOptions(Struct):
    effort: str | int | float | None = None
    summary: str | None = None
    generate_summary: str | None = None
    mode: str | None = None


class TextFormat(Struct):
    type: str = "text"
    name: str | None = None
    schema: Raw | UnsetType = UNSET
    strict: bool | None = None
    description: str | None = None


class TextOptions(Struct):
    format: TextFormat | None = None
    verbosity: str | None = None


class CachedDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class ReasoningDetails(Struct):
    reasoning_tokens: int | None = None


class Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: CachedDetails | None = None
    output_tokens_details: ReasoningDetails | None = None


class ResponseError(Struct):
    message: str | None = None
    code: str | int | float | None = None
    type: str | None = None
    param: str | None = None
    resets_in_seconds: float | None = None


class IncompleteDetails(Struct):
    reason: str | None = None


class WebSearchUse(Struct):
    num_requests: int | None = None


class ToolUsage(Struct):
    web_search: WebSearchUse | None = None


class Response(Struct):
    """A whole answer, or the `response` of a lifecycle event. `error` may be a string on servers that imitate."""

    id: str | None = None
    model: str | None = None
    created_at: float | None = None
    status: str | None = None
    output: list[Raw] | None = None
    usage: Usage | None = None
    tool_usage: ToolUsage | None = None
    error: Raw | UnsetType = UNSET
    incomplete_details: IncompleteDetails | None = None
    service_tier: str | None = None


class Piece(Struct):
    """The little of a stream's record that matters while it only carries on the open text."""

    delta: str
    type: str = ""
    output_index: int = -1
    content_index: int = 0
    summary_index: int = 0
    logprobs: Raw | UnsetType = UNSET


class StreamEvent(Struct):
    """One record of a stream, any kind. `delta` is text, except in shell events and on servers that send objects."""

    type: str = ""
    output_index: int = -1
    content_index: int = 0
    summary_index: int = 0
    delta: str | dict[str, Raw] | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    logprobs: Raw | UnsetType = UNSET
    item: Raw | UnsetType = UNSET
    part: Raw | UnsetType = UNSET
    annotation: Raw | UnsetType = UNSET
    response: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    message: str | None = None
    code: str | int | float | None = None
    param: str | None = None
    status: int | None = None


class PartOut(Struct, omit_defaults=True):
    """A content part of the request we send."""

    type: str
    text: str | None = None
    refusal: str | None = None
    detail: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    prompt_cache_breakpoint: dict[str, str] | None = None


class MessageOut(Struct, tag_field="type", tag="message", omit_defaults=True):
    """A message of the request we send."""

    role: str
    content: list[PartOut | Raw]
    phase: str | None = None


class FunctionCallOut(Struct, tag_field="type", tag="function_call", omit_defaults=True):
    """A call: in the request we send (without id and status) and in the answer we give."""

    call_id: str
    name: str
    arguments: str
    namespace: str | None = None
    id: str | None = None
    status: str | None = None


class CustomCallOut(Struct, tag_field="type", tag="custom_tool_call", omit_defaults=True):
    call_id: str
    name: str
    input: str
    namespace: str | None = None
    id: str | None = None
    status: str | None = None


class ToolSearchCallOut(Struct, tag_field="type", tag="tool_search_call"):
    id: str
    call_id: str
    execution: str
    arguments: Raw
    status: str


class FunctionResultOut(Struct, tag_field="type", tag="function_call_output"):
    call_id: str
    output: str | list[PartOut | Raw]


class CustomResultOut(Struct, tag_field="type", tag="custom_tool_call_output"):
    call_id: str
    output: str | list[PartOut | Raw]


class SummaryOut(Struct, tag_field="type", tag="summary_text"):
    text: str


class ReasoningTextOut(Struct, tag_field="type", tag="reasoning_text"):
    text: str


class ReasoningOut(Struct, tag_field="type", tag="reasoning", omit_defaults=True):
    """A reasoning item. `summary` is always present: servers refuse an item without it."""

    summary: list[SummaryOut] | Raw
    id: str | None = None
    content: list[ReasoningTextOut] | None = None
    encrypted_content: str | None = None
    status: str | None = None


class CompactionOut(Struct, tag_field="type", tag="compaction"):
    id: str
    encrypted_content: str


class FunctionToolOut(Struct, tag_field="type", tag="function", omit_defaults=True):
    """A function as we offer it. `strict` is always said: left out, the server tries strict by itself."""

    name: str
    strict: bool
    parameters: Raw
    description: str | None = None


class CustomToolOut(Struct, tag_field="type", tag="custom", omit_defaults=True):
    name: str
    description: str | None = None
    format: Raw | UnsetType = UNSET


class NamespaceOut(Struct, tag_field="type", tag="namespace"):
    name: str
    description: str
    tools: list[Raw | Struct]


class TextFormatOut(Struct, omit_defaults=True):
    type: str
    name: str | None = None
    description: str | None = None
    schema: Raw | UnsetType = UNSET
    strict: bool | None = None


class UrlCitationOut(Struct, tag_field="type", tag="url_citation"):
    url: str
    title: str
    start_index: int
    end_index: int


class OutputTextOut(Struct, tag_field="type", tag="output_text"):
    """A text of the answer we give; SDKs want both lists even when they are empty."""

    text: str
    annotations: list[Raw] = []
    logprobs: Raw = EMPTY_LIST


class RefusalOut(Struct, tag_field="type", tag="refusal"):
    refusal: str


class AnswerMessageOut(Struct, tag_field="type", tag="message", omit_defaults=True):
    id: str
    status: str
    role: str
    content: list[OutputTextOut | RefusalOut]
    phase: str | None = None


class ImageCallOut(Struct, tag_field="type", tag="image_generation_call"):
    id: str
    status: str
    result: str
    output_format: str


class SearchActionOut(Struct):
    type: str
    query: str


class SearchCallOut(Struct, tag_field="type", tag="web_search_call"):
    id: str
    status: str
    action: SearchActionOut


class CachedDetailsOut(Struct):
    cached_tokens: int
    cache_write_tokens: int


class ReasoningDetailsOut(Struct):
    reasoning_tokens: int


class UsageOut(Struct):
    input_tokens: int
    input_tokens_details: CachedDetailsOut
    output_tokens: int
    output_tokens_details: ReasoningDetailsOut
    total_tokens: int


class ErrorOut(Struct):
    """`error` of a failed response."""

    code: str
    message: str
