"""Z.ai (Zhipu)'s GLM models: chat and Messages.

Facts: https://docs.z.ai/api-reference, /scenario-example/develop-tools/claude. Thinking is a switch; the tool choice is
always the model's; one stop string. Keys of the coding plan need `https://api.z.ai/api/coding/paas/v4` for chat, keys
of the China platform `https://open.bigmodel.cn/api/paas/v4`.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.compatible import MESSAGES, MESSAGES_HEADERS
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, EXTENSIONS, OFFICIAL_ONLY

CHAT = replace(
    COMPATIBLE,
    send_back_reasoning="always",
    thinking_style="thinking_type",
    effort_words=frozenset(),
    unsupported=OFFICIAL_ONLY
    | EXTENSIONS
    | {"n", "seed", "logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty"},
    parallel_switch=False,
    forced_tools=False,
    json_schema=False,
    stop_limit=1,
    video=True,
)

PROVIDER = Provider(
    name="zai",
    title="Z.ai (GLM)",
    base_url="https://api.z.ai/api/paas/v4",
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint(
            "anthropic",
            "/v1/messages",
            quirks=replace(MESSAGES, forced_tools=False, documents=False),
            base_url="https://api.z.ai/api/anthropic",
            headers=MESSAGES_HEADERS,
        ),
    ),
    env=("ZAI_API_KEY", "Z_AI_API_KEY", "ZHIPU_API_KEY"),
    owns=("glm-",),
    key_url="https://z.ai/manage-apikey/apikey-list",
    allows="API keys may be used with any client. The coding plan is meant for the coding tools that Z.ai names.",
    # Codes of its own: 1113 no balance, 1302 and 1305 too many requests, 1308 the plan's window is used up.
    classify=table(
        Fault(429, '"1113"', Kind.QUOTA),
        Fault(429, '"1308"', Kind.QUOTA),
        Fault(429, '"1305"', Kind.OVERLOADED),
    ),
)
