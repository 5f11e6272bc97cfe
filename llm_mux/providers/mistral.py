"""Mistral's own API. Every field it does not know is answered 422, so nothing unknown is sent.

Facts: https://docs.mistral.ai/api, /capabilities/reasoning. Tool call ids must be nine letters and digits. The usage
of a stream comes unasked in its last chunk. Only some models take `reasoning_effort`, and few words of it.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.providers.base import Endpoint, Endpoints, Provider
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, EXTENSIONS, OFFICIAL_ONLY

CHAT = replace(
    COMPATIBLE,
    # `random_seed` is its own word for `seed`.
    unsupported=OFFICIAL_ONLY | EXTENSIONS | {"seed", "logprobs", "top_logprobs", "logit_bias", "user", "name"},
    thinking_style="none",
    stream_usage=False,
    tool_id_limit=9,
)
REASONING = replace(CHAT, thinking_style="effort", effort_words=frozenset({"none", "high"}))

# https://docs.mistral.ai/capabilities/reasoning/adjustable
_ADJUSTABLE = ("mistral-small-latest", "mistral-small-2603", "mistral-medium-3-5", "mistral-large-4")


def picks(model: str, endpoints: Endpoints, body: bytes) -> Endpoints:
    """The path is one; whether reasoning may be asked for depends on the model."""
    adjustable = model.startswith(_ADJUSTABLE)
    return tuple(e for e in endpoints if (e.quirks is REASONING) == adjustable) or endpoints


PROVIDER = Provider(
    name="mistral",
    title="Mistral",
    base_url="https://api.mistral.ai/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint("openai_chat", "/chat/completions", quirks=REASONING),
        Endpoint("openai_chat", "/embeddings", operation="embed", quirks=CHAT),
    ),
    env=("MISTRAL_API_KEY",),
    owns=(
        "mistral-",
        "magistral-",
        "ministral-",
        "codestral-",
        "devstral-",
        "pixtral-",
        "open-mistral-",
        "open-mixtral-",
    ),
    key_url="https://console.mistral.ai/api-keys",
    allows="API keys may be used with any client; the free plan may train on what is sent.",
    picks=picks,
    ignores_bodies=True,
)
