"""The Gemini Developer API with an API key. Facts: https://ai.google.dev/api.

A bad key is a 400 with the reason API_KEY_INVALID, so it is told apart from a client's bad request here.
"""

from __future__ import annotations

from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider, x_goog_api_key
from llm_mux.providers.faults import Fault, table

PROVIDER = Provider(
    name="gemini",
    title="Gemini API",
    base_url="https://generativelanguage.googleapis.com",
    endpoints=(
        Endpoint(
            "gemini",
            "/v1beta/models/{model}:generateContent",
            stream_path="/v1beta/models/{model}:streamGenerateContent?alt=sse",
        ),
        Endpoint("gemini", "/v1beta/models/{model}:batchEmbedContents", operation="embed"),
        Endpoint("gemini", "/v1beta/models/{model}:countTokens", operation="count"),
    ),
    env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    auth=x_goog_api_key,
    models_path="/v1beta/models?pageSize=1000",
    models_translator="gemini",
    owns=("gemini-", "gemma-"),
    key_url="https://aistudio.google.com/apikey",
    allows="API keys may be used with any client under the Gemini API terms; a free tier exists.",
    classify=table(
        Fault(400, "API_KEY_INVALID", Kind.UPSTREAM_AUTH),
        Fault(400, "API key expired", Kind.UPSTREAM_AUTH),
        # The free tier is closed to some countries: another account may do, waiting does not.
        Fault(400, "User location is not supported", Kind.UPSTREAM_FORBIDDEN),
    ),
    quota=quota.gemini,
)
