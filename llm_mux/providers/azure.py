"""OpenAI models (and Claude) deployed in a resource of one's own on Azure.

Facts: https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle. A model id is the name of a deployment.
The v1 API is spoken unless the entry's `options.api-version` names a dated version: then the older deployment URLs
are. `options.resource` stands for `https://<resource>.openai.azure.com`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec.structs import replace

from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Endpoints, Provider, api_key_header, x_api_key
from llm_mux.providers.choosing import only, responses_for_new_gpt, without
from llm_mux.providers.faults import Fault, table
from llm_mux.providers.placement import host_swapped

_V1 = "/openai/v1"
_DEPLOYMENT = "/openai/deployments/{model}"
_PASTED = re.compile(r"/openai(/v1|/deployments/[^/]+)?$")
_DATED = (
    Endpoint("openai_chat", f"{_DEPLOYMENT}/chat/completions"),
    Endpoint("openai_responses", "/openai/responses"),
    Endpoint("openai_chat", f"{_DEPLOYMENT}/embeddings", operation="embed"),
)


def picks(model: str, endpoints: Endpoints, body: bytes) -> Endpoints:
    """Claude deployments speak Messages only, all others anything else."""
    if model.startswith("claude"):
        return only("anthropic", endpoints)
    return responses_for_new_gpt(model, without("anthropic", endpoints), body)


def adjust(provider: Provider, options: Mapping[str, str]) -> Provider:
    """The resource put into the address, and the older URLs where a dated version is asked for."""
    base, resource = provider.base_url, options.get("resource")
    if not base and resource:
        base = f"https://{resource}.openai.azure.com{_V1}"
    version = options.get("api-version") or ("/deployments/" in base and provider.query.get("api-version"))
    bare = _PASTED.sub("", base)
    if version:
        query = {**provider.query, "api-version": version}
        return replace(provider, base_url=bare, endpoints=_DATED, query=query, check_path="/openai/models")
    # Claude is served under the resource's other host name only.
    claude = host_swapped(bare, ".openai.azure.com", ".services.ai.azure.com") + "/anthropic"
    moved = (replace(e, base_url=claude) if e.base_url else e for e in provider.endpoints)
    return replace(provider, base_url=base, endpoints=tuple(moved))


PROVIDER = Provider(
    name="azure",
    keeps_responses=True,
    title="Azure OpenAI",
    base_url="",
    root=_V1,
    endpoints=(
        Endpoint("openai_chat", "/chat/completions"),
        Endpoint("openai_responses", "/responses"),
        Endpoint(
            "anthropic",
            "/v1/messages",
            base_url="https://resource.services.ai.azure.com/anthropic",
            auth=x_api_key,
            headers={"anthropic-version": "2023-06-01"},
        ),
        Endpoint("openai_chat", "/embeddings", operation="embed"),
    ),
    env=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
    env_url=("AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE"),
    auth=api_key_header,
    # The list names every model of the region, not the deployments: good for trying a key, useless as a catalogue.
    models_path=None,
    check_path="/models",
    options={"resource": "", "api-version": ""},
    key_url="https://ai.azure.com",
    allows="Keys of your own resource may be used with any client; use is billed to the subscription.",
    forwards=("anthropic-beta",),
    picks=picks,
    adjust=adjust,
    classify=table(Fault(404, "DeploymentNotFound", Kind.UPSTREAM_MODEL)),
    quota=quota.openai,
)
