"""Any server behind single sign-on, entirely from the configuration: a company's own gateway, for example.

`oauth: {issuer, client-id, scopes}` says who lets people in (OpenID Connect discovery finds the rest), `base-url` where
the server is, `format` what it speaks; chat is what it speaks when nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from llm_mux.auth import browser, device, tokens
from llm_mux.auth.base import Credential, Flow, OAuth, Steps, Wish
from llm_mux.auth.discovery import discovered
from llm_mux.auth.imports import refresh_token
from llm_mux.providers.base import Endpoint, Endpoints, Login, Provider
from llm_mux.providers.compatible import MESSAGES, MESSAGES_HEADERS, RESPONSES
from llm_mux.translators.gemini.quirks import Quirks
from llm_mux.translators.openai_chat.quirks import COMPATIBLE

_FACTS = OAuth(scopes=("openid", "profile", "email", "offline_access"))
_GEMINI = "/v1beta/models/{model}"
_LISTS = {"anthropic": "/v1/models?limit=1000", "gemini": "/v1beta/models?pageSize=1000"}


def _browser(oauth: OAuth, wish: Wish) -> Flow:
    return (yield from browser.browser((yield from discovered(oauth)), wish))


def _device(oauth: OAuth, wish: Wish) -> Flow:
    return (yield from device.device((yield from discovered(oauth)), wish))


def _import(oauth: OAuth, wish: Wish, text: str) -> Flow:
    return (yield from refresh_token((yield from discovered(oauth)), wish, text))


def _refresh(oauth: OAuth, credential: Credential, now: float) -> Flow:
    found = oauth if oauth.token_url else (yield from discovered(oauth))
    return (yield from tokens.refresh(found, credential, now))


def _revoke(oauth: OAuth, credential: Credential) -> Steps[None]:
    found = oauth if oauth.revoke_url else (yield from discovered(oauth))
    yield from tokens.revoke(found, credential)


def _first(model: str, endpoints: Endpoints, body: bytes) -> Endpoints:
    """Nobody says that such a server speaks every format: the first, unless the configuration chose."""
    return endpoints[:1]


def _listed(provider: Provider, options: Mapping[str, str]) -> Provider:
    """Each format has its list in its own place."""
    translator = next(e.translator for e in provider.endpoints if e.operation == "generate")
    if translator not in _LISTS:
        return provider
    return replace(provider, models_path=_LISTS[translator], models_translator=translator)


PROVIDER = Provider(
    name="oauth",
    title="Server behind single sign-on",
    base_url="",
    endpoints=(
        Endpoint("openai_chat", "/v1/chat/completions", quirks=COMPATIBLE),
        Endpoint("openai_responses", "/v1/responses", quirks=RESPONSES),
        Endpoint("anthropic", "/v1/messages", quirks=MESSAGES, headers=MESSAGES_HEADERS),
        Endpoint(
            "gemini",
            f"{_GEMINI}:generateContent",
            stream_path=f"{_GEMINI}:streamGenerateContent?alt=sse",
            quirks=Quirks(file_urls=False, json_schema=False, web_search=False),
        ),
        Endpoint("openai_chat", "/v1/embeddings", operation="embed", quirks=COMPATIBLE),
    ),
    logins=(
        Login(browser.WAY, "in the browser", _FACTS, _browser, _refresh, _revoke, _import),
        Login(device.WAY, "with a code on another device", _FACTS, _device, _refresh, _revoke),
    ),
    models_path="/v1/models",
    takes_keys=False,
    allows="Whatever the server you name allows.",
    picks=_first,
    ignores_bodies=True,
    adjust=_listed,
)
