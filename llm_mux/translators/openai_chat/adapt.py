"""When a client's own bytes may go to a server of the same format, and under which top-level edits.

Rule: a cheap look at the top-level keys and at the outlines of messages and tools, erring on the side of translating.
Whatever this module lets through must mean the same to the server as what `encode_request` would send.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux.translators import openai_models
from llm_mux.translators.base import Edits, Target, present
from llm_mux.translators.openai_chat import quirks as quirks_
from llm_mux.translators.openai_chat import thinking, wire
from llm_mux.translators.openai_chat.encode import RULES, lacking, stops_taken
from llm_mux.translators.openai_chat.quirks import Quirks
from llm_mux.translators.tools import legal_name
from llm_mux.wire import jsonx, sse

_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_QUOTE = ord('"')
_SWITCHES = frozenset((*thinking.FIELDS, "chat_template_kwargs"))
_OLD = ("functions", "function_call")


def adapt(body: bytes, target: Target, stream: bool) -> Edits | None:
    """The edits for `target`, or None when the body has to be translated."""
    try:
        top = jsonx.top(body)
        quirks = quirks_.of(target)
        if not _takes_tools(top, quirks) or not _takes_output(top, quirks):
            return None
        edits = _thinking_edits(top, target)
        if edits is None or not _takes_shape(top, target):
            return None
        messages = top.get("messages")
        usual = messages is not None and not quirks.single_system and _usual(messages)
        if not usual and not _Look(target).plain(messages):
            return None
        return _edits(top, target, stream, edits)
    except (jsonx.Malformed, msgspec.DecodeError):
        return None


class _Usual(Struct, forbid_unknown_fields=True):
    """A message that every server takes as it is, once its content is seen to be a text."""

    role: Literal["system", "user", "assistant"]
    content: Raw


_usuals: msgspec.json.Decoder[list[_Usual]] = msgspec.json.Decoder(list[_Usual])


def _usual(messages: Raw) -> bool:
    """Whether there is nothing but roles and texts: the look that most small requests need."""
    try:
        return all(memoryview(message.content)[0] == _QUOTE for message in _usuals.decode(messages))
    except msgspec.ValidationError:
        return False


class _Call(Struct):
    id: str | None = None
    extra_content: Raw | UnsetType = UNSET


class _Message(Struct):
    """As much of a message as says whether it can go as it is; nothing long is copied."""

    role: str = ""
    content: Raw | UnsetType = UNSET
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    name: Raw | UnsetType = UNSET
    refusal: Raw | UnsetType = UNSET
    function_call: Raw | UnsetType = UNSET
    reasoning_content: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    reasoning_details: Raw | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET
    prompt_cache_breakpoint: Raw | UnsetType = UNSET


class _Part(Struct):
    type: str | None = None
    image_url: Raw | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET
    prompt_cache_breakpoint: Raw | UnsetType = UNSET


_messages: msgspec.json.Decoder[list[_Message]] = msgspec.json.Decoder(list[_Message])
_parts: msgspec.json.Decoder[list[_Part]] = msgspec.json.Decoder(list[_Part])


_TEXT = frozenset({"text"})


class _Look:
    """Looks at messages for what this server needs in another form."""

    def __init__(self, target: Target) -> None:
        self._quirks = quirks_.of(target)
        quirks = self._quirks
        self._marks = quirks.cache_breakpoints and openai_models.facts(target.model).breakpoints
        self._types = {"text"}
        self._types |= {"refusal"} if quirks.refusals else set()
        self._types |= {"image_url"} if quirks.images and quirks.image_urls else set()
        self._types |= {"input_audio"} if quirks.audio else set()
        self._types |= {"file"} if quirks.files else set()
        self._types |= {"video_url"} if quirks.video else set()

    def plain(self, raw: Raw | None) -> bool:
        """Whether all messages can go as they are."""
        if raw is None:
            return False
        found = _messages.decode(raw)
        systems = sum(1 for message in found if message.role in ("system", "developer"))
        if self._quirks.single_system and systems > 1:
            return False
        return all(self._message(message) for message in found)

    def _message(self, message: _Message) -> bool:
        quirks = self._quirks
        if message.role == "developer" and not quirks.developer_role:
            return False
        if message.role == "function" or message.function_call is not UNSET:
            return False
        if message.name is not UNSET and "name" in quirks.unsupported:
            return False
        if message.role == "tool" and not self._id(message.tool_call_id):
            return False
        return self._content(message) and (message.role != "assistant" or self._assistant(message))

    def _assistant(self, message: _Message) -> bool:
        quirks = self._quirks
        if message.refusal is not UNSET and present(message.refusal) and not quirks.refusals:
            return False
        spelled = {"reasoning_content": message.reasoning_content, "reasoning": message.reasoning}
        for name, raw in spelled.items():
            if raw is not UNSET and (quirks.send_back_reasoning == "never" or name != quirks.reasoning_field):
                return False
        details = message.reasoning_details
        if isinstance(details, Raw) and (not quirks.reasoning_details or b"gw1." in bytes(details)):
            return False
        if not message.tool_calls:
            return True
        if quirks.send_back_reasoning != "never" and spelled[quirks.reasoning_field] is UNSET:
            return False
        signed = any(call.extra_content is not UNSET for call in message.tool_calls)
        if signed != quirks.extra_content_signatures:
            return False
        return all(self._id(call.id) for call in message.tool_calls)

    def _id(self, call_id: str | None) -> bool:
        limit = self._quirks.tool_id_limit
        return call_id is not None and (len(call_id) == limit or (limit >= 29 and len(call_id) < limit))

    def _content(self, message: _Message) -> bool:
        if message.cache_control is not UNSET or message.prompt_cache_breakpoint is not UNSET:
            return False
        content = message.content
        if not isinstance(content, Raw) or not present(content):
            return self._quirks.content_null_ok or not message.tool_calls
        head = memoryview(content)[0]
        if head != ord("["):
            return head == ord('"')
        if self._quirks.flatten_content:
            return False
        types = _TEXT if message.role == "tool" else self._types
        return all(self._part(part, types) for part in _parts.decode(content))

    def _part(self, part: _Part, types: Collection[str]) -> bool:
        if part.type not in types:
            return False
        if part.cache_control is not UNSET and not self._quirks.cache_control_parts:
            return False
        if part.prompt_cache_breakpoint is not UNSET and not self._marks:
            return False
        return not (isinstance(part.image_url, Raw) and memoryview(part.image_url)[0] == ord('"'))


class _Named(Struct):
    name: str = ""


class _Tool(Struct):
    type: str | None = None
    function: _Named | None = None
    custom: _Named | None = None


def _takes_tools(top: dict[str, Raw], quirks: Quirks) -> bool:
    if any(key in top for key in _OLD):
        return False
    if "tools" not in top or not present(top["tools"]):
        return "tool_choice" not in top and "parallel_tool_calls" not in top
    tools = msgspec.json.decode(top["tools"], type=list[_Tool])
    for tool in tools:
        named = tool.function or tool.custom
        if named is not None and legal_name(named.name, RULES) != named.name:
            return False
        if tool.type == "custom" and not quirks.custom_tools:
            return False
    if not quirks.strict_tools and b'"strict"' in bytes(top["tools"]):
        return False
    choice = bytes(top["tool_choice"]) if "tool_choice" in top else b"null"
    if not quirks.allowed_tools and b"allowed_tools" in choice:
        return False
    forced = choice not in (b"null", b'"auto"', b'"none"')
    return bool(tools) and (quirks.forced_tools or not forced)


class _Format(Struct):
    type: str = "text"


def _takes_output(top: dict[str, Raw], quirks: Quirks) -> bool:
    raw = top.get("response_format")
    if raw is None or not present(raw):
        return True
    kind = msgspec.json.decode(raw, type=_Format).type
    return {"json_schema": quirks.json_schema, "json_object": quirks.json_object}.get(kind, True)


def _takes_shape(top: dict[str, Raw], target: Target) -> bool:
    """Whether `n`, `logprobs` and `stop` can go as they are (they are refused or cut elsewhere if not)."""
    lacks = _lacking(top, target)
    if any(key in lacks and _says_something(key, top.get(key)) for key in ("n", "logprobs")):
        return False
    stop = top.get("stop")
    if stop is None or not present(stop):
        return True
    wanted = msgspec.json.decode(stop, type=str | list[str])
    return (1 if isinstance(wanted, str) else len(wanted)) <= stops_taken(target)


_STYLES = {
    "effort": ("reasoning_effort",),
    "openrouter": ("reasoning", "reasoning_effort"),
    "thinking_type": ("thinking", "reasoning_effort"),
    "enable_thinking": ("enable_thinking", "thinking_budget"),
    "template": ("chat_template_kwargs",),
    "none": (),
}


def _thinking_edits(top: dict[str, Raw], target: Target) -> dict[str, bytes | None] | None:
    """Edits of the reasoning switches; None when they have to be said in another way."""
    if _SWITCHES.isdisjoint(top):
        return {}
    asked = {key for key in _SWITCHES if present(top.get(key))}
    if not asked <= set(_STYLES[quirks_.of(target).thinking_style]):
        return None
    if "reasoning_effort" in asked:
        word = msgspec.json.decode(top["reasoning_effort"], type=str)
        if word not in thinking.words(target):
            return None
    return {}


def _lacking(top: dict[str, Raw], target: Target) -> frozenset[str]:
    effort = top.get("reasoning_effort")
    return lacking(target, msgspec.json.decode(effort, type=str | None) if effort is not None else None)


# What a server does anyway.
_DEFAULTS = {"temperature": (b"1", b"1.0"), "service_tier": (b'"auto"',), "n": (b"1",), "logprobs": (b"false",)}


def _says_something(name: str, value: Raw | None) -> bool:
    """Whether the client loses anything when a parameter is left out."""
    return present(value) and bytes(value or b"") not in _DEFAULTS.get(name, ())


def _edits(top: dict[str, Raw], target: Target, stream: bool, edits: dict[str, bytes | None]) -> Edits:
    quirks = quirks_.of(target)
    edits["model"] = msgspec.json.encode(target.model)
    dropped: list[str] = []
    for name in _lacking(top, target).intersection(top):
        edits[name] = None
        if _says_something(name, top[name]):
            dropped.append(name)
    _limit(top, target, edits)
    hide = _stream(top, quirks, stream, edits)
    return Edits(edits, tuple(sorted(dropped)), hide)


def legacy_edits(top: dict[str, Raw], target: Target, stream: bool) -> Edits:
    """The edits of a legacy completions body, which is never translated for a server of its own format."""
    edits: dict[str, bytes | None] = {"model": msgspec.json.encode(target.model)}
    hide = _stream(top, quirks_.of(target), stream, edits)
    return Edits(edits, hide_usage=hide)


def _limit(top: dict[str, Raw], target: Target, edits: dict[str, bytes | None]) -> None:
    field = quirks_.of(target).max_tokens_field
    other = "max_tokens" if field == "max_completion_tokens" else "max_completion_tokens"
    given = [top[key] for key in ("max_completion_tokens", "max_tokens") if present(top.get(key))]
    limit = msgspec.json.decode(given[0], type=int, strict=False) if given else 0
    if other in top:
        edits[other] = None
    if limit <= 0:
        edits |= {field: None} if field in top else {}
        return
    most = target.max_output
    wanted = min(limit, most) if most else limit
    if bytes(top.get(field, Raw(b""))) != str(wanted).encode():
        edits[field] = str(wanted).encode()


def _stream(top: dict[str, Raw], quirks: Quirks, stream: bool, edits: dict[str, bytes | None]) -> bool:
    """Whether the usage chunk has to be hidden from the client."""
    if bytes(top.get("stream", Raw(b"false"))) != (b"true" if stream else b"false"):
        edits["stream"] = b"true" if stream else b"false"
    raw = top.get("stream_options")
    options = msgspec.json.decode(raw, type=wire.StreamOptions | None) if raw is not None else None
    if not stream or not quirks.stream_usage:
        if raw is not None:
            edits["stream_options"] = None
        return False
    if options is not None and options.include_usage:
        return False
    kept = options or wire.StreamOptions()
    edits["stream_options"] = msgspec.json.encode(msgspec.structs.replace(kept, include_usage=True))
    return True


def hides(frame: sse.Frame) -> bool:
    """Whether a record of the stream is the usage chunk: no choices, but counts."""
    if b'"usage"' not in frame.data or not _NO_CHOICES.search(frame.data):
        return False
    try:
        found = jsonx.peek(frame.data, wire.Answer, strict=False)
    except jsonx.Malformed:
        return False
    return not found.choices and found.usage is not None
