"""What models do in this format alone, read off their names, and the model list every server of this format gives.

Rule: what OpenAI's families take in both of its formats says `translators.openai_models`.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.translators import openai_models
from llm_mux.translators.base import ModelInfo, nonsense
from llm_mux.wire import jsonx


def shows_chain(model: str) -> bool:
    """Whether the reasoning that comes back is the chain itself: open-weight models; closed ones give summaries."""
    return ir.family(model) not in ("claude", "gemini", "gpt", "grok") or "gpt-oss" in model


def searches(model: str) -> bool:
    """Whether this is one of the models that take `web_search_options`."""
    return "-search" in model


class _Asked(Struct):
    tools: list[Raw] | None = None
    functions: list[Raw] | None = None
    reasoning_effort: str | None = None


def prefers_responses(body: bytes, model: str) -> bool:
    """Whether a chat request should rather go to the Responses endpoint: from gpt-5.6 on, function tools together
    with reasoning are refused here. `body` is the client's; an unreadable one prefers nothing."""
    number = openai_models.version(model)
    if number is None or number < (5, 6):
        return False
    try:
        asked = msgspec.json.decode(body, type=_Asked, strict=False)
    except msgspec.DecodeError:
        return False
    return bool(asked.tools or asked.functions) and asked.reasoning_effort != "none"


class _Architecture(Struct):
    input_modalities: list[str] = []


class _TopProvider(Struct):
    max_completion_tokens: int | None = None


class _Entry(Struct):
    """One model in the list: OpenAI's fields, then those of OpenRouter, Groq, Mistral, Together and vLLM."""

    id: str
    created: float | None = None
    owned_by: str | None = None
    name: str | None = None
    vendor: str | None = None
    display_name: str | None = None
    description: str | None = None
    context_length: int | None = None
    context_window: int | None = None
    max_context_length: int | None = None
    max_model_len: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    top_provider: _TopProvider | None = None
    architecture: _Architecture | None = None
    supported_parameters: list[str] | None = None
    capabilities: Raw | msgspec.UnsetType = msgspec.UNSET


def decode_models(body: bytes) -> list[ModelInfo]:
    """A server's model list: `{"data": []}`, `{"models": []}` or a bare array; entries without an id are skipped."""
    try:
        items = _items(body)
    except (msgspec.DecodeError, jsonx.Malformed) as error:
        raise nonsense("a model list that cannot be read") from error
    return [_info(entry) for entry in (_entry(raw) for raw in items) if entry is not None]


def _items(body: bytes) -> list[Raw]:
    if body.lstrip()[:1] == b"[":
        return jsonx.decode(body, list[Raw])
    top = jsonx.top(body)
    found = top.get("data") or top.get("models")
    if found is None:
        raise nonsense("a model list without a list in it")
    return msgspec.json.decode(found, type=list[Raw])


def _entry(raw: Raw) -> _Entry | None:
    try:
        return msgspec.json.decode(raw, type=_Entry, strict=False)
    except msgspec.ValidationError:
        return _bare(raw)


class _Bare(Struct):
    id: str


def _bare(raw: Raw) -> _Entry | None:
    """An entry with a field of an unexpected type: its id is enough."""
    try:
        return _Entry(id=msgspec.json.decode(raw, type=_Bare).id)
    except msgspec.ValidationError:
        return None


class _Limits(Struct, frozen=True):
    max_context_window_tokens: int | None = None
    max_output_tokens: int | None = None


class _Nested(Struct, frozen=True):
    """Capabilities as Copilot tells them."""

    limits: _Limits = _Limits()
    supports: Raw | msgspec.UnsetType = msgspec.UNSET


def _nested(raw: Raw | msgspec.UnsetType) -> _Nested:
    try:
        return msgspec.json.decode(raw, type=_Nested) if isinstance(raw, Raw) else _Nested()
    except msgspec.ValidationError:
        return _Nested()


def _info(entry: _Entry) -> ModelInfo:
    limits = _nested(entry.capabilities).limits
    contexts = (
        *(entry.context_length, entry.context_window, entry.max_context_length, entry.max_model_len),
        limits.max_context_window_tokens,
    )
    outputs = (
        entry.max_completion_tokens,
        entry.max_output_tokens,
        entry.top_provider.max_completion_tokens if entry.top_provider else None,
        limits.max_output_tokens,
    )
    return ModelInfo(
        id=entry.id,
        display_name=entry.display_name or entry.name,
        created=int(entry.created) if entry.created else None,
        owned_by=entry.owned_by or entry.vendor,
        context=next((n for n in contexts if n), None),
        max_output=next((n for n in outputs if n), None),
        capabilities=_capabilities(entry),
        description=entry.description,
    )


def _capabilities(entry: _Entry) -> tuple[str, ...]:
    words: list[str] = []
    named = entry.capabilities
    if isinstance(named, Raw):
        supports = _nested(named).supports
        words += _named(supports if isinstance(supports, Raw) else named)
    if entry.architecture and "image" in entry.architecture.input_modalities:
        words.append("vision")
    for parameter, word in (("tools", "tools"), ("structured_outputs", "structured"), ("reasoning", "thinking")):
        if parameter in (entry.supported_parameters or ()):
            words.append(word)
    return tuple(dict.fromkeys(words))


_WORDS = {
    "vision": "vision",
    "function_calling": "tools",
    "tools": "tools",
    "tool_use": "tools",
    "tool_calls": "tools",
    "structured_outputs": "structured",
    "reasoning": "thinking",
}


def _named(raw: Raw) -> list[str]:
    """Capabilities as an object of flags (Mistral) or a list of words (LM Studio)."""
    try:
        found = msgspec.json.decode(raw, type=dict[str, object] | list[str])
    except msgspec.ValidationError:
        return []
    true = found if isinstance(found, list) else [word for word, value in found.items() if value is True]
    return [_WORDS[word] for word in true if word in _WORDS]
