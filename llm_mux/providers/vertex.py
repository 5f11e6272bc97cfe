"""Gemini on Vertex AI in express mode: a Google Cloud API key, no project in the URL.

Facts: https://cloud.google.com/vertex-ai/generative-ai/docs/start/express-mode/overview. There is no model list for
keys, so the ids that are surely there are named here and others are tried as they are.
"""

from __future__ import annotations

from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider, x_goog_api_key
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.base import ModelInfo
from llm_mux.translators.gemini.quirks import Quirks

_MODEL = "/v1/publishers/google/models/{model}"
_QUIRKS = Quirks(vertex=True)

PROVIDER = Provider(
    name="vertex",
    title="Vertex AI (express mode)",
    base_url="https://aiplatform.googleapis.com",
    endpoints=(
        Endpoint(
            "gemini",
            f"{_MODEL}:generateContent",
            stream_path=f"{_MODEL}:streamGenerateContent?alt=sse",
            quirks=_QUIRKS,
        ),
        Endpoint("gemini", f"{_MODEL}:countTokens", operation="count", quirks=_QUIRKS),
    ),
    # Not GOOGLE_API_KEY: that one is taken by the Gemini API, and one key must not be spent in two places.
    env=("VERTEX_API_KEY", "GOOGLE_VERTEX_API_KEY"),
    auth=x_goog_api_key,
    models_path=None,
    models=tuple(
        ModelInfo(name, owned_by="google", context=1_048_576, max_output=65_536)
        for name in ("gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite")
    ),
    owns=("gemini-",),
    key_url="https://console.cloud.google.com/vertex-ai/studio/settings/api-keys",
    allows="API keys may be used with any client under the Google Cloud terms; use is billed to the project.",
    classify=table(
        Fault(400, "API_KEY_INVALID", Kind.UPSTREAM_AUTH),
        Fault(400, "API key not valid", Kind.UPSTREAM_AUTH),
    ),
    quota=quota.gemini,
)
