"""MiniMax's M models: Messages first, which its own pages recommend, then chat and Responses.

Facts: https://platform.minimax.io/docs/api-reference/text-anthropic-api. Reasoning must come back whole: Messages
carry it with a signature, chat puts it into <think> tags. Failures may be a 200 with a `base_resp` code.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers.base import Endpoint, Provider, x_api_key
from llm_mux.providers.compatible import MESSAGES, MESSAGES_HEADERS, RESPONSES
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, EXTENSIONS, OFFICIAL_ONLY

CHAT = replace(
    COMPATIBLE,
    send_back_reasoning="always",
    thinking_style="none",
    unsupported=OFFICIAL_ONLY
    | EXTENSIONS
    | {"n", "presence_penalty", "frequency_penalty", "logit_bias", "seed", "stop", "logprobs", "top_logprobs"},
    parallel_switch=False,
    think_tags=True,
)

PROVIDER = Provider(
    name="minimax",
    title="MiniMax",
    base_url="https://api.minimax.io/v1",
    endpoints=(
        Endpoint(
            "anthropic",
            "/v1/messages",
            quirks=replace(MESSAGES, documents=False),
            base_url="https://api.minimax.io/anthropic",
            auth=x_api_key,
            headers=MESSAGES_HEADERS,
        ),
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint("openai_responses", "/responses", quirks=RESPONSES),
    ),
    env=("MINIMAX_API_KEY",),
    owns=("MiniMax-",),
    key_url="https://platform.minimax.io/user-center/basic-information/interface-key",
    allows="API keys may be used with any client. Coding plans are meant for coding tools.",
    classify=table(
        Fault(None, '"status_code":1008', Kind.QUOTA),
        Fault(None, '"status_code":1004', Kind.UPSTREAM_AUTH),
        Fault(None, '"status_code":2049', Kind.UPSTREAM_AUTH),
        Fault(None, '"status_code":1002', Kind.RATE_LIMIT),
        Fault(None, '"status_code":1026', Kind.POLICY),
        Fault(None, '"status_code":1027', Kind.POLICY),
        Fault(None, '"status_code":1039', Kind.CONTEXT_LENGTH),
    ),
)
