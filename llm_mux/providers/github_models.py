"""GitHub Models: models of several vendors with a GitHub token, in chat, with embeddings.

Facts: https://docs.github.com/rest/models. The free tier takes few tokens a request: more is a 413, which the client
can mend by shortening the conversation.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import OFFICIAL, OFFICIAL_ONLY

CHAT = replace(
    OFFICIAL,
    unsupported=OFFICIAL.unsupported | OFFICIAL_ONLY,
    custom_tools=False,
    allowed_tools=False,
    files=False,
    cache_breakpoints=False,
)

PROVIDER = Provider(
    name="github-models",
    title="GitHub Models",
    base_url="https://models.github.ai",
    endpoints=(
        Endpoint("openai_chat", "/inference/chat/completions", quirks=CHAT),
        Endpoint("openai_chat", "/inference/embeddings", operation="embed", quirks=CHAT),
    ),
    # Not GITHUB_TOKEN: it lies in many environments for other purposes and must not be sent here unasked.
    env=("GITHUB_MODELS_TOKEN", "GITHUB_MODELS_API_KEY"),
    headers={"x-github-api-version": "2022-11-28"},
    models_path="/catalog/models",
    key_url="https://github.com/settings/personal-access-tokens",
    allows="Tokens with the `models: read` permission may be used with any client; free use is for trying.",
    classify=table(
        Fault(413, "tokens_limit_reached", Kind.CONTEXT_LENGTH),
        Fault(413, "max size", Kind.CONTEXT_LENGTH),
        Fault(429, "UserByModelByDay", Kind.QUOTA),
    ),
    quota=quota.openai,
)
