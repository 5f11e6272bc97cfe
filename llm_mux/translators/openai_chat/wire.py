"""The shapes of chat completions as they travel, with their literal names.

Incoming structs are wide and tolerant: every field is optional, unions stay `Raw` and are looked at one by one, so an
unknown part or role never fails the rest. Outgoing structs leave out what is UNSET. Spec: OpenAI API reference,
chat completions; the extensions are those in wide use (DeepSeek, OpenRouter, Gemini's OpenAI layer).
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct, UnsetType, defstruct
from msgspec.json import Decoder

NAME = "openai_chat"


class Function(Struct, frozen=True):
    """The function of a call: `arguments` is a JSON string, at some servers an object."""

    name: str | None = None
    arguments: str | dict[str, Raw] | list[Raw] | None = None


class Custom(Struct, frozen=True):
    name: str | None = None
    input: str | None = None


class Google(Struct, frozen=True):
    thought_signature: str | None = None


class ExtraContent(Struct, frozen=True):
    google: Google | None = None


class Call(Struct, frozen=True):
    """A tool call, whole or one piece of it."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: ExtraContent | None = None


class Message(Struct, frozen=True):
    """A message of a client's history."""

    role: str
    content: str | list[Raw] | dict[str, Raw] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | dict[str, Raw] | None = None
    thinking: str | dict[str, Raw] | None = None
    reasoning_details: list[Raw] | None = None
    thinking_blocks: list[Raw] | None = None
    audio: Reference | None = None
    cache_control: CacheMark | None = None
    prompt_cache_breakpoint: CacheMark | None = None
    prefix: bool | None = None
    partial: bool | None = None


class Reference(Struct, frozen=True):
    """Earlier output that the server keeps."""

    id: str | None = None


class CacheMark(Struct, frozen=True):
    ttl: str | None = None


class InputAudio(Struct, frozen=True):
    data: str = ""
    format: str | None = None


class File(Struct, frozen=True):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None
    file_url: str | None = None


class Part(Struct, frozen=True):
    """A content part, of whatever type."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    thinking: str | list[Part] | None = None
    image_url: str | MediaUrl | None = None
    video_url: str | MediaUrl | None = None
    input_audio: InputAudio | None = None
    file: File | None = None
    cache_control: CacheMark | None = None
    prompt_cache_breakpoint: CacheMark | None = None


class MediaUrl(Struct, frozen=True):
    url: str = ""
    detail: str | None = None


class Detail(Struct, frozen=True):
    """An entry of `reasoning_details` (OpenRouter's extension).

    Ours are `reasoning.encrypted` with an envelope in `data`: `id` names the tool call it belongs to, `on` "text" the
    answer's text, else it belongs to the `length` characters of reasoning from `start` on, said after `position` calls.
    """

    type: str = ""
    index: int | None = None
    id: str | None = None
    data: str | None = None
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    format: str | None = None
    on: str | None = None
    start: int | None = None
    length: int | None = None
    position: int | None = None


class StreamOptions(Struct, frozen=True, omit_defaults=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ThinkingSwitch(Struct, frozen=True):
    """`thinking` in Anthropic's shape, which DeepSeek, GLM and Kimi also use."""

    type: str | None = None
    budget_tokens: int | None = None
    display: str | None = None


class ReasoningSwitch(Struct, frozen=True):
    """`reasoning` in OpenRouter's shape."""

    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None
    exclude: bool | None = None


class ThinkingConfig(Struct, frozen=True):
    """Gemini's, in both spellings."""

    thinking_budget: int | None = None
    thinkingBudget: int | None = None
    thinking_level: str | None = None
    thinkingLevel: str | None = None
    include_thoughts: bool | None = None
    includeThoughts: bool | None = None


class GoogleBody(Struct, frozen=True):
    thinking_config: ThinkingConfig | None = None
    thinkingConfig: ThinkingConfig | None = None


class ExtraBody(Struct, frozen=True):
    google: GoogleBody | None = None


class TemplateArguments(Struct, frozen=True):
    enable_thinking: bool | None = None
    thinking: bool | None = None


class Params(Struct, frozen=True):
    """The top-level fields of a request beside `messages` and `tools` that mean something here."""

    model: str = ""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Raw | UnsetType = UNSET
    logprobs: bool | None = None
    top_logprobs: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    response_format: ResponseFormat | None = None
    tool_choice: str | ChoiceIn | None = None
    function_call: str | Named | None = None
    functions: list[FunctionTool] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    reasoning: ReasoningSwitch | None = None
    thinking: ThinkingSwitch | None = None
    enable_thinking: bool | None = None
    thinking_budget: int | None = None
    chat_template_kwargs: TemplateArguments | None = None
    extra_body: ExtraBody | None = None
    google: GoogleBody | None = None
    verbosity: str | None = None
    modalities: list[str] | None = None
    metadata: Raw | UnsetType = UNSET
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    web_search_options: Raw | UnsetType = UNSET


class Body(Struct, frozen=True):
    """What `body` reads: the messages, and all else that is known raw under its name."""

    messages: list[Message]
    tools: Raw | UnsetType = UNSET


class JsonSchema(Struct, frozen=True):
    name: str | None = None
    schema: Raw | UnsetType = UNSET
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Struct, frozen=True):
    type: str = "text"
    json_schema: JsonSchema | None = None
    schema: Raw | UnsetType = UNSET


class FunctionTool(Struct, frozen=True):
    name: str = ""
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None


class CustomTool(Struct, frozen=True):
    name: str = ""
    description: str | None = None
    format: Raw | UnsetType = UNSET


class ToolIn(Struct, frozen=True):
    type: str | None = None
    function: FunctionTool | None = None
    custom: CustomTool | None = None
    cache_control: CacheMark | None = None


class Named(Struct, frozen=True):
    name: str = ""


class ChoiceIn(Struct, frozen=True):
    """An object in `tool_choice`, or one entry of its `allowed_tools`."""

    type: str | None = None
    name: str | None = None
    mode: str | None = None
    function: Named | None = None
    custom: Named | None = None
    allowed_tools: AllowedTools | None = None
    tools: list[ChoiceIn] | None = None


class AllowedTools(Struct, frozen=True):
    mode: str | None = None
    tools: list[ChoiceIn] = []


class PromptDetails(Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(Struct, frozen=True):
    reasoning_tokens: int | None = None


class ServerTools(Struct, frozen=True):
    web_search_requests: int | None = None


class Usage(Struct, frozen=True):
    """Usage as servers report it. DeepSeek: `prompt_cache_hit_tokens`; Kimi: `cached_tokens` at the top."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    num_search_queries: int | None = None
    server_tool_use: ServerTools | None = None


class UrlCitation(Struct, frozen=True):
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    content: str | None = None


class Annotation(Struct, frozen=True):
    type: str | None = None
    url_citation: UrlCitation | None = None


class AudioOut(Struct, frozen=True):
    id: str | None = None
    data: str | None = None
    expires_at: int | None = None
    transcript: str | None = None


class Delta(Struct, frozen=True):
    """What a choice says: one piece of it in a chunk (`delta`), all of it in a whole answer (`message`)."""

    role: str | None = None
    content: str | list[Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | dict[str, Raw] | None = None
    reasoning_details: list[Raw] | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    annotations: list[Annotation] | None = None
    images: list[Part] | None = None
    audio: AudioOut | None = None


class Logprobs(Struct, frozen=True):
    content: Raw | UnsetType = UNSET
    refusal: Raw | UnsetType = UNSET


class Choice(Struct, frozen=True):
    """A choice of a chunk or of a whole answer; `text` is the legacy endpoint's."""

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Groq(Struct, frozen=True):
    usage: Usage | None = None


class Answer(Struct, frozen=True):
    """A chunk, or a whole answer."""

    id: str | int | None = None
    object: str | None = None
    created: Raw | UnsetType = UNSET
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Raw | UnsetType = UNSET
    system_fingerprint: Raw | UnsetType = UNSET
    service_tier: Raw | UnsetType = UNSET
    citations: Raw | UnsetType = UNSET
    x_groq: Groq | None = None


_rest = [(name, Raw | UnsetType, UNSET) for name in Params.__struct_fields__]
body: Decoder[Body] = Decoder(
    defstruct("Body", _rest, bases=(Body,), frozen=True, forbid_unknown_fields=True), strict=False
)
messages: Decoder[list[Message]] = Decoder(list[Message], strict=False)
part: Decoder[Part] = Decoder(Part, strict=False)
detail: Decoder[Detail] = Decoder(Detail, strict=False)
tool: Decoder[ToolIn] = Decoder(ToolIn, strict=False)
answer: Decoder[Answer] = Decoder(Answer, strict=False)
