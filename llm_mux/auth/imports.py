"""Logins that begin with what the user already has: a refresh token, Google's credential and client files.

Rule: a file is read because its owner asked for it, and once; only what a login needs is taken from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from llm_mux.auth.base import Credential, Flow, LoginError, OAuth, Wish
from llm_mux.auth.identity import identified
from llm_mux.auth.service_account import service_account
from llm_mux.auth.tokens import Granted, refresh

WAY = "import"
ADC_WAY = "adc"


def refresh_token(oauth: OAuth, wish: Wish, text: str) -> Flow:
    """From a refresh token, bare or as `refresh_token` in JSON. It is used once at once, which proves it."""
    token = text.strip()
    if token.startswith("{"):
        token = _word(json_object(token), "refresh_token")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise LoginError("that is no refresh token")
    first = Credential(access="", refresh=token, way=WAY)
    return (yield from _proved(oauth, wish, first))


def default_credentials(oauth: OAuth, wish: Wish, text: str) -> Flow:
    """From Google's application-default credentials: those of a person, or a service account's key file."""
    found = json_object(text)
    kind = found.get("type")
    if kind == "service_account":
        return (yield from service_account(oauth, wish, text))
    if kind != "authorized_user":
        raise LoginError(
            f"credentials of type `{kind if isinstance(kind, str) else 'unknown'}` cannot be imported; "
            "make some with: gcloud auth application-default login"
        )
    first = Credential(
        access="",
        refresh=_word(found, "refresh_token"),
        way=ADC_WAY,
        client_id=_word(found, "client_id"),
        client_secret=_word(found, "client_secret"),
        extra={**_project(found), **wish.extra},
    )
    return (yield from _proved(oauth, wish, first))


def _proved(oauth: OAuth, wish: Wish, first: Credential) -> Flow:
    credential: Credential = yield from refresh(oauth, first, wish.now)
    granted = Granted(credential.access, "", credential.expires, "", {}, credential.obtained)
    try:
        return (yield from identified(oauth, granted, credential))
    except LoginError:
        # The token works; that its owner's name is not told (a scope too few) is no reason to lose it.
        return credential


def client_of_file(oauth: OAuth, text: str) -> OAuth:
    """`oauth` with the OAuth client of Google's `client_secret.json`."""
    found = json_object(text)
    client = found.get("installed", found.get("web"))
    if not isinstance(client, Mapping):
        raise LoginError('this is no OAuth client file: it has neither "installed" nor "web"')
    if "installed" not in found:
        raise LoginError("this is the client of a web application; make one of the type `Desktop app`")
    return replace(oauth, client_id=_word(client, "client_id"), client_secret=_word(client, "client_secret"))


def is_client_file(text: str) -> bool:
    """Whether a file's text is an OAuth client rather than a credential."""
    try:
        found = json_object(text)
    except LoginError:
        return False
    return "installed" in found or "web" in found


def json_object(text: str) -> Mapping[str, Any]:
    """A file's JSON object. Raises `LoginError`."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise LoginError("the file is not JSON") from error
    if not isinstance(found, dict):
        raise LoginError("the file holds no JSON object")
    return found


def _project(found: Mapping[str, Any]) -> dict[str, str]:
    project = found.get("quota_project_id")
    return {"project": project} if isinstance(project, str) and project else {}


def _word(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise LoginError(f"the file has no {name}")
    return value
