"""Alibaba Cloud Model Studio (DashScope) with the Qwen models: chat and Messages, embeddings.

Facts: https://www.alibabacloud.com/help/en/model-studio (OpenAI compatible - Chat, Anthropic API compatibility). Its
imitation of Responses ignores `instructions`, so it is left out. Keys belong to a region: the usual address is
Singapore's; `https://dashscope.aliyuncs.com/compatible-mode/v1` is China's.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers.base import Endpoint, Provider, x_api_key
from llm_mux.providers.compatible import MESSAGES, MESSAGES_HEADERS
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE

CHAT = replace(
    COMPATIBLE,
    send_back_reasoning="tool_loops",
    thinking_style="enable_thinking",
    unsupported=COMPATIBLE.unsupported | {"min_p", "logit_bias", "frequency_penalty"},
    cache_control_parts=True,
    audio=True,
    video=True,
)

PROVIDER = Provider(
    name="dashscope",
    title="Alibaba Cloud Model Studio (Qwen)",
    base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT, headers={"x-dashscope-cachecontrol": "enable"}),
        Endpoint(
            "anthropic",
            "/v1/messages",
            quirks=replace(MESSAGES, documents=False),
            base_url="https://dashscope-intl.aliyuncs.com/apps/anthropic",
            auth=x_api_key,
            headers=MESSAGES_HEADERS,
        ),
        Endpoint("openai_chat", "/embeddings", operation="embed", quirks=CHAT),
    ),
    env=("DASHSCOPE_API_KEY",),
    owns=("qwen-", "qwen2.5-", "qwen3-", "qwen3.", "qwq-", "qvq-"),
    key_url="https://bailian.console.alibabacloud.com/?tab=model#/api-key",
    allows="API keys may be used with any client. Coding plans have keys and addresses of their own.",
    classify=table(
        Fault(400, "arrearage", Kind.QUOTA),
        Fault(403, "AllocationQuota", Kind.QUOTA),
        Fault(400, "DataInspectionFailed", Kind.POLICY),
        Fault(400, "range of input length", Kind.CONTEXT_LENGTH),
    ),
)
