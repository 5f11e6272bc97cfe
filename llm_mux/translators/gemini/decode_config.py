"""`generationConfig`, `toolConfig` and `serviceTier` of a client to the canonical form.

Rule: what has a canonical field is taken out, the rest of `generationConfig` is kept for targets of the same format.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw, Struct, field

from llm_mux import ir
from llm_mux.translators.base import present
from llm_mux.translators.gemini import fields, schemas, spelling
from llm_mux.wire import jsonx

_NAME = "generationConfig"
_TIERS = {"STANDARD": "default", "FLEX": "flex", "PRIORITY": "priority"}


class Config(Struct, frozen=True):
    """A read `generationConfig`; `rest` holds what only this format knows."""

    sampling: ir.Sampling = field(default_factory=ir.Sampling)
    thinking: ir.Thinking = field(default_factory=ir.Thinking)
    output: ir.OutputFormat = field(default_factory=ir.OutputFormat)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    rest: dict[str, Raw] = field(default_factory=dict)


def config(value: Raw | None) -> Config:
    if value is None or not present(value):
        return Config()
    rest = fields.members(_NAME, value)
    modalities = fields.optional(f"{_NAME}.responseModalities", rest, list[str]) or []
    return Config(
        sampling=_sampling(rest),
        thinking=_thinking(rest.pop("thinkingConfig", None)),
        output=_output(rest),
        max_tokens=fields.optional(f"{_NAME}.maxOutputTokens", rest, int),
        stop=_stop(rest.pop("stopSequences", None)),
        modalities=tuple(spelling.word(item).lower() for item in modalities),
        rest={name: inner for name, inner in rest.items() if present(inner)},
    )


def _stop(value: Raw | None) -> tuple[str, ...]:
    if value is None or not present(value):
        return ()
    name = f"{_NAME}.stopSequences"
    if bytes(value).startswith(b'"'):
        return (fields.decoded(name, value, str),)
    return tuple(fields.decoded(name, value, list[str]))


def _sampling(rest: dict[str, Raw]) -> ir.Sampling:
    def number(name: str) -> float | None:
        return fields.optional(f"{_NAME}.{name}", rest, float)

    def whole(name: str) -> int | None:
        return fields.optional(f"{_NAME}.{name}", rest, int)

    return ir.Sampling(
        temperature=number("temperature"),
        top_p=number("topP"),
        top_k=number("topK"),
        presence_penalty=number("presencePenalty"),
        frequency_penalty=number("frequencyPenalty"),
        seed=whole("seed"),
        logprobs=fields.optional(f"{_NAME}.responseLogprobs", rest, bool),
        top_logprobs=whole("logprobs"),
        n=whole("candidateCount"),
    )


def _thinking(value: Raw | None) -> ir.Thinking:
    if value is None or not present(value):
        return ir.Thinking()
    name = f"{_NAME}.thinkingConfig"
    rest = fields.members(name, value)
    level = fields.optional(f"{name}.thinkingLevel", rest, str)
    budget = fields.optional(f"{name}.thinkingBudget", rest, int)
    effort = spelling.word(level, "THINKING_LEVEL_").lower() or None
    return ir.Thinking(
        effort=effort if effort in ir.EFFORTS else None,
        budget=None if budget == -1 else budget,
        adaptive=budget == -1,
        show=fields.optional(f"{name}.includeThoughts", rest, bool),
    )


def _output(rest: dict[str, Raw]) -> ir.OutputFormat:
    """The answer's form. A schema in the message form stays in `rest` too: a Gemini target gets it as it was."""
    mime = fields.optional(f"{_NAME}.responseMimeType", rest, str) or ""
    if mime.lower() == "text/x.enum":
        rest["responseMimeType"] = Raw(jsonx.encode(mime))
        return ir.OutputFormat()
    given = rest.get("responseJsonSchema") or rest.get("responseSchema")
    if given is not None and present(given):
        if "responseJsonSchema" in rest:
            return ir.OutputFormat("schema", schema=rest.pop("responseJsonSchema"))
        fields.members(f"{_NAME}.responseSchema", given)
        return ir.OutputFormat("schema", schema=schemas.from_message(given))
    if mime.lower() == "application/json":
        return ir.OutputFormat("json")
    return _output_of_formats(rest.get("responseFormat"))


class _TextFormat(msgspec.Struct, frozen=True):
    mimeType: str | None = None
    jsonSchema: Raw | msgspec.UnsetType = msgspec.UNSET


class _Format(msgspec.Struct, frozen=True):
    text: _TextFormat | None = None


def _output_of_formats(value: Raw | None) -> ir.OutputFormat:
    """Vertex's newer list of formats, which stays in the rest as well."""
    if value is None or not present(value):
        return ir.OutputFormat()
    respelled = fields.respelled(f"{_NAME}.responseFormat", value, {"text": {}})
    for item in fields.items(f"{_NAME}.responseFormat", respelled):
        text = fields.decoded(f"{_NAME}.responseFormat", item, _Format).text
        if text is not None and isinstance(text.jsonSchema, Raw) and present(text.jsonSchema):
            return ir.OutputFormat("schema", schema=text.jsonSchema)
        if text is not None and text.mimeType == "application/json":
            return ir.OutputFormat("json")
    return ir.OutputFormat()


class _Calling(msgspec.Struct, frozen=True):
    mode: str | None = None
    allowedFunctionNames: list[str] | None = None


class _ToolConfig(msgspec.Struct, frozen=True):
    functionCallingConfig: _Calling | None = None


_MODES: dict[str, Literal["auto", "any", "none"]] = {"AUTO": "auto", "ANY": "any", "NONE": "none", "VALIDATED": "auto"}


def tool_choice(value: Raw | None) -> ir.ToolChoice | None:
    """The choice in a `toolConfig` in camelCase. VALIDATED is auto to others; same-format targets get the original."""
    if value is None:
        return None
    calling = fields.decoded("toolConfig", value, _ToolConfig).functionCallingConfig
    mode = spelling.word(calling.mode, "MODE_") if calling is not None else ""
    if calling is None or mode not in _MODES:
        return None
    names = tuple(calling.allowedFunctionNames or ())
    if mode == "ANY" and len(names) == 1:
        return ir.ToolChoice("tool", names)
    return ir.ToolChoice(_MODES[mode], names)


def service_tier(value: Raw | None) -> str | None:
    if value is None or not present(value):
        return None
    given = fields.decoded("serviceTier", value, str)
    return _TIERS.get(spelling.word(given, "SERVICE_TIER_"))
