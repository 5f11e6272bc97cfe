"""Any server that speaks Anthropic's Messages, entirely from the configuration, by careful quirks.

The key goes as Bearer and as `x-api-key`: such servers read one of the two.
"""

from __future__ import annotations

from collections.abc import Mapping

from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider, bearer, if_given, x_api_key
from llm_mux.providers.compatible import MESSAGES, MESSAGES_HEADERS


def both(key: str) -> Mapping[str, str]:
    return {**bearer(key), **x_api_key(key)}


PROVIDER = Provider(
    name="anthropic-compatible",
    title="Anthropic-compatible server",
    base_url="",
    endpoints=(Endpoint("anthropic", "/v1/messages", quirks=MESSAGES),),
    auth=if_given(both),
    headers=MESSAGES_HEADERS,
    models_path="/v1/models?limit=1000",
    models_translator="anthropic",
    keyless=True,
    allows="Whatever the server you name allows.",
    forwards=("anthropic-beta",),
    quota=quota.anthropic,
)
