"""The token endpoint (RFC 6749): one request, its answer read with mistrust, refresh and revocation (RFC 7009).

Rule: what a server sends is checked before it is believed, and no word of a token or code gets into a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec

from llm_mux.auth.base import Call, Credential, Flow, LoginError, OAuth, Reply, Steps

_LONGEST_S = 10 * 365 * 86400.0
_FINAL = frozenset({"invalid_grant", "refresh_token_reused", "refresh_token_expired", "refresh_token_invalidated"})
_FORM = "application/x-www-form-urlencoded"
_MOST_WORDS = 200


@dataclass(frozen=True, slots=True)
class Granted:
    """A good answer of a token endpoint; `expires` is epoch seconds, None when it does not say. `all` is the whole
    answer, `at` when it came."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires: float | None
    id_token: str = field(repr=False)
    all: Mapping[str, Any] = field(repr=False)
    at: float

    def credential(self, oauth: OAuth, way: str) -> Credential:
        return Credential(
            access=self.access,
            refresh=self.refresh,
            expires=self.expires,
            obtained=self.at,
            way=way,
            client_id=oauth.client_id,
            client_secret=oauth.client_secret,
        )


class Identify(Protocol):
    """Completes a new credential with who it is for; may ask the provider."""

    def __call__(self, oauth: OAuth, granted: Granted, credential: Credential, /) -> Flow: ...


def grant(oauth: OAuth, grant_type: str, **parameters: str) -> Steps[Granted]:
    """Ask the token endpoint. Raises `LoginError` for everything but a token."""
    reply: Reply = yield request(oauth, oauth.token_url, {"grant_type": grant_type, **parameters})
    return granted(reply)


def request(oauth: OAuth, url: str, parameters: Mapping[str, str]) -> Call:
    """A request of the client at one of its server's endpoints, with the client's own name and secret."""
    from authlib.oauth2.auth import ClientAuth

    if not url:
        raise LoginError("the provider's login has no such address; set it in oauth: of its configuration entry")
    said = {name: value for name, value in parameters.items() if value}
    headers = {"accept": "application/json", **oauth.headers}
    if oauth.body == "json":
        said["client_id"] = oauth.client_id
        if oauth.client_secret:
            said["client_secret"] = oauth.client_secret
        return Call(url, "POST", {**headers, "content-type": "application/json"}, msgspec.json.encode(said))
    client = ClientAuth(oauth.client_id, oauth.client_secret, oauth.client_auth if oauth.client_secret else "none")
    sent = {**headers, "content-type": _FORM}
    url, sent, body = client.prepare("POST", url, sent, form(said))
    return Call(url, "POST", {name.lower(): value for name, value in sent.items()}, body.encode())


def form(parameters: Mapping[str, str]) -> str:
    from authlib.common.urls import add_params_to_qs

    text: str = add_params_to_qs("", list(parameters.items()))
    return text


def granted(reply: Reply) -> Granted:
    """What a token endpoint gave. Raises `LoginError` with its words when that is no token."""
    answer = read(reply, "the token endpoint")
    access = answer.get("access_token")
    if not isinstance(access, str) or not access or not _sendable(access):
        raise LoginError("the token endpoint answered without a usable access token")
    kind = answer.get("token_type", "bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise LoginError("the token endpoint gave a token of a kind that is not Bearer")
    return Granted(
        access=access,
        refresh=_text(answer, "refresh_token"),
        expires=_expiry(answer.get("expires_in"), reply.at),
        id_token=_text(answer, "id_token"),
        all=answer,
        at=reply.at,
    )


def read(reply: Reply, place: str) -> dict[str, Any]:
    """The JSON object (or, as some servers do it, form) that a login endpoint answered with status 200."""
    if 300 <= reply.status < 400:
        target = urlsplit(reply.headers.get("location", ""))
        there = f" to {target.scheme or 'another address'}://{target.hostname}" if target.hostname else ""
        raise LoginError(f"{place} redirects{there}; redirects are not followed: correct its address")
    answer = _decoded(reply)
    failure = failed(reply, place)
    if failure is not None:
        raise failure
    if answer is None:
        raise LoginError(f"{place} answered {reply.status} with something that is not JSON{_looks(reply)}")
    return answer


def failed(reply: Reply, place: str) -> LoginError | None:
    """The error that an answer holds, whatever its status; None when it is none."""
    answer = _decoded(reply) or {}
    code, words = _error(answer)
    if not code and reply.status < 400:
        return None
    retry = _seconds(reply.headers.get("retry-after"))
    if not code and not answer:
        return LoginError(f"{place} answered {reply.status}{_looks(reply)}", retry_after=retry)
    said = f": {words}" if words and words != code else ""
    return LoginError(f"{place} refused ({code or reply.status}){said}", code=code, retry_after=retry)


def error_code(reply: Reply) -> str:
    """The OAuth error code of an answer, "" when there is none."""
    return _error(_decoded(reply) or {})[0]


def refresh(oauth: OAuth, credential: Credential, now: float) -> Flow:
    """The next credential. The old refresh token stays when none comes back; a final refusal is marked `final`."""
    del now
    if not credential.refresh:
        raise LoginError("there is no refresh token", final=True)
    oauth = client_of(oauth, credential)
    scopes = {} if oauth.refresh_scopes is None else {"scope": " ".join(oauth.refresh_scopes)}
    try:
        new = yield from grant(
            oauth, "refresh_token", refresh_token=credential.refresh, **scopes, **oauth.refresh_extra
        )
    except LoginError as error:
        error.final = error.code in _FINAL or error.code in oauth.final
        raise
    return msgspec.structs.replace(
        credential,
        access=new.access,
        refresh=new.refresh or credential.refresh,
        expires=new.expires,
        obtained=new.at,
    )


def revoke(oauth: OAuth, credential: Credential) -> Steps[None]:
    """Tell the server that the tokens are over (RFC 7009); the refresh token where there is one takes the rest along.

    Raises `LoginError` when the server does not take it.
    """
    if not oauth.revoke_url:
        return
    token, hint = (credential.refresh, "refresh_token") if credential.refresh else (credential.access, "access_token")
    call = request(client_of(oauth, credential), oauth.revoke_url, {"token": token, "token_type_hint": hint})
    reply: Reply = yield call
    failure = failed(reply, "the revocation endpoint")
    if failure is not None and failure.code != "invalid_token":
        raise failure


def client_of(oauth: OAuth, credential: Credential) -> OAuth:
    """The facts with the client that the credential belongs to: another's refresh tokens are refused."""
    if not credential.client_id or (oauth.client_id == credential.client_id and not credential.client_secret):
        return oauth
    return replace(oauth, client_id=credential.client_id, client_secret=credential.client_secret)


def _decoded(reply: Reply) -> dict[str, Any] | None:
    try:
        answer = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if not reply.headers.get("content-type", "").startswith(_FORM):
            return None
        answer = dict(parse_qsl(reply.body.decode("ascii", "replace")))
    return answer if isinstance(answer, dict) else None


def _error(answer: Mapping[str, Any]) -> tuple[str, str]:
    """Code and words of an error: RFC 6749's two fields, or an object under `error`."""
    error = answer.get("error")
    if isinstance(error, dict):
        code = error.get("code") or error.get("type") or error.get("status") or "error"
        return _plain(code), _plain(error.get("message"))
    if not error:
        return "", ""
    return _plain(error), _plain(answer.get("error_description") or answer.get("message"))


def _plain(value: object) -> str:
    """A server's words on one line and without control characters."""
    text = str(value) if isinstance(value, str | int) else ""
    return "".join(c if c.isprintable() else " " for c in text)[:_MOST_WORDS].strip()


def _looks(reply: Reply) -> str:
    start = reply.body[:200].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return ": a web page (a proxy's, or a check for robots?)"
    return "" if reply.body else ": nothing"


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not _sendable(value):
        raise LoginError(f"the token endpoint answered with a {name} that is not text")
    return value


def _sendable(token: str) -> bool:
    """Whether a header can carry it."""
    return token.isascii() and token.isprintable() and " " not in token


def _expiry(expires_in: object, at: float) -> float | None:
    """Epoch seconds from a lifetime, which some servers write as text. 0 or less says nothing: such a token would be
    renewed before every use and never used."""
    if expires_in is None:
        return None
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float | str):
        raise LoginError("the token endpoint answered with an expires_in that is not a number")
    try:
        seconds = float(expires_in)
    except ValueError as error:
        raise LoginError("the token endpoint answered with an expires_in that is not a number") from error
    if not seconds > 0:
        return None
    return at + min(seconds, _LONGEST_S)


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.isascii() and value.isdigit() else None
