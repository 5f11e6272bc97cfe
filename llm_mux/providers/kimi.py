"""Kimi Code plans: chat and Messages at their own address, in whichever of the two the client speaks.

`llm-mux login kimi` shows a code for Kimi's own page; a key of the plan works too. Kept in the secret store: access and
refresh token, and a random device id, which Kimi wants to see again. The name in `x-msh-platform` is ours; no name of
this machine is sent. Kimi serves the plans to coding agents it knows, so the client's own `user-agent` goes on, with
llm-mux's behind it.

Models may be written with the beginning `kimi-` or without, and with `[1m]` at the end, as some tools do: `k3` alone is
what has the long context.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final

import msgspec
from msgspec.structs import replace

from llm_mux import __version__
from llm_mux.auth.base import Credential, Flow, OAuth, Wish
from llm_mux.auth.device import device
from llm_mux.auth.identity import claims_of, text_of
from llm_mux.auth.tokens import refresh
from llm_mux.errors import Kind
from llm_mux.providers.base import Endpoint, Login, Provider
from llm_mux.providers.compatible import KIMI_CHAT, KIMI_MESSAGES, MESSAGES_HEADERS
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.base import ModelInfo
from llm_mux.wire import jsonx

_DEVICE: Final = "x-msh-device-id"
_OURS: Final = {"x-msh-platform": "llm-mux", "x-msh-version": __version__}
# `kimi-for-coding` is a name by itself.
_PREFIX: Final = re.compile(r"kimi-(?=k\d)")
_MODELS: Final = (
    *("kimi-k2", "kimi-k2-thinking", "kimi-k2.5", "kimi-k2.6", "kimi-k2.7-code", "kimi-k2.7-code-highspeed"),
    *("kimi-k3", "kimi-k3-256k"),
)
_CONTEXT: Final = {"kimi-k3": 1_048_576, "kimi-k3-256k": 262_144}


def own_name(model: str) -> str:
    """A model's name as the backend has it."""
    return _PREFIX.sub("", model.removesuffix("[1m]"), count=1)


def _named(body: bytes, model: str) -> bytes:
    own = own_name(model)
    return body if own == model else jsonx.splice(body, {"model": msgspec.json.encode(own)})


KIMI: Final = OAuth(
    client_id="17e5f671-d194-4dfb-9706-5516cb48c098",
    device_url="https://auth.kimi.com/api/oauth/device_authorization",
    token_url="https://auth.kimi.com/api/oauth/token",
    headers=_OURS,
)


_WARNING: Final = (
    "Kimi Code plans are for the coding agents that Kimi names. llm-mux signs in through Kimi's public app for its own "
    "command line, calls itself llm-mux in every request, and Kimi may refuse it. Keys of the plan and of the platform "
    "may be used too: llm-mux login kimi --api-key, llm-mux login moonshot --api-key"
)


def start(oauth: OAuth, wish: Wish) -> Flow:
    """Sign in with a code, as a new device."""
    mine = wish.token(16)
    credential: Credential = yield from device(_from(oauth, mine), wish)
    claims = claims_of(credential.access)
    named = msgspec.structs.replace(credential, id=text_of(claims, "user_id", "sub"))
    return named.with_extra(device=mine)


def renewed(oauth: OAuth, credential: Credential, now: float) -> Flow:
    """The next token, from the same device."""
    return (yield from refresh(_from(oauth, credential.extra.get("device", "")), credential, now))


def _from(oauth: OAuth, device_id: str) -> OAuth:
    return dataclasses.replace(oauth, headers={**oauth.headers, _DEVICE: device_id}) if device_id else oauth


def applied(provider: Provider, credential: Credential) -> Provider:
    """From the device that logged in."""
    device_id = credential.extra.get("device", "")
    return replace(provider, headers={**provider.headers, _DEVICE: device_id}) if device_id else provider


PROVIDER = Provider(
    name="kimi",
    title="Kimi Code",
    base_url="https://api.kimi.com/coding",
    endpoints=(
        Endpoint("openai_chat", "/v1/chat/completions", quirks=KIMI_CHAT, wrap=_named, calls=own_name),
        Endpoint(
            "anthropic", "/v1/messages", quirks=KIMI_MESSAGES, headers=MESSAGES_HEADERS, wrap=_named, calls=own_name
        ),
    ),
    env=("KIMI_API_KEY", "KIMI_CODE_API_KEY"),
    headers=_OURS,
    # The names there are bare (`k3`), and few; those below are what tools are set up with.
    models_path=None,
    check_path="/v1/models",
    models=tuple(ModelInfo(name, owned_by="moonshot", context=_CONTEXT.get(name), max_output=None) for name in _MODELS),
    logins=(
        Login(
            "device",
            "Kimi Code plan, signed in with a code",
            KIMI,
            start=start,
            refresh=renewed,
            warning=_WARNING,
            applied=applied,
        ),
    ),
    key_url="https://www.kimi.com/code/console",
    allows="Kimi Code plans are for coding agents; Kimi names those that it serves and may refuse others.",
    forwards=("user-agent",),
    classify=table(
        Fault(429, "exceeded_current_quota", Kind.QUOTA),
        Fault(429, "engine_overloaded", Kind.OVERLOADED),
        Fault(403, "quota", Kind.QUOTA),
    ),
)
