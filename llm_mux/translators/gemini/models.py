"""What differs between Gemini model families, and the provider's model list.

Rule: facts by model name, overruled by the model list where that says something. An unknown name is taken for a model
of the newest family: new names appear weekly, old ones do not. Spec: https://ai.google.dev/gemini-api/docs/models
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from llm_mux.translators.base import ModelInfo
from llm_mux.wire import jsonx

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_NEWEST = (3, 9)
_WITHOUT_THINKING = ("image", "tts", "embedding", "native-audio", "aqa", "imagen", "veo")


class Facts(Struct, frozen=True):
    """What one model takes. `budget` is the range of `thinkingBudget`; `least_budget` the nearest to off."""

    thinking: Literal["level", "budget", "none"] = "level"
    levels: tuple[str, ...] = ("minimal", "low", "medium", "high")
    budget: tuple[int, int] = (128, 32768)
    least_budget: int = 128
    signatures: bool = True
    json_schema: bool = True
    schema_with_tools: bool = True
    media_in_results: bool = True
    https_files: bool = True
    validated_mode: bool = True
    search_with_functions: bool = True


_OLD = Facts(
    thinking="none",
    signatures=False,
    json_schema=False,
    schema_with_tools=False,
    media_in_results=False,
    https_files=False,
    validated_mode=False,
    search_with_functions=False,
)


def facts(model: str, capabilities: frozenset[str] = frozenset()) -> Facts:
    """The facts of `model`. `capabilities` are of the model list; "generate" marks a list that also names thinking."""
    name = model.rsplit("/", 1)[-1].lower()
    version = _version(name)
    if version < (2, 5):
        return _OLD
    thinks = not any(word in name for word in _WITHOUT_THINKING)
    if "generate" in capabilities:
        thinks = "thinking.enabled" in capabilities
    if version < (3, 0):
        return _of_2_5(name, thinks=thinks)
    return Facts(thinking="level" if thinks else "none", levels=_levels(name, version))


def _version(name: str) -> tuple[int, int]:
    found = _VERSION.search(name)
    if found:
        return int(found[1]), int(found[2] or 0)
    return (1, 0) if name.startswith(("gemma", "learnlm")) else _NEWEST


def _of_2_5(name: str, *, thinks: bool) -> Facts:
    low, high, least = (128, 32768, 128)
    if "flash-lite" in name:
        low, high, least = 512, 24576, 0
    elif "flash" in name:
        low, high, least = 1, 24576, 0
    return Facts(
        thinking="budget" if thinks else "none",
        budget=(low, high),
        least_budget=least,
        signatures=False,
        schema_with_tools=False,
        media_in_results=False,
        https_files=False,
        validated_mode=False,
        search_with_functions=False,
    )


def _levels(name: str, version: tuple[int, int]) -> tuple[str, ...]:
    if version >= (4, 0):
        return ("minimal", "low", "medium", "high", "xhigh")
    if "pro" not in name:
        return ("minimal", "low", "medium", "high")
    return ("low", "high") if version == (3, 0) else ("low", "medium", "high")


class _Model(Struct, frozen=True):
    name: str = ""
    displayName: str | None = None
    description: str | None = None
    inputTokenLimit: int | None = None
    outputTokenLimit: int | None = None
    supportedGenerationMethods: list[str] = []
    thinking: bool | None = None


class _Models(Struct, frozen=True):
    models: list[_Model] = []
    publisherModels: list[_Model] = []


def decode_models(body: bytes) -> list[ModelInfo]:
    """The model list of the Developer API, or of Vertex, without the resource prefix in the names."""
    found = jsonx.decode(body, _Models, strict=False)
    return [_info(model) for model in found.models + found.publisherModels if model.name]


def _info(model: _Model) -> ModelInfo:
    return ModelInfo(
        id=model.name.rsplit("/", 1)[-1],
        display_name=model.displayName,
        owned_by="google",
        context=model.inputTokenLimit,
        max_output=model.outputTokenLimit,
        capabilities=_capabilities(model),
        description=model.description,
    )


def _capabilities(model: _Model) -> tuple[str, ...]:
    words = []
    if "generateContent" in model.supportedGenerationMethods:
        words.append("generate")
    if model.thinking:
        words.append("thinking.enabled")
    if "embedContent" in model.supportedGenerationMethods:
        words.append("embed")
    return tuple(words)
