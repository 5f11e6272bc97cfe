"""Perplexity's Agent API: models of several vendors with web search, in Responses.

Facts: https://docs.perplexity.ai/docs/grounded-llm/openai-compatibility (`/v1/responses` is an alias of `/v1/agent`).
Sonar's chat completions are supported until 2026-09-27 only, so nothing is sent there. There is no model list to rely
on: models are named `vendor/model`, or by a preset.
"""

from __future__ import annotations

from msgspec.structs import replace

from llm_mux.providers.base import Endpoint, Provider
from llm_mux.providers.compatible import RESPONSES
from llm_mux.translators.base import ModelInfo

ANSWERS = replace(RESPONSES, hosted_tools=frozenset({"web_search", "fetch_url"}))

PROVIDER = Provider(
    name="perplexity",
    title="Perplexity",
    base_url="https://api.perplexity.ai/v1",
    endpoints=(Endpoint("openai_responses", "/responses", quirks=ANSWERS),),
    env=("PERPLEXITY_API_KEY", "PPLX_API_KEY"),
    models_path=None,
    models=tuple(ModelInfo(name, owned_by="perplexity") for name in ("perplexity/sonar",)),
    key_url="https://www.perplexity.ai/account/api/keys",
    allows="API keys may be used with any client; tokens and searches are billed.",
)
