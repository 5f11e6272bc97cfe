"""What one look at a request reads: the fields that say where it goes, and whether it can go there as it is.

Rule: every value that is not looked into stays `Raw` (a view of the body), so the cost is that of skipping the bytes
once. The look for routing and that of `adapt` are one. Nearly all histories are `Usual`; the others are read `Wide`.
"""

from __future__ import annotations

from typing import ClassVar, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux.translators.base import Outline, Repeats
from llm_mux.translators.memory import MARK


class Function(Struct, gc=False):
    """What a call calls, and its arguments: JSON in a text."""

    name: str
    arguments: str


F = TypeVar("F", Raw, Function)


class Call(Struct, Generic[F], gc=False):
    id: str | None = None
    extra_content: Raw | UnsetType = UNSET
    function: F | UnsetType = UNSET
    custom: Raw | UnsetType = UNSET


class Plain(Struct, Generic[F], forbid_unknown_fields=True, gc=False):
    """A message with nothing in it that only some servers know."""

    role: Literal["user", "assistant", "tool", "system"]
    content: Raw
    tool_calls: list[Call[F]] | None = None
    tool_call_id: str | None = None


class Message(Struct):
    """As much of any message as says whether it can go as it is; nothing long is copied."""

    role: str = ""
    content: Raw | UnsetType = UNSET
    tool_calls: list[Call[Raw]] | None = None
    tool_call_id: str | None = None
    name: Raw | UnsetType = UNSET
    refusal: Raw | UnsetType = UNSET
    function_call: Raw | UnsetType = UNSET
    reasoning_content: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    reasoning_details: Raw | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET
    prompt_cache_breakpoint: Raw | UnsetType = UNSET


class Named(Struct, gc=False):
    name: str = ""
    strict: Raw | UnsetType = UNSET


class Tool(Struct, gc=False):
    type: str | None = None
    function: Named | None = None
    custom: Named | None = None


class Head(Outline, frozen=True):
    """The top level of a request beside its messages."""

    tools: list[Tool] | None = None
    tool_choice: Raw | UnsetType = UNSET
    parallel_tool_calls: Raw | UnsetType = UNSET
    functions: Raw | UnsetType = UNSET
    function_call: Raw | UnsetType = UNSET
    response_format: Raw | UnsetType = UNSET
    stop: Raw | UnsetType = UNSET
    n: Raw | UnsetType = UNSET
    logprobs: Raw | UnsetType = UNSET
    top_logprobs: Raw | UnsetType = UNSET
    stream_options: Raw | UnsetType = UNSET
    max_tokens: Raw | UnsetType = UNSET
    max_completion_tokens: Raw | UnsetType = UNSET
    temperature: Raw | UnsetType = UNSET
    top_p: Raw | UnsetType = UNSET
    top_k: Raw | UnsetType = UNSET
    min_p: Raw | UnsetType = UNSET
    repetition_penalty: Raw | UnsetType = UNSET
    frequency_penalty: Raw | UnsetType = UNSET
    presence_penalty: Raw | UnsetType = UNSET
    logit_bias: Raw | UnsetType = UNSET
    seed: Raw | UnsetType = UNSET
    reasoning_effort: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    thinking: Raw | UnsetType = UNSET
    enable_thinking: Raw | UnsetType = UNSET
    thinking_budget: Raw | UnsetType = UNSET
    chat_template_kwargs: Raw | UnsetType = UNSET
    extra_body: Raw | UnsetType = UNSET
    google: Raw | UnsetType = UNSET
    store: Raw | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET
    service_tier: Raw | UnsetType = UNSET
    verbosity: Raw | UnsetType = UNSET
    prediction: Raw | UnsetType = UNSET
    prompt_cache_key: Raw | UnsetType = UNSET
    prompt_cache_options: Raw | UnsetType = UNSET
    prompt_cache_retention: Raw | UnsetType = UNSET
    safety_identifier: Raw | UnsetType = UNSET
    moderation: Raw | UnsetType = UNSET
    web_search_options: Raw | UnsetType = UNSET
    user: Raw | UnsetType = UNSET
    modalities: Raw | UnsetType = UNSET


_SAID: Final = Raw(b'""')
_SPOKEN: Final[dict[str, Plain[Raw]]] = {role: Plain(role, _SAID) for role in ("user", "assistant", "tool", "system")}


def _kept(message: Plain[F]) -> Plain[Raw]:
    """`message` with a short text in place of its own, which is never looked into."""
    said = memoryview(message.content)[0] == ord('"')
    if said and message.tool_calls is None and message.tool_call_id is None:
        return _SPOKEN[message.role]
    calls: list[Call[Raw]] | None = None
    if message.tool_calls is not None:
        signed = [(call.id, call.extra_content) for call in message.tool_calls]
        calls = [Call(name, UNSET if extra is UNSET else Raw(bytes(extra))) for name, extra in signed]
    return Plain(message.role, _SAID if said else Raw(bytes(message.content)), calls, message.tool_call_id)


def _marked(message: Plain[F]) -> bool:
    return bytes(message.content) == MARK


def _names(tools: list[Tool]) -> tuple[object, ...]:
    return tuple([named.name if (named := tool.function or tool.custom) else tool.type for tool in tools])


_messages: Final = msgspec.json.Decoder(list[Plain[Raw]]).decode
_called: Final = msgspec.json.Decoder(list[Plain[Function]]).decode
_tools: Final = msgspec.json.Decoder(list[Tool]).decode


class Usual(Head, frozen=True):
    messages: list[Plain[Raw]] | None = None

    # Its bytes, and what one target was told of them (`translators.steps`).
    repeats: ClassVar[Repeats | None] = Repeats(
        b'{"role":"user","content":%b}' % MARK, _marked, _kept, _messages, _tools, _names, share=2.25, called=_called
    )


class Wide(Head, frozen=True):
    messages: list[Message] | None = None


OUTLINED: Final = frozenset(Head.__struct_fields__)
"""The top-level names that a `Head` tells apart from those it skips."""
