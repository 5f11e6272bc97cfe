"""NVIDIA's hosted NIM models: chat and embeddings.

Facts: https://docs.api.nvidia.com/nim. The model list is open to everybody, so a key is first tried by its first
request. Reasoning is a switch of the chat template, or in <think> tags.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE

CHAT = replace(
    COMPATIBLE,
    thinking_style="template",
    parallel_switch=False,
    image_urls=False,
    think_tags=True,
)

PROVIDER = Provider(
    name="nvidia",
    title="NVIDIA NIM",
    base_url="https://integrate.api.nvidia.com/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint("openai_chat", "/embeddings", operation="embed", quirks=CHAT),
    ),
    env=("NVIDIA_API_KEY",),
    check_path="",
    key_url="https://build.nvidia.com/settings/api-keys",
    allows="API keys may be used with any client; free credits are for trying, not for production.",
    classify=table(Fault(402, "", Kind.QUOTA)),
)
