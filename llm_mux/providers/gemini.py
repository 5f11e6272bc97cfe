"""The Gemini Developer API with an API key. Facts: https://ai.google.dev/api.

A bad key is a 400 with the reason API_KEY_INVALID, so it is told apart from a client's bad request here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from llm_mux.errors import Kind, MuxError
from llm_mux.providers.base import Endpoint, Provider, x_goog_api_key

ENDPOINTS = (
    Endpoint(
        "gemini",
        "/v1beta/models/{model}:generateContent",
        stream_path="/v1beta/models/{model}:streamGenerateContent?alt=sse",
    ),
    Endpoint("gemini", "/v1beta/models/{model}:batchEmbedContents", operation="embed"),
    Endpoint("gemini", "/v1beta/models/{model}:countTokens", operation="count"),
)


def classify(error: MuxError, headers: Mapping[str, str]) -> MuxError:
    """A bad key is the account's fault although Google answers 400."""
    bad_key = b"API_KEY_INVALID" in (error.upstream or b"")
    return replace(error, kind=Kind.UPSTREAM_AUTH) if bad_key else error


PROVIDER = Provider(
    name="gemini",
    title="Gemini API",
    base_url="https://generativelanguage.googleapis.com",
    endpoints=ENDPOINTS,
    env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    auth=x_goog_api_key,
    models_path="/v1beta/models?pageSize=1000",
    models_translator="gemini",
    owns=("gemini-", "gemma-"),
    key_url="https://aistudio.google.com/apikey",
    allows="API keys may be used with any client under the Gemini API terms; a free tier exists.",
    classify=classify,
)
