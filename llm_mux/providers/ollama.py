"""A local Ollama, found by itself when it runs. Native format for most clients; its compatible layers for their own.

Facts: https://docs.ollama.com/api. Its /v1 layers ignore several fields without a word (`tool_choice`,
`max_completion_tokens`, documents, a response format in Messages) and cannot set the context size.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.providers.base import Endpoint, Provider, no_auth
from llm_mux.providers.compatible import MESSAGES, MESSAGES_HEADERS, RESPONSES
from llm_mux.translators.openai_chat.quirks import COMPATIBLE

CHAT = replace(
    COMPATIBLE,
    reasoning_field="reasoning",
    send_back_reasoning="tool_loops",
    unsupported=COMPATIBLE.unsupported | {"n", "logit_bias", "top_k", "min_p", "repetition_penalty"},
    flatten_content=True,
    parallel_switch=False,
    forced_tools=False,
    image_urls=False,
    embeddings_base64=True,
)

PROVIDER = Provider(
    name="ollama",
    title="Ollama",
    base_url="http://127.0.0.1:11434",
    endpoints=(
        Endpoint("ollama", "/api/chat"),
        Endpoint("openai_chat", "/v1/chat/completions", quirks=CHAT),
        Endpoint("openai_responses", "/v1/responses", quirks=RESPONSES),
        Endpoint(
            "anthropic",
            "/v1/messages",
            quirks=replace(MESSAGES, forced_tools=False, documents=False, urls=False),
            headers=MESSAGES_HEADERS,
        ),
        Endpoint("openai_completions", "/v1/completions", operation="complete"),
        Endpoint("ollama", "/api/embed", operation="embed"),
        Endpoint("openai_chat", "/v1/embeddings", operation="embed", quirks=CHAT),
    ),
    # No environment name: OLLAMA_API_KEY belongs to ollama.com, and the local server wants none.
    auth=no_auth,
    models_path="/api/tags",
    models_translator="ollama",
    keyless=True,
    key_url="https://ollama.com/settings/keys",
    allows="A server of your own: what its models' licences allow. A key is only for https://ollama.com.",
)
