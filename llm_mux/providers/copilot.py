"""GitHub Copilot: chat with the models of several vendors, and embeddings.

`llm-mux login copilot` shows a code for https://github.com/login/device. GitHub's token is kept in the secret store and
exchanged, again and again, for Copilot's own, which lives half an hour and names the address for the plan. The model
list is asked for.

GitHub gives Copilot to the programs that it has agreed with, which it knows by their OAuth app and their integration
id. llm-mux has neither and does not borrow those of an editor, so this works with your own only: the app in
`oauth: {client-id: ...}`, the id in `options: {integration-id: ...}`. Everything else (`user-agent`, `editor-version`,
`editor-plugin-version`) says llm-mux. Without an agreement, GitHub's models are at `github-models`, with a token.

A request that goes on after a tool's result is marked as the agent's (`x-initiator`), as GitHub counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from llm_mux import __version__
from llm_mux.auth.base import Call, Credential, Flow, LoginError, OAuth, Reply, Wish
from llm_mux.auth.device import device
from llm_mux.auth.discovery import insecure
from llm_mux.auth.identity import text_of
from llm_mux.auth.tokens import Granted, failed, read
from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Endpoints, Login, Provider
from llm_mux.providers.compatible import RESPONSES
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, EXTENSIONS

_BASE: Final = "https://api.githubcopilot.com"
_NAME: Final = f"llm-mux/{__version__}"
_INTEGRATION: Final = "copilot-integration-id"
_UNKNOWN_LIFE_S: Final = 1500.0
_NO_APP: Final = (
    "GitHub gives Copilot only to programs it has agreed with, and llm-mux borrows no other's identity; with an "
    "app of your own, set oauth: {client-id: ...} and options: {integration-id: ...} in the provider's configuration "
    "entry; without one, use GitHub's models with a token: llm-mux login github-models --api-key"
)

CHAT: Final = replace(
    COMPATIBLE,
    unsupported=COMPATIBLE.unsupported | EXTENSIONS | {"n", "logprobs", "top_logprobs", "logit_bias", "seed", "user"},
    split_choices=True,
    image_urls=False,
)
ANSWERS: Final = replace(RESPONSES, openai_models=True)


def tells(body: bytes) -> Mapping[str, str]:
    """Whose turn it is, and whether there are pictures: without the second mark they are refused."""
    agent = max(_last(body, b"assistant"), _last(body, b"tool"), body.rfind(b'"function_call_output"'))
    headers = {"x-initiator": "agent" if agent > _last(body, b"user") else "user"}
    if b'"image_url"' in body or b'"input_image"' in body:
        headers["copilot-vision-request"] = "true"
    return headers


def _last(body: bytes, role: bytes) -> int:
    """Where a role is named last. In a text its quotes would be escaped."""
    return max(body.rfind(b'"role":"%b"' % role), body.rfind(b'"role": "%b"' % role))


def picks(model: str, endpoints: Endpoints, body: bytes) -> Endpoints:
    """The Codex models are asked in Responses only, all others in chat."""
    wanted = "openai_responses" if "codex" in model else "openai_chat"
    return tuple(e for e in endpoints if e.translator == wanted)


def adjust(provider: Provider, options: Mapping[str, str]) -> Provider:
    """As the user's own integration."""
    integration = options.get("integration-id", "")
    return replace(provider, headers={**provider.headers, _INTEGRATION: integration}) if integration else provider


GITHUB: Final = OAuth(
    device_url="https://github.com/login/device/code",
    token_url="https://github.com/login/oauth/access_token",
    userinfo_url="https://api.github.com/user",
    scopes=("user:email",),
    addresses={"copilot-token": "https://api.github.com/copilot_internal/v2/token"},
)


def start(oauth: OAuth, wish: Wish) -> Flow:
    """Sign in at GitHub with a code, as the user's own app."""
    if not oauth.client_id:
        raise LoginError(_NO_APP)
    return (yield from device(oauth, wish, _identified))


def _identified(oauth: OAuth, granted: Granted, credential: Credential) -> Flow:
    reply: Reply = yield _asked(oauth.userinfo_url, granted.access)
    user = read(reply, "GitHub")
    named = msgspec.structs.replace(
        credential, refresh=granted.access, id=text_of(user, "id"), email=text_of(user, "login")
    )
    return (yield from renewed(oauth, named, granted.at))


def renewed(oauth: OAuth, credential: Credential, now: float) -> Flow:
    """Copilot's own token for GitHub's, which goes on as it is."""
    url = oauth.addresses.get("copilot-token", "")
    reply: Reply = yield _asked(url or GITHUB.addresses["copilot-token"], credential.refresh)
    if reply.status in (401, 403, 404):
        raise _refusal(reply)
    answer = read(reply, "Copilot")
    access, api = text_of(answer, "token"), _address(answer)
    if not access:
        raise LoginError("Copilot answered without a token")
    end = answer.get("expires_at")
    expires = float(end) if isinstance(end, int | float) and end > reply.at else reply.at + _UNKNOWN_LIFE_S
    extra = {**credential.extra, "api": api} if api else credential.extra
    return msgspec.structs.replace(
        credential,
        access=access,
        expires=expires,
        obtained=reply.at,
        plan=text_of(answer, "sku") or credential.plan,
        extra=extra,
    )


def _asked(url: str, token: str) -> Call:
    said = {"user-agent": _NAME, "editor-version": _NAME, "editor-plugin-version": _NAME}
    return Call(url, headers={"accept": "application/json", "authorization": f"token {token}", **said})


def _address(answer: Mapping[str, Any]) -> str:
    """Where this plan's requests go. An address that is not safe is not taken."""
    endpoints = answer.get("endpoints")
    api = text_of(endpoints, "api") if isinstance(endpoints, dict) else ""
    return "" if not api or insecure(api) else api.rstrip("/")


def _refusal(reply: Reply) -> LoginError:
    """GitHub's token is over (401), or its owner has no Copilot."""
    if reply.status == 401:
        return LoginError("GitHub does not take the token any more", code="invalid_token", final=True)
    said = failed(reply, "Copilot")
    return LoginError(f"this GitHub account has no access to Copilot ({said or reply.status})")


def applied(provider: Provider, credential: Credential) -> Provider:
    """At the address that the token names, unless the configuration says another."""
    api = credential.extra.get("api", "")
    return replace(provider, base_url=api) if api and provider.base_url == _BASE else provider


LOGIN: Final = Login(
    "device",
    "GitHub Copilot, signed in with a code",
    GITHUB,
    start=start,
    refresh=renewed,
    warning=(
        "GitHub offers Copilot in its own clients and in those it has agreed with; llm-mux is none of them and works "
        "here only with an app and an integration id of your own. GitHub may restrict an account for automated or "
        "excessive use."
    ),
    applied=applied,
)

PROVIDER = Provider(
    name="copilot",
    title="GitHub Copilot",
    base_url=_BASE,
    endpoints=(
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT, tells=tells),
        Endpoint("openai_responses", "/responses", quirks=ANSWERS, tells=tells),
        Endpoint("openai_chat", "/embeddings", operation="embed", quirks=CHAT),
    ),
    headers={
        "editor-version": _NAME,
        "editor-plugin-version": _NAME,
    },
    logins=(LOGIN,),
    takes_keys=False,
    options={"integration-id": ""},
    allows="GitHub means Copilot for its own and agreed clients; it works with an app and integration id of your own.",
    picks=picks,
    adjust=adjust,
    classify=table(
        Fault(400, "model_not_supported", Kind.UPSTREAM_MODEL),
        Fault(400, "unsupported_api_for_model", Kind.UPSTREAM_MODEL),
        Fault(402, "quota", Kind.QUOTA),
        Fault(429, "quota", Kind.QUOTA),
    ),
    quota=quota.copilot,
)
