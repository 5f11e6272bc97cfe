"""Hugging Face's router to many hosts of open-weight models: chat, and Responses as a beta.

Facts: https://huggingface.co/docs/inference-providers. The model list is open to everybody. A model id may end in
`:host` or `:fastest`.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.compatible import RESPONSES
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE

CHAT = replace(COMPATIBLE, effort_words=frozenset({"low", "medium", "high"}), think_tags=True)

PROVIDER = Provider(
    name="huggingface",
    title="Hugging Face",
    base_url="https://router.huggingface.co/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint("openai_responses", "/responses", quirks=RESPONSES),
    ),
    env=("HF_TOKEN", "HUGGINGFACE_API_KEY"),
    check_path="",
    key_url="https://huggingface.co/settings/tokens",
    allows="Tokens that may call inference providers may be used with any client; a little is free each month.",
    classify=table(Fault(402, "", Kind.QUOTA), Fault(403, "sufficient permissions", Kind.UPSTREAM_AUTH)),
)
