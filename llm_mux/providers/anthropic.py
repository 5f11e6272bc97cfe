"""Anthropic's own API. Facts: https://docs.anthropic.com/en/api.

`llm-mux login claude --api-key` is the way that Anthropic offers to programs like this one. `--oauth` signs in with a
Claude subscription all the same, after it has said that Anthropic reserves those for its own clients and has been
told to go on; `--import` takes a token that `claude setup-token` printed. Kept in the secret store: access and refresh
token; e-mail and organisation tell accounts apart.

With a subscription's token requests carry what the API itself wants of such tokens (`anthropic-beta: oauth-2025-04-20`)
and nothing of Anthropic's clients: no headers, prompts or tool names of theirs. Anthropic may refuse them, bill them as
extra usage, or close the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from llm_mux.auth.base import Credential, Flow, LoginError, OAuth, Wish
from llm_mux.auth.browser import browser
from llm_mux.auth.identity import text_of
from llm_mux.auth.tokens import Granted, refresh
from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Login, Provider, bearer, x_api_key
from llm_mux.providers.faults import Fault, table

_SUBSCRIPTION_BETA: Final = "oauth-2025-04-20"
_SETUP_START: Final = "sk-ant-oat"
_SCOPES: Final = ("user:profile", "user:inference")
_WARNING: Final = (
    "Anthropic reserves Claude subscriptions for its own clients (claude.ai, Claude Code) and checks it. Through "
    "another program such as llm-mux, which says who it is, requests may be refused, billed as extra usage, or lead to "
    "the account being closed. The way that is meant for other programs is an API key: llm-mux login claude --api-key"
)

CLAUDE: Final = OAuth(
    client_id="9d1c250a-e61b-44d9-88ed-5944d1962f5e",
    authorize_url="https://claude.ai/oauth/authorize",
    token_url="https://platform.claude.com/v1/oauth/token",
    scopes=_SCOPES,
    redirect_host="localhost",
    redirect_port=54545,
    redirect_path="/callback",
    # The page then also shows the code, for those whose browser is elsewhere.
    authorize_extra={"code": "true"},
    body="json",
    state_in_token=True,
    refresh_scopes=_SCOPES,
    lead_s=4 * 3600,
)


def start(oauth: OAuth, wish: Wish) -> Flow:
    """Sign in with a browser; a pasted `code#state` is taken too."""
    return (yield from browser(oauth, wish, _identified))


def _identified(oauth: OAuth, granted: Granted, credential: Credential) -> Flow:
    """Who it is, from the token's own answer. The same person may belong to several organisations."""
    yield from ()
    account, organisation = _mapping(granted.all.get("account")), _mapping(granted.all.get("organization"))
    ids = (text_of(account, "uuid"), text_of(organisation, "uuid"))
    return msgspec.structs.replace(
        credential,
        id="/".join(each for each in ids if each),
        email=text_of(account, "email_address"),
        plan=text_of(organisation, "name"),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def imported(oauth: OAuth, wish: Wish, text: str) -> Flow:
    """From the token that `claude setup-token` printed: it lasts for a year and is never renewed."""
    yield from ()
    token = text.strip()
    if not token.startswith(_SETUP_START) or not token.isascii() or not token.isprintable() or " " in token:
        raise LoginError(f"that is no setup token: those begin with {_SETUP_START}; make one with: claude setup-token")
    return Credential(access=token, obtained=wish.now, way="setup-token")


def applied(provider: Provider, credential: Credential) -> Provider:
    """Asked with a subscription's token, which the API takes under a beta of its own."""
    return replace(provider, auth=bearer, headers={**provider.headers, "anthropic-beta": _SUBSCRIPTION_BETA})


LOGINS: Final = (
    Login(
        "browser",
        "Claude subscription, signed in with a browser",
        CLAUDE,
        start=start,
        refresh=refresh,
        warning=_WARNING,
        applied=applied,
    ),
    Login(
        "setup-token",
        "Claude subscription, by a token of `claude setup-token`",
        CLAUDE,
        imports=imported,
        warning=_WARNING,
        applied=applied,
    ),
)

PROVIDER = Provider(
    name="anthropic",
    title="Anthropic",
    base_url="https://api.anthropic.com",
    endpoints=(
        Endpoint("anthropic", "/v1/messages"),
        Endpoint("anthropic", "/v1/messages/count_tokens", operation="count"),
    ),
    env=("ANTHROPIC_API_KEY",),
    auth=x_api_key,
    headers={"anthropic-version": "2023-06-01"},
    models_path="/v1/models?limit=1000",
    models_translator="anthropic",
    owns=("claude-",),
    key_url="https://console.anthropic.com/settings/keys",
    allows="API keys may be used with any client. Subscription tokens are reserved for Anthropic's own clients.",
    logins=LOGINS,
    forwards=("anthropic-version", "anthropic-beta", "anthropic-workspace-id", "anthropic-user-profile-id"),
    # Both are 400 there, although nothing is wrong with the request.
    classify=table(
        Fault(400, "credit balance is too low", Kind.QUOTA),
        Fault(400, "reached your specified api usage limits", Kind.QUOTA),
    ),
    quota=quota.anthropic,
)
