"""Any server that speaks the Gemini API, entirely from the configuration."""

from __future__ import annotations

from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider, if_given, x_goog_api_key
from llm_mux.translators.gemini.quirks import Quirks

_MODEL = "/v1beta/models/{model}"
_QUIRKS = Quirks(file_urls=False, json_schema=False, web_search=False)

PROVIDER = Provider(
    name="gemini-compatible",
    title="Gemini-compatible server",
    base_url="",
    endpoints=(
        Endpoint(
            "gemini",
            f"{_MODEL}:generateContent",
            stream_path=f"{_MODEL}:streamGenerateContent?alt=sse",
            quirks=_QUIRKS,
        ),
        Endpoint("gemini", f"{_MODEL}:batchEmbedContents", operation="embed", quirks=_QUIRKS),
        Endpoint("gemini", f"{_MODEL}:countTokens", operation="count", quirks=_QUIRKS),
    ),
    auth=if_given(x_goog_api_key),
    models_path="/v1beta/models?pageSize=1000",
    models_translator="gemini",
    keyless=True,
    allows="Whatever the server you name allows.",
    quota=quota.gemini,
)
