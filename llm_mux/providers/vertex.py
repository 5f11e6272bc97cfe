"""Gemini and Claude on Vertex AI: with a service account or one's own Google login, or with a key in express mode.

`llm-mux login vertex --import key.json` takes the key file of a service account (also one whose private key lost its
line ends), or what `gcloud auth application-default login` left; `--project` names the project where the file does
not. Kept in the secret store: the key file, or refresh token and client. The place is `us-central1` unless the
configuration entry says `options: {location: global}` or another one. Claude models are asked as the Messages they
speak; their ids there look like `claude-sonnet-4-5@20250929`.

Express mode is an API key without a project: https://cloud.google.com/vertex-ai/generative-ai/docs/start/express-mode.
There are no model lists here, so ids that are surely there are named and others are tried as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from msgspec.structs import replace

from llm_mux.auth.base import Credential, Flow, LoginError, OAuth, Wish
from llm_mux.auth.imports import ADC_WAY, default_credentials
from llm_mux.auth.service_account import WAY as SERVICE_ACCOUNT
from llm_mux.auth.service_account import refresh as refresh_service_account
from llm_mux.auth.tokens import refresh
from llm_mux.errors import Kind
from llm_mux.providers import quota
from llm_mux.providers.base import Endpoint, Endpoints, Login, Provider, bearer, x_goog_api_key
from llm_mux.providers.choosing import only
from llm_mux.providers.faults import Fault, table
from llm_mux.providers.google import ADC_PATH, CLOUD, GOOGLE
from llm_mux.translators.anthropic import quirks as anthropic
from llm_mux.translators.base import ModelInfo
from llm_mux.translators.gemini.quirks import Quirks
from llm_mux.wire import jsonx

_QUIRKS: Final = Quirks(vertex=True)
_CLAUDE: Final = replace(anthropic.OFFICIAL, binding_controls=False)
_HOST: Final = "https://aiplatform.googleapis.com"
_LOCATION: Final = "us-central1"
_VERSION: Final = b'"vertex-2023-10-16"'


def _in_the_body(body: bytes, model: str) -> bytes:
    """A Messages request whose model is in the path and whose version is in the body."""
    return jsonx.splice(body, {"model": None, "anthropic_version": _VERSION})


def _counted(body: bytes, model: str) -> bytes:
    return jsonx.splice(body, {"anthropic_version": _VERSION})


def _gemini(place: str) -> Endpoints:
    model = f"{place}/publishers/google/models/{{model}}"
    made, streamed = f"{model}:generateContent", f"{model}:streamGenerateContent?alt=sse"
    return (
        Endpoint("gemini", made, stream_path=streamed, quirks=_QUIRKS),
        Endpoint("gemini", f"{model}:countTokens", operation="count", quirks=_QUIRKS),
    )


def _anthropic(place: str) -> Endpoints:
    models = f"{place}/publishers/anthropic/models"
    made, streamed = f"{models}/{{model}}:rawPredict", f"{models}/{{model}}:streamRawPredict"
    count = f"{models}/count-tokens:rawPredict"
    return (
        Endpoint("anthropic", made, stream_path=streamed, quirks=_CLAUDE, wrap=_in_the_body),
        Endpoint("anthropic", count, operation="count", quirks=_CLAUDE, wrap=_counted),
    )


def picks(model: str, endpoints: Endpoints, body: bytes) -> Endpoints:
    """Each family is spoken to in its own format alone."""
    return only("anthropic" if model.startswith("claude") else "gemini", endpoints)


def adjust(provider: Provider, options: Mapping[str, str]) -> Provider:
    """Keeps what the entry says for `applied`, which knows the project."""
    chosen = {name: value for name, value in options.items() if name in provider.options and value}
    return replace(provider, options={**provider.options, **chosen})


def applied(provider: Provider, credential: Credential) -> Provider:
    """The project's own models at its place; `global` has the host without a place in front."""
    project = provider.options.get("project") or credential.extra.get("project", "")
    location = provider.options.get("location") or credential.extra.get("location") or _LOCATION
    base = provider.base_url
    if base == _HOST and location != "global":
        base = f"https://{location}-{_HOST.removeprefix('https://')}"
    place = f"/v1/projects/{quote(project, safe=':')}/locations/{quote(location, safe='')}"
    return replace(provider, base_url=base, endpoints=(*_gemini(place), *_anthropic(place)), auth=bearer)


def imported(oauth: OAuth, wish: Wish, text: str) -> Flow:
    """From a service account's key file, or application-default credentials. The project has to be known."""
    credential = yield from default_credentials(oauth, wish, text)
    if not credential.extra.get("project"):
        raise LoginError("the file names no project; say which with --project")
    return credential


_CLOUD: Final = dataclasses.replace(GOOGLE, scopes=(CLOUD,))

# One import for both kinds of files: what is in it says which login it is.
LOGINS: Final = (
    Login(
        ADC_WAY,
        "Google's application-default credentials, or a service account's key file",
        _CLOUD,
        refresh=refresh,
        imports=imported,
        import_path=ADC_PATH,
        wants=("project", "location"),
        applied=applied,
    ),
    Login(
        SERVICE_ACCOUNT,
        "service account of a Google Cloud project",
        _CLOUD,
        refresh=refresh_service_account,
        applied=applied,
    ),
)

PROVIDER = Provider(
    name="vertex",
    title="Vertex AI",
    base_url=_HOST,
    endpoints=_gemini("/v1"),
    # Not GOOGLE_API_KEY: that one is taken by the Gemini API, and one key must not be spent in two places.
    env=("VERTEX_API_KEY", "GOOGLE_VERTEX_API_KEY"),
    auth=x_goog_api_key,
    models_path=None,
    models=tuple(
        ModelInfo(name, owned_by="google", context=1_048_576, max_output=65_536)
        for name in ("gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite")
    ),
    owns=("gemini-",),
    options={"project": "", "location": ""},
    key_url="https://console.cloud.google.com/vertex-ai/studio/settings/api-keys",
    allows="Keys and accounts may be used with any client under the Google Cloud terms; use is billed to the project.",
    classify=table(
        Fault(400, "API_KEY_INVALID", Kind.UPSTREAM_AUTH),
        Fault(400, "API key not valid", Kind.UPSTREAM_AUTH),
    ),
    logins=LOGINS,
    quota=quota.gemini,
    picks=picks,
    ignores_bodies=True,
    adjust=adjust,
)
