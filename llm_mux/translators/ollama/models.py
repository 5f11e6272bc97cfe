"""The model list of `/api/tags`.

Rule: names lose the default tag, as people and other lists write them without it. Old servers do not say what a model
can do; then its capabilities stay unknown. Spec: https://docs.ollama.com/api/tags
"""

from __future__ import annotations

from msgspec import Struct

from llm_mux.translators.base import ModelInfo
from llm_mux.translators.ollama.reading import seconds
from llm_mux.wire import jsonx

_WORDS = {"completion": "generate", "thinking": "thinking.enabled", "embedding": "embed"}


class _Details(Struct, frozen=True):
    context_length: int | None = None


class _Model(Struct, frozen=True):
    name: str | None = None
    model: str | None = None
    modified_at: str | None = None
    details: _Details | None = None
    capabilities: list[str] | None = None


class _Models(Struct, frozen=True):
    models: list[_Model] | None = None


def decode_models(body: bytes) -> list[ModelInfo]:
    """The installed models. Capabilities are "generate", "thinking.enabled", "embed", else Ollama's own words."""
    found = jsonx.decode(body, _Models, strict=False).models or []
    return [_info(model, name) for model in found if (name := model.model or model.name)]


def _info(model: _Model, name: str) -> ModelInfo:
    short = name.removesuffix(":latest")
    return ModelInfo(
        id=short,
        created=seconds(model.modified_at) or None,
        owned_by=short.rpartition("/")[0] or "library",
        context=model.details.context_length if model.details else None,
        capabilities=tuple(_WORDS.get(word, word) for word in model.capabilities or ()),
    )
