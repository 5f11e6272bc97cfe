"""Any server that says it is OpenAI-compatible, entirely from the configuration: chat by careful quirks.

`format: openai-responses` chooses its Responses instead. A bare host gets /v1.
"""

from __future__ import annotations

from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider, no_auth
from llm_mux.providers.compatible import RESPONSES
from llm_mux.translators.openai_chat.quirks import COMPATIBLE

CHAT = Endpoint("openai_chat", "/chat/completions", quirks=COMPATIBLE)


def _chat_unless_named(model: str, endpoints: tuple[Endpoint, ...], body: bytes) -> tuple[Endpoint, ...]:
    """That a server has chat is all that the word promises: Responses only where the configuration says so."""
    return (CHAT,) if CHAT in endpoints else endpoints


PROVIDER = Provider(
    name="openai-compatible",
    title="OpenAI-compatible server",
    base_url="",
    root="/v1",
    endpoints=(
        CHAT,
        Endpoint("openai_responses", "/responses", quirks=RESPONSES),
        Endpoint("openai_completions", "/completions", operation="complete"),
        Endpoint("openai_chat", "/embeddings", operation="embed", quirks=COMPATIBLE),
    ),
    auth=no_auth,
    keyless=True,
    allows="Whatever the server you name allows.",
    picks=_chat_unless_named,
    ignores_bodies=True,
    quota=quota.openai,
)
