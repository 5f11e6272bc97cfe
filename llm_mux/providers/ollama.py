"""A local Ollama, found by itself when it runs. Native format for most clients; its compatible layers for their own.

Facts: https://docs.ollama.com/api. The /v1 layers ignore several fields, so other clients get the native API.
"""

from __future__ import annotations

from llm_mux.providers.base import Endpoint, Provider, no_auth

PROVIDER = Provider(
    name="ollama",
    title="Ollama",
    base_url="http://127.0.0.1:11434",
    endpoints=(
        Endpoint("ollama", "/api/chat"),
        Endpoint("ollama", "/api/embed", operation="embed"),
    ),
    env=("OLLAMA_API_KEY",),
    auth=no_auth,
    models_path="/api/tags",
    models_translator="ollama",
    keyless=True,
    key_url="https://ollama.com/download",
    allows="A server of your own: what its models' licences allow.",
)
