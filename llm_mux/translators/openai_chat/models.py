"""What OpenAI's model families take, read off their names, and the model list every server of this format gives.

Rule: facts apply only where the quirks say the models are OpenAI's own (`openai_models`). A name without a known
family is taken for a plain chat model that takes everything.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.translators.base import ModelInfo, nonsense
from llm_mux.wire import jsonx

# `gpt-35-turbo`, Azure's spelling of 3.5, is no version 35.
_GPT = re.compile(r"(?:^|[/.:-])gpt-(\d|1\d)(?:\.(\d+))?(?=$|[-@:])", re.IGNORECASE)
_OLD_GPT = re.compile(r"gpt-[34]", re.IGNORECASE)
_O_SERIES = re.compile(r"(?:^|[/.:-])o\d+(?:$|-)", re.IGNORECASE)


def version(model: str) -> tuple[int, int] | None:
    """(5, 6) for `gpt-5.6-sol`, (6, 0) for `openai/gpt-6-astra`, None for anything else (`gpt-4o` too)."""
    found = _GPT.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else None


def reasons(model: str) -> bool:
    """Whether this is a reasoning model: the o series, and gpt-5 and later except the chat variants."""
    number = version(model)
    if number is not None:
        return number >= (5, 0) and "-chat" not in model
    return bool(_O_SERIES.search(model))


def efforts(model: str) -> frozenset[str]:
    """The effort words a model takes; empty for known models that do not reason, all for unknown ones."""
    number = version(model)
    if not reasons(model):
        known = number is not None or _OLD_GPT.search(model)
        return frozenset() if known else frozenset(ir.EFFORTS)
    if number is None:
        return frozenset({"low", "medium", "high"})
    if number < (5, 1):
        return frozenset({"minimal", "low", "medium", "high"})
    words = {"none", "low", "medium", "high"}
    if number >= (5, 2):
        words.add("xhigh")
    if number >= (5, 6):
        words.add("max")
    return frozenset(words)


def samples(model: str, effort: str | None) -> bool:
    """Whether the model takes temperature, top_p, penalties and logprobs: reasoning models only with effort none."""
    return not reasons(model) or (effort == "none" and "none" in efforts(model))


def shows_chain(model: str) -> bool:
    """Whether the reasoning that comes back is the chain itself: open-weight models; closed ones give summaries."""
    return ir.family(model) not in ("claude", "gemini", "gpt", "grok") or "gpt-oss" in model


def takes_breakpoints(model: str) -> bool:
    """Whether parts may carry `prompt_cache_breakpoint`."""
    number = version(model)
    return number is not None and number >= (5, 6)


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
    if not takes_breakpoints(model):
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


def _info(entry: _Entry) -> ModelInfo:
    contexts = (entry.context_length, entry.context_window, entry.max_context_length, entry.max_model_len)
    outputs = (
        entry.max_completion_tokens,
        entry.max_output_tokens,
        entry.top_provider.max_completion_tokens if entry.top_provider else None,
    )
    return ModelInfo(
        id=entry.id,
        display_name=entry.display_name or entry.name,
        created=int(entry.created) if entry.created else None,
        owned_by=entry.owned_by,
        context=next((n for n in contexts if n), None),
        max_output=next((n for n in outputs if n), None),
        capabilities=_capabilities(entry),
        description=entry.description,
    )


def _capabilities(entry: _Entry) -> tuple[str, ...]:
    words: list[str] = []
    named = entry.capabilities
    if isinstance(named, Raw):
        words += _named(named)
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
