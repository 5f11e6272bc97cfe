"""The control plane's two lists as one: foundation models and inference profiles, as `GET` answers either.

A profile's facts are those of its model. Spec: the Bedrock Runtime page, section 10.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from llm_mux.translators.base import ModelInfo, nonsense
from llm_mux.wire import jsonx

_ACTIVE: Final = "ACTIVE"


class _Life(Struct, frozen=True):
    status: str = _ACTIVE


class _Model(Struct, frozen=True):
    modelId: str
    modelName: str | None = None
    providerName: str | None = None
    inputModalities: tuple[str, ...] = ()
    outputModalities: tuple[str, ...] = ()
    inferenceTypesSupported: tuple[str, ...] = ()
    modelLifecycle: _Life = _Life()


class _Profile(Struct, frozen=True):
    inferenceProfileId: str
    inferenceProfileName: str | None = None
    description: str | None = None
    status: str = _ACTIVE


class _Lists(Struct, frozen=True):
    modelSummaries: list[_Model] | None = None
    inferenceProfileSummaries: list[_Profile] | None = None


def decode_models(body: bytes) -> list[ModelInfo]:
    """The models or profiles of one answer. Models that only a profile can reach stay in the list: their alias needs
    them. Raises MuxError UPSTREAM_NONSENSE."""
    try:
        found = jsonx.decode(body, _Lists, strict=False)
    except jsonx.Malformed as error:
        raise nonsense(f"a model list that cannot be read ({error})") from error
    if found.modelSummaries is None and found.inferenceProfileSummaries is None:
        raise nonsense("a model list without `modelSummaries`")
    models = [_info(model) for model in found.modelSummaries or () if _useful(model)]
    profiles = [_profile(one) for one in found.inferenceProfileSummaries or () if one.status == _ACTIVE]
    return models + profiles


def _useful(model: _Model) -> bool:
    return bool({"TEXT", "EMBEDDING"}.intersection(model.outputModalities) or not model.outputModalities)


def _info(model: _Model) -> ModelInfo:
    words = ["tools"] if "TEXT" in model.outputModalities else []
    if "IMAGE" in model.inputModalities:
        words.append("vision")
    if "EMBEDDING" in model.outputModalities:
        words.append("embed")
    if "ON_DEMAND" in model.inferenceTypesSupported:
        words.append("on_demand")
    return ModelInfo(
        model.modelId,
        display_name=model.modelName,
        owned_by=model.providerName,
        capabilities=tuple(words),
    )


def _profile(profile: _Profile) -> ModelInfo:
    return ModelInfo(
        profile.inferenceProfileId,
        display_name=profile.inferenceProfileName,
        owned_by="aws",
        description=profile.description,
        capabilities=("inference_profile", "tools"),
    )
