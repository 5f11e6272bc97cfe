"""A request for a server: the canonical form to chat completions bytes.

Rules. Keys go out in a fixed order and nothing volatile is added, so prompt caches keep hitting. A tuning knob that
the server lacks is left out and named in `Encoded.dropped`; `n` and `logprobs`, which change the answer's shape, are
refused. Stop strings beyond the server's limit are the daemon's to cut.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import cache_key, openai_models
from llm_mux.translators import effort as efforts
from llm_mux.translators.base import Encoded, Target
from llm_mux.translators.foreign import described, lost_fields
from llm_mux.translators.ids import digest
from llm_mux.translators.openai_chat import quirks as quirks_
from llm_mux.translators.openai_chat import thinking, toolbox, turns, wire
from llm_mux.translators.tools import NameRules, legal_name, names_for
from llm_mux.wire import jsonx

RULES = NameRules()
_OPENAI_PROTOCOLS = ("openai_chat", "openai_responses", "openai_completions")
_SAMPLED = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias")


def encode_request(request: ir.Request, target: Target) -> Encoded:
    """The body of `POST /chat/completions` for `target`. Raises BAD_REQUEST for content the server cannot take."""
    dropped: list[str] = []
    names = names_for(request, RULES)
    body: dict[str, object] = {"model": target.model, "messages": []}
    messages = turns.encode(request, target, names, dropped)
    body |= toolbox.encode(request, target, names, dropped)
    output, instruction = _output(request, target, dropped)
    body |= output
    if instruction:
        messages.insert(0, turns.MessageOut("system", instruction))
    body["messages"] = messages
    body |= _limits(request, target)
    stops, later = _stops(request, target)
    body |= stops
    body |= _sampling(request, target, dropped)
    body |= thinking.encode(request, target, dropped)
    body |= _identity(request, target, dropped)
    body |= _extras(request, target, dropped)
    body |= _streaming(request, target)
    return Encoded(jsonx.encode(body), tuple(dict.fromkeys(dropped)), names, later)


def _limits(request: ir.Request, target: Target) -> dict[str, object]:
    if request.max_tokens is None:
        return {}
    most = target.max_output
    return {quirks_.of(target).max_tokens_field: min(request.max_tokens, most) if most else request.max_tokens}


def stops_taken(target: Target) -> int:
    """How many stop strings the target takes: OpenAI's reasoning models take none."""
    quirks = quirks_.of(target)
    if "stop" in quirks.unsupported or (quirks.openai_models and openai_models.facts(target.model).reasons):
        return 0
    return quirks.stop_limit


def _stops(request: ir.Request, target: Target) -> tuple[dict[str, object], tuple[str, ...]]:
    taken = stops_taken(target)
    sent = request.stop[:taken]
    return ({"stop": sent} if sent else {}), request.stop[taken:]


def lacking(target: Target, effort: str | None) -> frozenset[str]:
    """The parameters the target does not take, given the effort it is asked for."""
    quirks = quirks_.of(target)
    if quirks.openai_models and not openai_models.facts(target.model).samples(effort):
        return quirks.unsupported | {*_SAMPLED, "logprobs", "top_logprobs"}
    return quirks.unsupported


def _sampling(request: ir.Request, target: Target, dropped: list[str]) -> dict[str, object]:
    asked = {name: getattr(request.sampling, name) for name in request.sampling.__struct_fields__}
    lacks = lacking(target, efforts.of(request.thinking))
    fields: dict[str, object] = {}
    for name, value in asked.items():
        if value is None or (name == "n" and value == 1) or (name == "logprobs" and value is False):
            continue
        if name not in lacks:
            fields[name] = value
        elif name in ("n", "logprobs"):
            raise refused(f"{name} = {msgspec.json.encode(value).decode()}", target.title, param=name)
        elif not (name == "temperature" and value == 1):
            dropped.append(name)
    if "top_logprobs" in fields:
        fields.setdefault("logprobs", True)
    return fields


def _output(request: ir.Request, target: Target, dropped: list[str]) -> tuple[dict[str, object], str | None]:
    """`response_format`, and the instruction that stands in for what the server cannot be told otherwise."""
    quirks, asked = quirks_.of(target), request.output
    if asked.kind == "text":
        return {}, None
    if asked.kind == "schema" and asked.schema is not None and quirks.json_schema:
        form: dict[str, object] = {"name": legal_name(asked.name or "response", RULES), "schema": asked.schema}
        if asked.description:
            form["description"] = asked.description
        if asked.strict is not None and request.protocol in _OPENAI_PROTOCOLS:
            form["strict"] = asked.strict
        return {"response_format": {"type": "json_schema", "json_schema": form}}, None
    field: dict[str, object] = {"response_format": {"type": "json_object"}} if quirks.json_object else {}
    if (schema := described(asked)) is not None:
        dropped.append("response_format")
        return field, f"Answer with one JSON object that follows this JSON Schema:\n{bytes(schema).decode()}"
    if quirks.json_object and _mentions_json(request):
        return field, None
    return field, "Answer with one JSON object."


def _mentions_json(request: ir.Request) -> bool:
    """OpenAI refuses `json_object` unless the conversation says JSON."""
    return any(
        isinstance(part, ir.Text) and "json" in part.text.lower()
        for message in request.messages
        for part in message.parts
    )


def _identity(request: ir.Request, target: Target, dropped: list[str]) -> dict[str, object]:
    """Who asks, at which tier, and the hints of a request that other formats also know."""
    lacks = quirks_.of(target).unsupported
    own = request.protocol in _OPENAI_PROTOCOLS
    asked: dict[str, object] = {}
    if request.user and "safety_identifier" not in request.extras:
        asked["user"] = request.user if own or len(request.user) <= 64 else digest(request.user)
    key = cache_key.of(request)
    if key:
        asked["prompt_cache_key"] = key
    if request.service_tier:
        asked["service_tier"] = request.service_tier
    if request.metadata is not None:
        asked["metadata"] = request.metadata
    if request.verbosity:
        asked["verbosity"] = request.verbosity
    if request.modalities:
        asked["modalities"] = request.modalities
    lacks = lacks if own else lacks | _unlike_ours(request)
    silent = set() if request.cache_key else {"prompt_cache_key"}
    silent |= {"service_tier"} if request.service_tier == "auto" else set()
    dropped += [name for name in asked if name in lacks and name not in silent]
    return {name: value for name, value in asked.items() if name not in lacks}


_TIERS = frozenset({"auto", "default", "flex", "priority"})


def _unlike_ours(request: ir.Request) -> set[str]:
    """What clients of other formats say in words that this one has not."""
    lacks = {"modalities"}
    if request.service_tier not in _TIERS:
        lacks.add("service_tier")
    if request.metadata is not None and not _is_pairs(request.metadata):
        lacks.add("metadata")
    return lacks


def _is_pairs(metadata: Raw) -> bool:
    try:
        msgspec.json.decode(metadata, type=dict[str, str])
    except msgspec.DecodeError:
        return False
    return True


def _extras(request: ir.Request, target: Target, dropped: list[str]) -> dict[str, object]:
    """The client's own unknown fields, when it speaks this format; what only another format knows is reported."""
    lacks = quirks_.of(target).unsupported
    fields: dict[str, object] = {}
    own = request.protocol == wire.NAME
    for name, raw in request.extras.items():
        if name.startswith("__") or name == "stream_options":
            continue
        templated = name == "chat_template_kwargs" and quirks_.of(target).thinking_style == "template"
        if templated or (own and name not in lacks):
            fields[name] = raw
        elif own or name in lost_fields(request):
            dropped.append(name)
    if not own:
        dropped += request.beneath
    return fields


def _streaming(request: ir.Request, target: Target) -> dict[str, object]:
    if not request.stream:
        return {}
    if not quirks_.of(target).stream_usage:
        return {"stream": True}
    options: dict[str, object] = {"include_usage": True}
    asked = request.extras.get("stream_options")
    if asked is not None and request.protocol == wire.NAME:
        found = msgspec.json.decode(asked, type=wire.StreamOptions, strict=False)
        if found.include_obfuscation is not None:
            options["include_obfuscation"] = found.include_obfuscation
    return {"stream": True, "stream_options": options}
