"""xAI's Grok models: Responses first, chat as the legacy form; with an API key or an xAI account.

`llm-mux login xai` shows a code for xAI's own page. Kept in the secret store: access and refresh token; e-mail and user
id tell accounts apart. Requests go to the same API as those with a key, under our own name: the backend of xAI's
command line wants that program's headers and is not used. What the plan includes decides whether xAI serves them; a
spent free allowance rests for 24 hours.

Facts: https://docs.x.ai (the comparison of both forms): chat shows no reasoning and is deprecated, so clients of other
formats get Responses. Its imitation of Messages is deprecated and left out. Reasoning models refuse `stop` and both
penalties; some refuse `reasoning_effort`. A bad key is a 400 or 403, not a 401.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from llm_mux.auth.base import Credential, Flow, OAuth, Steps, Wish
from llm_mux.auth.device import device
from llm_mux.auth.discovery import discovered
from llm_mux.auth.tokens import refresh, revoke
from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Endpoints, Login, Provider
from llm_mux.providers.compatible import RESPONSES
from llm_mux.providers.faults import Fault, table
from llm_mux.translators.openai_chat.quirks import COMPATIBLE, EXTENSIONS, OFFICIAL_ONLY

ANSWERS = replace(
    RESPONSES,
    stateless=False,
    system_role=None,
    hosted_tools=frozenset({"web_search", "x_search", "code_interpreter", "file_search", "mcp"}),
    shows_own_calls=True,
)
ANSWERS_PLAIN = replace(ANSWERS, unsupported=ANSWERS.unsupported | {"reasoning"})
CHAT = replace(
    COMPATIBLE,
    max_tokens_field="max_completion_tokens",
    developer_role=True,
    unsupported=OFFICIAL_ONLY | EXTENSIONS | {"presence_penalty", "frequency_penalty", "stop", "logit_bias"},
    effort_words=frozenset({"low", "medium", "high"}),
    content_null_ok=True,
    strict_tools=True,
)
CHAT_PLAIN = replace(CHAT, thinking_style="none")

# These answer 400 to any effort (seen in the release notes of the AI SDK's xai package, 4.0.8).
_FIXED_EFFORT = ("grok-4.20", "grok-4-", "grok-4.1", "grok-build", "grok-code", "grok-3-latest", "grok-3-fast")
_PLAIN = (ANSWERS_PLAIN, CHAT_PLAIN)


def picks(model: str, endpoints: Endpoints, body: bytes) -> Endpoints:
    """The paths are the same; whether an effort may be named depends on the model."""
    fixed = model in ("grok-4", "grok-3") or model.startswith(_FIXED_EFFORT)
    return tuple(e for e in endpoints if (e.quirks in _PLAIN) == fixed) or endpoints


XAI: Final = OAuth(
    issuer="https://auth.x.ai",
    client_id="b1a00492-073a-47ea-816f-4c329264a828",
    scopes=("openid", "profile", "email", "offline_access", "grok-cli:access", "api:access"),
    device_s=1800,
)


_WARNING: Final = (
    "xAI means its plans for its own programs. llm-mux signs in through the public app of xAI's command line, calls "
    "itself llm-mux in every request, and xAI may refuse it. API keys may be used with any client: "
    "llm-mux login xai --api-key"
)


def start(oauth: OAuth, wish: Wish) -> Flow:
    """Sign in with a code. The addresses are what xAI publishes, and none outside its own domain is believed."""
    return (yield from device((yield from discovered(oauth, within=_domain(oauth))), wish))


def renewed(oauth: OAuth, credential: Credential, now: float) -> Flow:
    """The next token, from where xAI publishes it now."""
    return (yield from refresh((yield from discovered(oauth, within=_domain(oauth))), credential, now))


def ended(oauth: OAuth, credential: Credential) -> Steps[None]:
    """Tells xAI that the login is over, if it publishes where."""
    yield from revoke((yield from discovered(oauth, within=_domain(oauth))), credential)


def _domain(oauth: OAuth) -> str:
    host = urlsplit(oauth.issuer).hostname or ""
    return "x.ai" if host.endswith(".x.ai") else host


PROVIDER = Provider(
    name="xai",
    title="xAI",
    base_url="https://api.x.ai/v1",
    endpoints=(
        Endpoint("openai_responses", "/responses", quirks=ANSWERS),
        Endpoint("openai_responses", "/responses", quirks=ANSWERS_PLAIN),
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT),
        Endpoint("openai_chat", "/chat/completions", quirks=CHAT_PLAIN),
    ),
    env=("XAI_API_KEY",),
    owns=("grok-",),
    key_url="https://console.x.ai",
    allows=(
        "API keys may be used with any client; use is billed per token. Plans are meant for xAI's own programs; what "
        "they let others do may change."
    ),
    forwards=("x-grok-conv-id",),
    logins=(
        Login(
            "device",
            "xAI account, signed in with a code",
            XAI,
            start=start,
            refresh=renewed,
            revoke=ended,
            warning=_WARNING,
        ),
    ),
    picks=picks,
    ignores_bodies=True,
    classify=table(
        Fault(400, "incorrect api key", Kind.UPSTREAM_AUTH),
        Fault(403, "bad-credentials", Kind.UPSTREAM_AUTH),
        Fault(403, "bad credentials", Kind.UPSTREAM_AUTH),
        Fault(403, "credits", Kind.QUOTA),
        Fault(429, "free usage exhausted", Kind.QUOTA, rest_s=86400),
    ),
    quota=quota.openai,
)
