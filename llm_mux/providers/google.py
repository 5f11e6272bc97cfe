"""Signing in at Google, which several providers need: with an OAuth client of one's own, or with what gcloud left.

Rule: no client of another program is used, and no secret is built in. Facts: https://ai.google.dev/gemini-api/docs/oauth.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from llm_mux.auth.base import Credential, Flow, LoginError, OAuth, Wish
from llm_mux.auth.browser import browser
from llm_mux.auth.tokens import Identify
from llm_mux.providers.base import Auth, Provider, bearer

ADC_PATH: Final = "~/.config/gcloud/application_default_credentials.json"
CLOUD: Final = "https://www.googleapis.com/auth/cloud-platform"

GOOGLE: Final = OAuth(
    authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
    token_url="https://oauth2.googleapis.com/token",
    revoke_url="https://oauth2.googleapis.com/revoke",
    userinfo_url="https://www.googleapis.com/oauth2/v1/userinfo?alt=json",
    scopes=("openid", "https://www.googleapis.com/auth/userinfo.email", CLOUD),
    redirect_path="/oauth2callback",
    # Without both, Google gives a refresh token only the first time.
    authorize_extra={"access_type": "offline", "prompt": "consent"},
)

_NO_CLIENT: Final = """\
Google wants an OAuth client of your own for this. Once:
1. open https://console.cloud.google.com/apis/credentials in a project where {api} is on;
2. create an OAuth client ID of the type "Desktop app" (while its consent screen is in testing, add yourself as a
   test user; Google then ends the login after 7 days);
3. download its JSON file and run: llm-mux login {provider}{options} --client-file client_secret.json
{otherwise}"""


def own_client(oauth: OAuth, wish: Wish, identify: Identify | None, how: str) -> Flow:
    """Sign in with a browser and the user's own client; without one `how` says where to get it."""
    if not oauth.client_id:
        raise LoginError(how)
    return (yield from browser(oauth, wish, identify))


def how_to_get_a_client(provider: str, api: str, otherwise: str, options: str = "") -> str:
    """The few lines for somebody who has no OAuth client."""
    return _NO_CLIENT.format(provider=provider, api=api, options=options, otherwise=otherwise)


def project_of(credential: Credential) -> str:
    """The Google Cloud project that pays: the one that was said, else the client's own, whose number its id begins
    with."""
    number = credential.client_id.partition("-")[0]
    return credential.extra.get("project", "") or (number if number.isdigit() else "")


def as_owner(provider: Provider, credential: Credential) -> Provider:
    """`provider` asked with a Bearer token on the account of the credential's project."""
    auth: Auth = bearer
    project = project_of(credential)
    headers = {**provider.headers, "x-goog-user-project": project} if project else provider.headers
    return replace(provider, auth=auth, headers=headers)
