"""Groq: open-weight models at high speed, in chat and Responses.

Facts: https://console.groq.com/docs/openai: `logprobs`, `logit_bias`, `top_logprobs`, a message's `name` and more than
one choice are answered 400. Reasoning comes as `reasoning`, or in <think> tags from models without a parser.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.compatible import RESPONSES
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, EXTENSIONS, OFFICIAL_ONLY

CHAT = replace(
    COMPATIBLE,
    max_tokens_field="max_completion_tokens",
    reasoning_field="reasoning",
    effort_words=frozenset({"low", "medium", "high"}),
    unsupported=(OFFICIAL_ONLY - {"service_tier"})
    | EXTENSIONS
    | {"logprobs", "top_logprobs", "logit_bias", "n", "name"},
    content_null_ok=True,
    think_tags=True,
)

PROVIDER = Provider(
    name="groq",
    title="Groq",
    base_url="https://api.groq.com/openai/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint("openai_responses", "/responses", quirks=RESPONSES),
    ),
    env=("GROQ_API_KEY",),
    key_url="https://console.groq.com/keys",
    allows="API keys may be used with any client; a free tier with small limits exists.",
    # A request larger than the account's tokens per minute never fits: the client has to shorten it.
    classify=table(Fault(413, "request too large for model", Kind.CONTEXT_LENGTH)),
    quota=quota.openai,
)
