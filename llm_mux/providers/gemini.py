"""The Gemini Developer API with an API key or a Google account. Facts: https://ai.google.dev/api.

`llm-mux login gemini --api-key` is the simple way. `llm-mux login gemini --client-file client_secret.json` signs in
with a browser and an OAuth client of your own (type "Desktop app"), as Google's own guide describes; without a client
the command says how to get one. `--import` takes over what `gcloud auth application-default login` left, a service
account's key file, or such a client. Kept in the secret store: access and refresh token, and the client. Requests go
to the same API and count for the client's project, or the one that `--project` names.

`llm-mux login gemini --code-assist --project PROJECT` uses the licences of Gemini Code Assist Standard or Enterprise
instead, by the same client. Since 2026-06-18 Google lets no individual accounts in there; the login shows its reason.

A bad key is a 400 with the reason API_KEY_INVALID, so it is told apart from a client's bad request here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from llm_mux.auth.base import Flow, OAuth, Wish
from llm_mux.auth.imports import ADC_WAY, default_credentials
from llm_mux.auth.service_account import WAY as SERVICE_ACCOUNT
from llm_mux.auth.service_account import refresh as refresh_service_account
from llm_mux.auth.tokens import refresh, revoke
from llm_mux.errors import Kind, MuxError
from llm_mux.providers import code_assist, quota
from llm_mux.providers.base import Endpoint, Login, Provider, x_goog_api_key
from llm_mux.providers.faults import Fault, table
from llm_mux.providers.google import ADC_PATH, GOOGLE, as_owner, how_to_get_a_client, own_client

OWN: Final = replace(GOOGLE, scopes=(*GOOGLE.scopes, "https://www.googleapis.com/auth/generative-language.retriever"))
_HOW: Final = how_to_get_a_client(
    "gemini",
    "the Gemini API",
    "An API key needs none of this: llm-mux login gemini --api-key (keys: https://aistudio.google.com/apikey)",
)


def start(oauth: OAuth, wish: Wish) -> Flow:
    """Sign in with a browser and the user's own client."""
    if project := wish.extra.get("project", ""):
        credential = yield from own_client(oauth, wish, None, _HOW)
        return credential.with_extra(project=project)
    return (yield from own_client(oauth, wish, None, _HOW))


_faults: Final = table(
    Fault(400, "API_KEY_INVALID", Kind.UPSTREAM_AUTH),
    Fault(400, "API key expired", Kind.UPSTREAM_AUTH),
    # The free tier is closed to some countries: another account may do, waiting does not.
    Fault(400, "User location is not supported", Kind.UPSTREAM_FORBIDDEN),
)


def classify(error: MuxError, headers: Mapping[str, str]) -> MuxError:
    """An account that Code Assist lets in no more is told Google's reason, not a bare 403."""
    if error.status == 403 and b"IneligibleTier" in (error.upstream or b""):
        return replace(error, message=code_assist.refusal(error.upstream or b""))
    return _faults(error, headers)


LOGINS: Final = (
    Login(
        "browser",
        "Google account, with an OAuth client of your own",
        OWN,
        start=start,
        refresh=refresh,
        revoke=revoke,
        wants=("client", "project"),
        applied=as_owner,
    ),
    code_assist.LOGIN,
    # One import for both kinds of files: what is in it says which login it is.
    Login(
        ADC_WAY,
        "Google's application-default credentials, or a service account's key file",
        OWN,
        refresh=refresh,
        imports=default_credentials,
        import_path=ADC_PATH,
        wants=("project",),
        applied=as_owner,
    ),
    Login(SERVICE_ACCOUNT, "Google service account", OWN, refresh=refresh_service_account, applied=as_owner),
)

PROVIDER = Provider(
    name="gemini",
    title="Gemini API",
    base_url="https://generativelanguage.googleapis.com",
    endpoints=(
        Endpoint(
            "gemini",
            "/v1beta/models/{model}:generateContent",
            stream_path="/v1beta/models/{model}:streamGenerateContent?alt=sse",
        ),
        Endpoint("gemini", "/v1beta/models/{model}:batchEmbedContents", operation="embed"),
        Endpoint("gemini", "/v1beta/models/{model}:countTokens", operation="count"),
    ),
    env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    auth=x_goog_api_key,
    models_path="/v1beta/models?pageSize=1000",
    models_translator="gemini",
    owns=("gemini-", "gemma-"),
    key_url="https://aistudio.google.com/apikey",
    allows="API keys may be used with any client under the Gemini API terms; a free tier exists.",
    classify=classify,
    logins=LOGINS,
    quota=quota.gemini,
)
