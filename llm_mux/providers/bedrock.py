"""Amazon Bedrock: Converse for every model, InvokeModel for Claude where the client speaks Anthropic's format.

Facts: https://docs.aws.amazon.com/bedrock/latest/APIReference/. A Bedrock API key goes as a bearer; without one,
requests are signed with the credentials of AWS's own chain. Many models answer only under an inference profile, whose
id has a region's word in front. Short names (`claude-sonnet-4.5`) stand for the newest id that this account can reach.
OpenAI's open models are also spoken to in their own format there. `options.host: mantle` goes to the newer host, which
speaks Anthropic's and OpenAI's formats as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec.structs import replace

from llm_mux.providers.base import Endpoint, Endpoints, Provider, bearer, if_given
from llm_mux.providers.compatible import MESSAGES_HEADERS, RESPONSES
from llm_mux.translators.base import ModelInfo
from llm_mux.translators.bedrock import quirks
from llm_mux.translators.openai_chat.quirks import COMPATIBLE

_REGION = re.compile(r"(?<=//)bedrock-runtime(-fips)?\.[a-z0-9-]+\.")
_SHORT = re.compile(
    r"(?:[a-z-]+\.)?(?P<vendor>[a-z0-9]+)\.(?P<name>[a-z0-9.-]+?)(?:-(?P<date>\d{8}))?(?:-v\d+)?(?::\d+\w*)?$"
)
_DIGITS = re.compile(r"(?<=\d)-(?=\d(?:-|$))")
_GROUPS = {"us": "us.", "ca": "ca.", "eu": "eu.", "ap": "apac.", "me": "apac.", "sa": "us.", "il": "eu."}


def picks(model: str, endpoints: Endpoints, body: bytes) -> Endpoints:
    """Only Claude takes Anthropic's bodies, only OpenAI's models take OpenAI's."""
    claude, openai = "anthropic." in model, "openai." in model
    left_out = set() if claude else {"bedrock_invoke", "anthropic"}
    if not openai:
        left_out |= {"openai_chat", "openai_responses"}
    return tuple(endpoint for endpoint in endpoints if endpoint.translator not in left_out)


def adjust(provider: Provider, options: Mapping[str, str]) -> Provider:
    """The region put into both hosts, unless the user gave an address of another form."""
    region = options.get("region") or "us-east-1"
    base = _REGION.sub(lambda found: f"bedrock-runtime{found[1] or ''}.{region}.", provider.base_url)
    lists = base.replace("//bedrock-runtime", "//bedrock", 1)
    if options.get("host") != "mantle":
        return replace(provider, base_url=base, models_url=lists)
    there = f"https://bedrock-mantle.{region}.api.aws" if base != lists else base
    return replace(provider, base_url=there, models_url=lists, endpoints=_MANTLE)


_MANTLE = (
    Endpoint("anthropic", "/anthropic/v1/messages", headers=MESSAGES_HEADERS, quirks=quirks.FACTS),
    Endpoint("openai_chat", "/openai/v1/chat/completions", quirks=COMPATIBLE),
    Endpoint("openai_responses", "/openai/v1/responses", quirks=RESPONSES),
)


def shorts(listed: Mapping[str, ModelInfo], options: Mapping[str, str]) -> dict[str, str]:
    """Short names to ids: `claude-sonnet-4.5`, `claude-sonnet-4-5` and `nova-pro` to the id that can be asked.

    A profile of the region's own group goes before a global one, and any profile before an id that is not on demand.
    """
    group = _GROUPS.get((options.get("region") or "us-east-1").partition("-")[0], "us.")
    best: dict[str, tuple[tuple[int, str], str]] = {}
    for id_, info in listed.items():
        found = _SHORT.match(id_)
        if found is None:
            continue
        rank = (_reach(id_, info, group), found["date"] or "9")
        for name in {found["name"], _DIGITS.sub(".", found["name"])}:
            if name not in listed and (name not in best or rank > best[name][0]):
                best[name] = (rank, id_)
    return {name: id_ for name, (_, id_) in best.items()}


def _reach(id_: str, info: ModelInfo, group: str) -> int:
    if id_.startswith(group):
        return 3
    if id_.startswith("global."):
        return 2
    return 1 if "on_demand" in info.capabilities else 0


_VENDORS = (
    "ai21",
    "amazon",
    "anthropic",
    "cohere",
    "deepseek",
    "meta",
    "mistral",
    "openai",
    "qwen",
    "stability",
    "writer",
)
_REGIONS = ("us", "eu", "apac", "global", "us-gov", "jp", "au", "ca")

PROVIDER = Provider(
    name="bedrock",
    title="Amazon Bedrock",
    base_url="https://bedrock-runtime.us-east-1.amazonaws.com",
    endpoints=(
        Endpoint("bedrock", "/model/{model}/converse", stream_path="/model/{model}/converse-stream"),
        Endpoint(
            "bedrock_invoke",
            "/model/{model}/invoke",
            stream_path="/model/{model}/invoke-with-response-stream",
            serves=("anthropic",),
        ),
        Endpoint("openai_chat", "/openai/v1/chat/completions", quirks=COMPATIBLE),
        Endpoint("bedrock", "/model/{model}/invoke", operation="embed"),
        Endpoint("bedrock", "/model/{model}/count-tokens", operation="count"),
    ),
    env=("AWS_BEARER_TOKEN_BEDROCK",),
    auth=if_given(bearer),
    signs=True,
    models_path="/foundation-models",
    more_models_paths=("/inference-profiles?maxResults=1000&type=SYSTEM_DEFINED",),
    models_translator="bedrock",
    owns=(
        *(f"{vendor}." for vendor in _VENDORS),
        *(f"{region}.{vendor}." for region in _REGIONS for vendor in _VENDORS),
        "arn:aws:bedrock:",
    ),
    options={"region": "us-east-1", "profile": "", "host": ""},
    option_env={"region": ("AWS_REGION", "AWS_DEFAULT_REGION"), "profile": ("AWS_PROFILE",)},
    ambient=("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    keyless=True,
    served_header="X-Bedrock-Model",
    resells=_VENDORS,
    key_url="https://console.aws.amazon.com/bedrock/home#/api-keys",
    allows="Any client may be used under the AWS service terms; use is billed to the AWS account per token.",
    picks=picks,
    adjust=adjust,
    shorts=shorts,
)
