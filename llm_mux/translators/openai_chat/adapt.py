"""When a client's own bytes may go to a server of the same format, and under which top-level edits.

Rule: a cheap look at the top-level keys and for a few byte patterns, erring on the side of translating. Whatever this
module lets through must mean the same to the server as what `encode_request` would send.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from llm_mux.translators.base import Edits, Target, present
from llm_mux.translators.openai_chat import models, thinking, wire
from llm_mux.translators.openai_chat import quirks as quirks_
from llm_mux.translators.openai_chat.encode import RULES, lacking, stops_taken
from llm_mux.translators.openai_chat.quirks import Quirks
from llm_mux.translators.tools import legal_name
from llm_mux.wire import jsonx, sse

_BARE_IMAGE = re.compile(rb'"image_url"\s*:\s*"')
_NULL_CONTENT = re.compile(rb'"content"\s*:\s*null')
_LIST_CONTENT = re.compile(rb'"content"\s*:\s*\[')
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_OLD = ("functions", "function_call")


def adapt(body: bytes, target: Target, stream: bool) -> Edits | None:
    """The edits for `target`, or None when the body has to be translated."""
    try:
        top = jsonx.top(body)
        quirks = quirks_.of(target)
        if not _plain(body, quirks, target) or not _takes_tools(top, quirks) or not _takes_output(top, quirks):
            return None
        edits = _thinking_edits(top, target)
        if edits is None or not _takes_shape(top, target):
            return None
        return _edits(top, target, stream, edits)
    except (jsonx.Malformed, msgspec.DecodeError):
        return None


def _plain(body: bytes, quirks: Quirks, target: Target) -> bool:
    """Whether nothing inside the messages needs another form for this server."""
    marks = quirks.cache_breakpoints and models.takes_breakpoints(target.model)
    unwelcome = (
        (b"gw1.", False),
        (b'"function_call"', False),
        (b'"developer"', quirks.developer_role),
        (
            b'"reasoning_content"',
            quirks.send_back_reasoning != "never" and quirks.reasoning_field == "reasoning_content",
        ),
        (b'"reasoning_details"', quirks.reasoning_details),
        (b'"cache_control"', quirks.cache_control_parts),
        (b'"prompt_cache_breakpoint"', marks),
        (b'"extra_content"', quirks.extra_content_signatures),
        (b'"image_url"', quirks.images and quirks.image_urls),
        (b'"input_audio"', quirks.audio),
        (b'"file_data"', quirks.files),
        (b'"video_url"', quirks.video),
        (b'"refusal"', quirks.refusals),
    )
    if any(not welcome and pattern in body for pattern, welcome in unwelcome):
        return False
    if _BARE_IMAGE.search(body) or (not quirks.content_null_ok and _NULL_CONTENT.search(body)):
        return False
    strict = quirks.single_system or quirks.send_back_reasoning == "tool_loops" or quirks.tool_id_limit < 29
    if strict and b'"tool_calls"' in body:
        return False
    if quirks.single_system and body.count(b'"system"') > 1:
        return False
    return not (quirks.flatten_content and _LIST_CONTENT.search(body))


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
    lacks = quirks_.of(target).unsupported
    if any(present(top.get(key)) and key in lacks for key in ("n", "logprobs")):
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
    asked = {key for key in (*thinking.FIELDS, "chat_template_kwargs") if present(top.get(key))}
    if not asked <= set(_STYLES[quirks_.of(target).thinking_style]):
        return None
    if "reasoning_effort" in asked:
        word = msgspec.json.decode(top["reasoning_effort"], type=str)
        if word not in thinking.words(target):
            return None
    return {}


def _edits(top: dict[str, Raw], target: Target, stream: bool, edits: dict[str, bytes | None]) -> Edits:
    quirks = quirks_.of(target)
    edits["model"] = msgspec.json.encode(target.model)
    dropped: list[str] = []
    effort = top.get("reasoning_effort")
    word = msgspec.json.decode(effort, type=str | None) if effort is not None else None
    for name in lacking(target, word):
        if name in top:
            edits[name] = None
            if present(top[name]):
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
