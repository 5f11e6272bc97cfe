"""When a client's own bytes may go to a server of the same format, and under which top-level edits.

Rule: a cheap look at the top-level keys and at the outlines of messages and tools, erring on the side of translating.
Whatever this module lets through must mean the same to the server as what `encode_request` would send.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux.translators import openai_models
from llm_mux.translators.base import Edits, Outline, Target, present
from llm_mux.translators.openai_chat import quirks as quirks_
from llm_mux.translators.openai_chat import thinking, wire
from llm_mux.translators.openai_chat.encode import RULES, lacking, stops_taken
from llm_mux.translators.openai_chat.outline import OUTLINED, Call, Head, Message, Plain, Tool, Usual, Wide
from llm_mux.translators.openai_chat.quirks import Quirks
from llm_mux.translators.outlined import Known, passed, unchecked
from llm_mux.translators.repeated import all_pass
from llm_mux.translators.tools import legal_name
from llm_mux.wire import jsonx, sse

_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_QUOTE = ord('"')
_NOTHING: frozenset[str] = frozenset()
_MOST_EDITS = 64
_SHAPE = ("response_format", "n", "logprobs", "stop")
_SWITCHES = (*sorted(thinking.FIELDS), "chat_template_kwargs")


def adapt(body: bytes, target: Target, stream: bool, outline: Outline | None = None) -> Edits | None:
    """The edits for `target`, or None when the body has to be translated. `outline` is what was read of it before."""
    try:
        head = outline if isinstance(outline, Head) else jsonx.decode(body, Wide)
        rules, found = _rules(target), head.messages if isinstance(head, _WITH_MESSAGES) else None
        around = found.around if type(found) is Known else None
        fit: _Fit | None = around.memo.get((_Fit, stream)) if around is not None else None
        if fit is not None and fit.rules is rules:
            return fit.edits if _takes_messages(found, rules) else None
        edits = _fitting(body, head, rules, stream)
        if edits is None or not _takes_messages(found, rules):
            return None
        if around is not None:
            around.memo[_Fit, stream] = _Fit(rules, edits)
        return edits
    except (jsonx.Malformed, msgspec.DecodeError):
        return None


class _Fit(NamedTuple):
    """What stands around messages can go under these edits."""

    rules: _Rules
    edits: Edits


def _fitting(body: bytes, head: Head, rules: _Rules, stream: bool) -> Edits | None:
    """The edits, None when anything but the messages has to be translated."""
    if rules.quirks.split_choices and not stream:
        return None
    lacks = _NOTHING
    if rules.rare(head) != rules.unset:
        lacks = _lacking(head, rules)
        if not (
            _takes_output(head, rules.quirks) and _takes_thinking(head, rules) and _takes_shape(head, lacks, rules)
        ):
            return None
    if _tool_fields(head) != _NO_TOOLS and not _takes_tools(head, rules):
        return None
    return _edits(body, head, lacks, rules, stream) if lacks else _usual_edits(head, rules, stream)


_tool_fields = attrgetter("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call")
_NO_TOOLS = _tool_fields(Head())
_whole: msgspec.json.Decoder[int] = msgspec.json.Decoder(int, strict=False)
_word: msgspec.json.Decoder[str | None] = msgspec.json.Decoder(str | None)
_stops: msgspec.json.Decoder[str | list[str]] = msgspec.json.Decoder(str | list[str])
_options: msgspec.json.Decoder[wire.StreamOptions | None] = msgspec.json.Decoder(wire.StreamOptions | None)


class _Rules(Struct, frozen=True):
    """What a target's quirks and its model's family come to, worked out once for the target.

    `rare` gives all fields of a head that most requests lack and that would have to be looked at; `unset` is what it
    gives for a head without any. `edits` are those of the last heads of which the target takes every parameter.
    `longest_id`: ids of calls up to this length are taken, beside those of the one length that the quirks name.
    """

    target: Target
    quirks: Quirks
    model: bytes
    types: frozenset[str]
    marks: bool
    stops: int
    longest_id: int
    facts: openai_models.Facts
    lacks: frozenset[str]
    rare: Callable[[Head], tuple[object, ...]]
    unset: tuple[object, ...]
    edits: dict[object, Edits]


def _rules(target: Target) -> _Rules:
    kept = target.memo.get(_Rules)
    if isinstance(kept, _Rules):
        return kept
    quirks, facts = quirks_.of(target), openai_models.facts(target.model)
    types = {
        "text": True,
        "refusal": quirks.refusals,
        "image_url": quirks.images and quirks.image_urls,
        "input_audio": quirks.audio,
        "file": quirks.files,
        "video_url": quirks.video,
    }
    lacks = lacking(target, None)
    rare = sorted({*_SWITCHES, *_SHAPE, *(lacks & OUTLINED)})
    # Fields that an outline skips have to be looked for in the body itself, whatever else is there.
    unset = (UNSET,) * len(rare) if lacks <= OUTLINED else ()
    made = target.memo[_Rules] = _Rules(
        target=target,
        quirks=quirks,
        model=msgspec.json.encode(target.model),
        types=frozenset(name for name, taken in types.items() if taken),
        marks=quirks.cache_breakpoints and facts.breakpoints,
        stops=stops_taken(target),
        longest_id=quirks.tool_id_limit if quirks.tool_id_limit >= _FREE_ID else -1,
        facts=facts,
        lacks=lacks,
        rare=attrgetter(*rare),
        unset=unset,
        edits={},
    )
    return made


class _Part(Struct):
    type: str | None = None
    image_url: Raw | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET
    prompt_cache_breakpoint: Raw | UnsetType = UNSET


_parts: msgspec.json.Decoder[list[_Part]] = msgspec.json.Decoder(list[_Part])
_TEXT = frozenset({"text"})
_FREE_ID = 29
"""Servers that take longer ids than that take shorter ones too."""
_WITH_MESSAGES = (Usual, Wide)


def _takes_messages(found: list[Plain[Raw]] | list[Message] | None, rules: _Rules) -> bool:
    """Whether all messages can go as they are."""
    if found is None:
        return False
    if rules.quirks.single_system and sum(1 for m in found if m.role in ("system", "developer")) > 1:
        return False
    known = found if type(found) is Known else None
    look = _Look(rules)
    new: list[Any] = found if known is None else unchecked(known, rules)
    if not (look.plain(new) if new and type(new[0]) is Plain else all(map(look.whatever, new))):
        return False
    if known is not None:
        passed(known, rules)
    return True


class _Look:
    """Looks at messages for what this server needs in another form. An agent's history is hundreds of calls and their
    results: what is done for each is done in as few steps as possible."""

    __slots__ = ("_quirks", "_rules", "_signed", "_usual_calls")

    def __init__(self, rules: _Rules) -> None:
        self._quirks = rules.quirks
        self._rules = rules
        self._signed = rules.quirks.extra_content_signatures
        self._usual_calls = not self._signed and rules.quirks.send_back_reasoning == "never"

    def plain(self, messages: list[Plain[Raw]]) -> bool:
        longest, usual, behind = self._rules.longest_id, self._usual_calls, jsonx.BEHIND_TEXTS
        for message in messages:
            calls = message.tool_calls
            if behind <= message.content and not self.content(message.content, message.role, called=bool(calls)):
                return False
            if calls:
                given = calls[0].id
                if usual and len(calls) == 1 and given and len(given) <= longest and calls[0].extra_content is UNSET:
                    continue
                if not self.calls(calls, reasoned=False):
                    return False
            elif message.role == "tool":
                answered = message.tool_call_id
                if answered is None or (len(answered) > longest and not self._takes_id(answered)):
                    return False
        return True

    def whatever(self, message: Message) -> bool:
        quirks = self._quirks
        if message.cache_control is not UNSET or message.function_call is not UNSET:
            return False
        if message.prompt_cache_breakpoint is not UNSET or (message.name is not UNSET and "name" in quirks.unsupported):
            return False
        if message.role == "function" or (message.role == "developer" and not quirks.developer_role):
            return False
        if message.role == "tool" and not self._takes_id(message.tool_call_id):
            return False
        if not self.content(message.content, message.role, called=bool(message.tool_calls)):
            return False
        return message.role != "assistant" or self._assistant(message)

    def _assistant(self, message: Message) -> bool:
        quirks = self._quirks
        if message.refusal is not UNSET and present(message.refusal) and not quirks.refusals:
            return False
        here, elsewhere = message.reasoning_content, message.reasoning
        if quirks.reasoning_field == "reasoning":
            here, elsewhere = elsewhere, here
        if elsewhere is not UNSET or (here is not UNSET and quirks.send_back_reasoning == "never"):
            return False
        details = message.reasoning_details
        if isinstance(details, Raw) and (not quirks.reasoning_details or b"gw1." in bytes(details)):
            return False
        return not message.tool_calls or self.calls(message.tool_calls, reasoned=here is not UNSET)

    def calls(self, calls: list[Call[Raw]], *, reasoned: bool) -> bool:
        if not reasoned and self._quirks.send_back_reasoning != "never":
            return False
        signed = False
        for call in calls:
            if call.extra_content is not UNSET:
                signed = True
            if not self._takes_id(call.id):
                return False
        return signed == self._signed

    def _takes_id(self, given: str | None) -> bool:
        return given is not None and (len(given) <= self._rules.longest_id or len(given) == self._quirks.tool_id_limit)

    def content(self, content: Raw | UnsetType, role: str, *, called: bool) -> bool:
        if not isinstance(content, Raw) or not present(content):
            return self._quirks.content_null_ok or not called
        start = memoryview(content)[0]
        if start != ord("["):
            return start == _QUOTE
        if self._quirks.flatten_content:
            return False
        types = _TEXT if role == "tool" else self._rules.types
        return all(self._part(part, types) for part in _parts.decode(content))

    def _part(self, part: _Part, types: Collection[str]) -> bool:
        if part.type not in types:
            return False
        if part.cache_control is not UNSET and not self._quirks.cache_control_parts:
            return False
        if part.prompt_cache_breakpoint is not UNSET and not self._rules.marks:
            return False
        return not (isinstance(part.image_url, Raw) and memoryview(part.image_url)[0] == _QUOTE)


@lru_cache(4096)
def _legal(name: str) -> bool:
    return legal_name(name, RULES) == name


def _takes_tools(head: Head, rules: _Rules) -> bool:
    quirks = rules.quirks
    if head.functions is not UNSET or head.function_call is not UNSET:
        return False
    if head.tools is None:
        return head.tool_choice is UNSET and head.parallel_tool_calls is UNSET
    if not all_pass(head.tools, rules, _takes_each):
        return False
    choice = b"null" if isinstance(head.tool_choice, UnsetType) else bytes(head.tool_choice)
    if not quirks.allowed_tools and b"allowed_tools" in choice:
        return False
    forced = choice not in (b"null", b'"auto"', b'"none"')
    return bool(head.tools) and (quirks.forced_tools or not forced)


def _takes_each(tools: list[Tool], rules: _Rules) -> bool:
    quirks = rules.quirks
    for tool in tools:
        named = tool.function or tool.custom
        if named is not None and (not _legal(named.name) or (named.strict is not UNSET and not quirks.strict_tools)):
            return False
        if tool.type == "custom" and not quirks.custom_tools:
            return False
    return True


class _Format(Struct):
    type: str = "text"


def _takes_output(head: Head, quirks: Quirks) -> bool:
    raw = head.response_format
    if isinstance(raw, UnsetType) or not present(raw):
        return True
    kind = msgspec.json.decode(raw, type=_Format).type
    return {"json_schema": quirks.json_schema, "json_object": quirks.json_object}.get(kind, True)


def _takes_shape(head: Head, lacks: frozenset[str], rules: _Rules) -> bool:
    """Whether `n`, `logprobs` and `stop` can go as they are (they are refused or cut elsewhere if not)."""
    if any(key in lacks and _says_something(key, getattr(head, key)) for key in ("n", "logprobs")):
        return False
    if isinstance(head.stop, UnsetType) or not present(head.stop):
        return True
    wanted = _stops.decode(head.stop)
    return (1 if isinstance(wanted, str) else len(wanted)) <= rules.stops


_STYLES = {
    "effort": ("reasoning_effort",),
    "openrouter": ("reasoning", "reasoning_effort"),
    "thinking_type": ("thinking", "reasoning_effort"),
    "enable_thinking": ("enable_thinking", "thinking_budget"),
    "template": ("chat_template_kwargs",),
    "none": (),
}


def _takes_thinking(head: Head, rules: _Rules) -> bool:
    """Whether the reasoning switches are said in the server's own way, in words that the model takes."""
    asked = [name for name in _SWITCHES if getattr(head, name) is not UNSET and present(getattr(head, name))]
    if not asked:
        return True
    taken = _STYLES[rules.quirks.thinking_style]
    if any(name not in taken for name in asked):
        return False
    if "reasoning_effort" not in asked or isinstance(head.reasoning_effort, UnsetType):
        return True
    return msgspec.json.decode(head.reasoning_effort, type=str) in thinking.words(rules.target)


def _lacking(head: Head, rules: _Rules) -> frozenset[str]:
    """The parameters that this model does not take at the effort it is asked for."""
    effort = head.reasoning_effort
    return rules.lacks if isinstance(effort, UnsetType) else lacking(rules.target, _word.decode(effort))


# What a server does anyway.
_DEFAULTS = {"temperature": (b"1", b"1.0"), "service_tier": (b'"auto"',), "n": (b"1",), "logprobs": (b"false",)}


def _says_something(name: str, value: Raw | UnsetType) -> bool:
    """Whether the client loses anything when a parameter is left out."""
    return present(value) and not isinstance(value, UnsetType) and bytes(value) not in _DEFAULTS.get(name, ())


def _usual_edits(head: Head, rules: _Rules, stream: bool) -> Edits:
    """`_edits`, where nothing has to be left out; clients say the same with most requests."""
    most, other, options = head.max_tokens, head.max_completion_tokens, head.stream_options
    key = (
        head.model,
        head.stream,
        stream,
        bytes(most) if isinstance(most, Raw) else None,
        bytes(other) if isinstance(other, Raw) else None,
        bytes(options) if isinstance(options, Raw) else None,
    )
    known = rules.edits.get(key)
    if known is None:
        if len(rules.edits) >= _MOST_EDITS:
            rules.edits.clear()
        known = rules.edits[key] = _edits(b"", head, _NOTHING, rules, stream)
    return known


def _edits(body: bytes, head: Head, lacks: frozenset[str], rules: _Rules, stream: bool) -> Edits:
    edits: dict[str, bytes | None] = {}
    asked = b"" if head.stream is None else b"true" if head.stream else b"false"
    if head.model != rules.target.model:
        edits["model"] = rules.model
    dropped: list[str] = []
    if lacks:
        for name, value in _said(body, head, lacks):
            edits[name] = None
            if _says_something(name, value):
                dropped.append(name)
        dropped.sort()
    if head.max_tokens is not UNSET or head.max_completion_tokens is not UNSET:
        _limit(head, rules, edits)
    hide = _stream(asked, head.stream_options, rules.quirks, stream, edits)
    return Edits(edits, tuple(dropped), hide)


def _said(body: bytes, head: Head, names: frozenset[str]) -> Iterable[tuple[str, Raw | UnsetType]]:
    """Those of `names` that the body has at its top, with their values."""
    if not names <= OUTLINED:
        top = jsonx.top(body)
        return [(name, top[name]) for name in names & top.keys()]
    return [(name, value) for name in names if (value := getattr(head, name)) is not UNSET]


def legacy_edits(top: dict[str, Raw], target: Target, stream: bool) -> Edits:
    """The edits of a legacy completions body, which is never translated for a server of its own format."""
    edits: dict[str, bytes | None] = {"model": msgspec.json.encode(target.model)}
    asked, options = bytes(top.get("stream", b"")), top.get("stream_options", UNSET)
    hide = _stream(asked, options, quirks_.of(target), stream, edits)
    return Edits(edits, hide_usage=hide)


@lru_cache(256)
def _number(raw: bytes) -> int:
    return _whole.decode(raw)


def _limit(head: Head, rules: _Rules, edits: dict[str, bytes | None]) -> None:
    """The limit on the answer under the server's own name for it, clamped to what the model can."""
    given = head.max_completion_tokens if present(head.max_completion_tokens) else head.max_tokens
    limit = _number(bytes(given)) if isinstance(given, Raw) and present(given) else 0
    field = rules.quirks.max_tokens_field
    named, other = head.max_completion_tokens, head.max_tokens
    if field == "max_tokens":
        named, other = other, named
    if other is not UNSET:
        edits["max_tokens" if field == "max_completion_tokens" else "max_completion_tokens"] = None
    if limit <= 0:
        edits |= {field: None} if named is not UNSET else {}
        return
    most = rules.target.max_output
    wanted = str(min(limit, most) if most else limit).encode()
    if isinstance(named, UnsetType) or bytes(named) != wanted:
        edits[field] = wanted


def _stream(asked: bytes, raw: Raw | UnsetType, quirks: Quirks, stream: bool, edits: dict[str, bytes | None]) -> bool:
    """Whether the usage chunk has to be hidden from the client. `asked`: the body's `stream`, b"" without one."""
    if (asked or b"false") != (b"true" if stream else b"false"):
        edits["stream"] = b"true" if stream else b"false"
    options = None if isinstance(raw, UnsetType) else _options.decode(raw)
    if not stream or not quirks.stream_usage:
        if raw is not UNSET:
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
