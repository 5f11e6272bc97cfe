"""A ChatGPT plan through the backend of OpenAI's Codex: Responses only, always streamed, nothing kept.

Log in with `llm-mux login codex` (a browser on this machine) or `llm-mux login codex --device` (a code that is typed on
any device); `--import` takes over the login of an installed Codex. Kept in the secret store: access and refresh token.
Account id, e-mail and plan tell accounts apart. The models follow from the plan; what a plan lacks is refused there.

llm-mux calls itself by its own name (`originator: llm-mux`) and sends no prompt, tool or header of Codex. What a
Codex client itself sends about its session goes on. The backend takes no sampling or limits: temperature and the like
are dropped and reported, a token limit is kept by the daemon. The plan's limits count for the account as a whole.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from llm_mux.auth.base import Browse, Call, Credential, Flow, LoginError, OAuth, Reply, Show, Sleep, Steps, Wish
from llm_mux.auth.browser import browser
from llm_mux.auth.identity import claims_of, expiry_of, text_of
from llm_mux.auth.imports import json_object
from llm_mux.auth.tokens import Granted, error_code, grant, read, refresh
from llm_mux.errors import Kind, MuxError
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Login, Provider
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.base import ModelInfo
from llm_mux.translators.openai_responses.quirks import Quirks

BACKEND: Final = Quirks(
    stateless=True,
    unsupported=frozenset(
        {"prompt_cache_retention", "prompt_cache_options", "safety_identifier", "user", "stream_options"}
        | {"max_output_tokens", "max_completion_tokens", "max_tokens", "generate", "temperature", "top_p"}
        | {"truncation", "context_management"}
    ),
    system_role="developer",
    only_streams=True,
    strict_shape=True,
    always_sealed=True,
    cache_marks=False,
    tiers=frozenset({"priority"}),
)

# What Codex says of its session to its own backend. Who asks is not among it: that is for us to say.
_SESSION: Final = (
    *("session-id", "thread-id", "x-client-request-id", "x-codex-window-id", "x-codex-turn-metadata"),
    *("x-codex-beta-features", "x-openai-internal-codex-responses-lite"),
)
_CACHE_KEY: Final = re.compile(rb'"prompt_cache_key": ?"([\w.:/-]{1,128})"')
_OUTPUT: Final = 128_000
_CONTEXT: Final = {
    "gpt-5.4": 1_050_000,
    "gpt-5.4-mini": None,
    "gpt-5.5": 272_000,
    "gpt-5.6-sol": 372_000,
    "gpt-5.6-terra": 372_000,
    "gpt-5.6-luna": 372_000,
    "gpt-5.3-codex-spark": None,
    "codex-auto-review": None,
}
_FREE: Final = ("gpt-5.4-mini", "gpt-5.5", "gpt-5.6-terra", "gpt-5.6-luna", "codex-auto-review")
_TEAM: Final = (*_FREE, "gpt-5.4", "gpt-5.6-sol")
_PLANS: Final = {"free": _FREE, "team": _TEAM}


def tells(body: bytes) -> Mapping[str, str]:
    """The conversation's cache key as the session, which keeps its requests where their beginning is cached."""
    found = _CACHE_KEY.search(body)
    return {"session-id": found[1].decode()} if found is not None else {}


def models_of(plan: str) -> tuple[ModelInfo, ...]:
    """The models of a plan; one that is not known here is taken for a paid one."""
    names = _PLANS.get(plan.lower(), (*_TEAM, "gpt-5.3-codex-spark"))
    return tuple(ModelInfo(name, owned_by="openai", context=_CONTEXT[name], max_output=_OUTPUT) for name in names)


_faults: Final = table(
    # A plan's limit comes with an end, an organisation's does not.
    Fault(429, "usage_limit_reached", Kind.QUOTA),
    Fault(429, "usage_not_included", Kind.QUOTA),
    Fault(400, "not supported when using codex", Kind.UPSTREAM_MODEL),
)


def classify(error: MuxError, headers: Mapping[str, str]) -> MuxError:
    """A spent plan says when it is full again; `resets_at` counts from the answer's own date."""
    error = _faults(error, headers)
    if error.kind is not Kind.QUOTA or error.retry_after is not None:
        return error
    try:
        sent = parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return error
    ends = [w.resets_at for w in quota.codex(headers, error.upstream or b"", sent) if w.spent and w.resets_at]
    return dataclasses.replace(error, retry_after=max(0.0, max(ends) - sent)) if ends else error


OPENAI: Final = OAuth(
    client_id="app_EMoamEEZ73f0CkXaXp7hrann",
    issuer="https://auth.openai.com",
    authorize_url="https://auth.openai.com/oauth/authorize",
    token_url="https://auth.openai.com/oauth/token",
    device_url="https://auth.openai.com/api/accounts/deviceauth/usercode",
    scopes=("openid", "profile", "email", "offline_access"),
    redirect_host="localhost",
    redirect_port=1455,
    redirect_path="/auth/callback",
    fixed_port=True,
    authorize_extra={"prompt": "login", "id_token_add_organizations": "true", "codex_cli_simplified_flow": "true"},
    refresh_scopes=("openid", "profile", "email"),
    lead_s=5 * 86400,
)
_WARNING: Final = (
    "OpenAI means ChatGPT plans for its own Codex programs and documents no use by others. llm-mux signs in through "
    "Codex's public app, calls itself llm-mux in every request, and OpenAI may refuse or limit it. API keys may be "
    "used with any client: llm-mux login openai --api-key"
)
_CLAIMS: Final = "https://api.openai.com/auth"
_NOT_YET: Final = (403, 404)


def identify(oauth: OAuth, granted: Granted, credential: Credential) -> Flow:
    """Who it is, from the id token; the account's id tells a team's account from the same person's own."""
    yield from ()
    return _named(credential, claims_of(granted.id_token))


def _named(credential: Credential, claims: Mapping[str, Any]) -> Credential:
    """The access token says account and plan too, also after a refresh."""
    profile = claims_of(credential.access)
    told = {**_account(profile), **_account(claims)}
    return msgspec.structs.replace(
        credential,
        id=text_of(told, "chatgpt_account_id") or credential.id,
        plan=text_of(_account(profile) or told, "chatgpt_plan_type") or credential.plan,
        email=text_of(claims, "email") or credential.email,
        expires=credential.expires if credential.expires is not None else expiry_of(credential.access),
    )


def _account(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    found = claims.get(_CLAIMS)
    return found if isinstance(found, dict) else {}


def start(oauth: OAuth, wish: Wish) -> Flow:
    """Sign in with a browser."""
    return (yield from browser(oauth, wish, identify))


def device(oauth: OAuth, wish: Wish) -> Flow:
    """OpenAI's own form of the device flow: the polls are answered 403 or 404 until the code was typed in, and end
    with an authorization code and its verifier."""
    reply: Reply = yield _posted(oauth.device_url, {"client_id": oauth.client_id})
    answer = read(reply, "the device endpoint")
    code, shown = text_of(answer, "device_auth_id"), text_of(answer, "user_code")
    if not (code and shown):
        raise LoginError("the device endpoint answered without a code")
    yield Browse(f"{oauth.issuer}/codex/device", shown)
    granted = yield from _polled(oauth, code, shown, reply.at + oauth.device_s)
    callback = f"{oauth.issuer}/deviceauth/callback"
    verifier, new_code = text_of(granted, "code_verifier"), text_of(granted, "authorization_code")
    new = yield from grant(
        oauth, "authorization_code", code=new_code, code_verifier=verifier, redirect_uri=callback, **oauth.token_extra
    )
    return (yield from identify(oauth, new, new.credential(oauth, "device")))


def _polled(oauth: OAuth, code: str, shown: str, deadline: float) -> Steps[Mapping[str, Any]]:
    url = oauth.device_url.rpartition("/")[0] + "/token"
    while True:
        now: float = yield Sleep(oauth.poll_s)
        if now > deadline:
            raise LoginError("the code has expired before it was typed in; run the command again", code="expired_token")
        reply: Reply = yield _posted(url, {"device_auth_id": code, "user_code": shown})
        if reply.status in _NOT_YET and error_code(reply) != "access_denied":
            continue
        return read(reply, "the device endpoint")


def _posted(url: str, body: Mapping[str, str]) -> Call:
    headers = {"accept": "application/json", "content-type": "application/json"}
    return Call(url, "POST", headers, msgspec.json.encode(body))


def renewed(oauth: OAuth, credential: Credential, now: float) -> Flow:
    """The next token, with the plan that it names: plans change."""
    new: Credential = yield from refresh(oauth, credential, now)
    return _named(new, {})


def imported(oauth: OAuth, wish: Wish, text: str) -> Flow:
    """From the file in which Codex keeps its own login."""
    tokens = json_object(text).get("tokens")
    if not isinstance(tokens, dict) or not text_of(tokens, "refresh_token"):
        raise LoginError("Codex is not logged in with a ChatGPT plan; use: llm-mux login codex")
    access = text_of(tokens, "access_token")
    credential = Credential(
        access=access,
        refresh=text_of(tokens, "refresh_token"),
        expires=expiry_of(access) or wish.now,
        obtained=wish.now,
        way="browser",
        id=text_of(tokens, "account_id"),
        client_id=oauth.client_id,
    )
    yield Show("Once llm-mux renews this login, Codex may have to log in again, or the other way round.")
    return _named(credential, claims_of(text_of(tokens, "id_token")))


def applied(provider: Provider, credential: Credential) -> Provider:
    """With the account's id in a header, and the models of its plan."""
    headers = {**provider.headers, "chatgpt-account-id": credential.id} if credential.id else provider.headers
    return replace(provider, headers=headers, models=models_of(credential.plan))


LOGINS: Final = (
    Login(
        "browser",
        "ChatGPT plan, signed in with a browser",
        OPENAI,
        start=start,
        refresh=renewed,
        imports=imported,
        import_path="~/.codex/auth.json",
        warning=_WARNING,
        applied=applied,
    ),
    Login(
        "device",
        "ChatGPT plan, signed in with a code",
        OPENAI,
        start=device,
        refresh=renewed,
        warning=_WARNING,
        applied=applied,
    ),
)

PROVIDER = Provider(
    name="codex",
    title="ChatGPT plan (Codex)",
    base_url="https://chatgpt.com/backend-api/codex",
    endpoints=(
        Endpoint(
            "openai_responses", "/responses", quirks=BACKEND, headers={"accept": "text/event-stream"}, tells=tells
        ),
    ),
    headers={"originator": "llm-mux"},
    models_path=None,
    logins=LOGINS,
    takes_keys=False,
    allows="OpenAI means the plan for its own Codex clients; it documents no use by others and may refuse or limit it.",
    forwards=_SESSION,
    classify=classify,
    quota=quota.codex,
)
