"""`generationConfig` for a Gemini upstream: limits, sampling, thinking by model family, and the answer's form.

Rules. A level and a budget are never sent together, and nothing about thinking to models that do not think. Knobs
without a form are dropped and named. Spec: https://ai.google.dev/api/generate-content#generationconfig
"""

from __future__ import annotations

from msgspec import Raw

from llm_mux import ir
from llm_mux.translators import effort
from llm_mux.translators.foreign import described
from llm_mux.translators.gemini.outlook import Outlook
from llm_mux.translators.gemini.schemas import for_answer
from llm_mux.wire import jsonx

STOP_LIMIT = 5
_INT32 = 2**31
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24576}
_SHOWN_WHEN_ASKED = frozenset({"gemini", "openai_responses"})
"""Formats whose clients say themselves whether they want to see reasoning."""


def encoded_config(look: Outlook) -> dict[str, object]:
    request = look.request
    made: dict[str, object] = {}
    made.update(_sampling(look))
    if request.max_tokens is not None:
        limit = look.target.max_output
        made["maxOutputTokens"] = min(request.max_tokens, limit) if limit else request.max_tokens
    stops = stop_strings(request)
    if stops:
        made["stopSequences"] = stops[:STOP_LIMIT]
    made.update(_output(look))
    if any(modality != "text" for modality in request.modalities):
        made["responseModalities"] = [modality.upper() for modality in request.modalities]
    thinking = _thinking(look)
    if thinking:
        made["thinkingConfig"] = thinking
    made.update(_resolution(look))
    if look.same_format and "generationConfig" in request.extras:
        made.update(_own(request.extras["generationConfig"], made))
    if request.verbosity is not None:
        look.drop("verbosity")
    return made


def stop_strings(request: ir.Request) -> list[str]:
    return [stop for stop in request.stop if stop]


def _own(kept: Raw, made: dict[str, object]) -> dict[str, Raw]:
    """What only this format knows; a schema in the message form replaces the one made from it."""
    rest = jsonx.decode(bytes(kept), dict[str, Raw])
    if "responseSchema" in rest:
        made.pop("responseJsonSchema", None)
    if "responseFormat" in rest:
        made.pop("responseJsonSchema", None)
        made.pop("responseMimeType", None)
    return rest


def _sampling(look: Outlook) -> dict[str, object]:
    sampling = look.request.sampling
    for name, value in (
        ("min_p", sampling.min_p),
        ("repetition_penalty", sampling.repetition_penalty),
        ("logit_bias", sampling.logit_bias),
    ):
        if value is not None:
            look.drop(name)
    values: dict[str, object] = {
        "temperature": None if sampling.temperature is None else min(max(sampling.temperature, 0.0), 2.0),
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "candidateCount": sampling.n if sampling.n != 1 else None,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "seed": None if sampling.seed is None else _int32(sampling.seed),
        "responseLogprobs": sampling.logprobs,
        "logprobs": sampling.top_logprobs if sampling.logprobs else None,
    }
    return {name: _whole(value) for name, value in values.items() if value is not None}


def _int32(seed: int) -> int:
    return seed if -_INT32 <= seed < _INT32 else seed % _INT32


def _whole(value: object) -> object:
    """A whole float as an int: `topK` 40 and not 40.0, which some hosts refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _output(look: Outlook) -> dict[str, object]:
    output = look.request.output
    if output.kind == "text" or in_words(look):
        return {}
    made: dict[str, object] = {"responseMimeType": "application/json"}
    if output.kind == "schema" and (schema := described(output)) is not None:
        name = "responseJsonSchema" if look.json_schema else "responseSchema"
        made[name] = for_answer(schema, json_schema=look.json_schema)
    return made


def in_words(look: Outlook) -> str | None:
    """The answer's form as a sentence, for models that refuse it beside tools."""
    output = look.request.output
    if output.kind == "text" or look.facts.schema_with_tools or not look.request.tools:
        return None
    said = "When you answer without calling a tool, answer with JSON only, without a code fence"
    schema = described(output)
    return f"{said}, by this schema: {bytes(schema).decode()}" if schema is not None else f"{said}."


def _thinking(look: Outlook) -> dict[str, object]:
    thinking = look.request.thinking
    if look.facts.thinking == "none":
        if thinking.asked and not thinking.off:
            look.drop("reasoning_effort")
        return {}
    depth = _level(thinking, look) if look.facts.thinking == "level" else _budget(thinking, look)
    shown = _shown(look)
    return depth if shown is None else depth | {"includeThoughts": shown}


def _shown(look: Outlook) -> bool | None:
    thinking = look.request.thinking
    if thinking.off:
        return False
    if thinking.show is not None:
        return thinking.show
    return True if thinking.asked and look.request.protocol not in _SHOWN_WHEN_ASKED else None


def _level(thinking: ir.Thinking, look: Outlook) -> dict[str, object]:
    wanted = effort.of(thinking)
    if wanted is None:
        return {}
    level = {"none": "minimal", "max": "xhigh"}.get(wanted, wanted)
    found = effort.nearest(level, look.facts.levels)
    return {} if found is None else {"thinkingLevel": found.upper()}


def _budget(thinking: ir.Thinking, look: Outlook) -> dict[str, object]:
    low, high = look.facts.budget
    if thinking.budget is not None and thinking.budget > 0:
        wanted = thinking.budget
    elif thinking.off:
        return {"thinkingBudget": look.facts.least_budget}
    elif thinking.effort is not None:
        wanted = _BUDGETS.get(thinking.effort, high)
    else:
        return {"thinkingBudget": -1} if thinking.adaptive else {}
    return {"thinkingBudget": min(max(wanted, low), high)}


def _resolution(look: Outlook) -> dict[str, object]:
    """One media resolution for the request when all images agree on a detail; a mix has no form."""
    details = {
        part.detail
        for message in look.request.messages
        for held in message.parts
        for part in (held.content if isinstance(held, ir.ToolResult) else (held,))
        if isinstance(part, ir.Image) and part.detail is not None and not _has_resolution(part)
    }
    if details in ({"low"}, {"high"}):
        return {"mediaResolution": f"MEDIA_RESOLUTION_{details.pop().upper()}"}
    if details - {"auto"}:
        look.drop("image.detail")
    return {}


def _has_resolution(image: ir.Image) -> bool:
    """Whether the image brings its own per-part resolution."""
    return image.native is not None and b"mediaResolution" in bytes(image.native.data)
