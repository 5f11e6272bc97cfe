"""Device code (RFC 8628): the person types a short code on any device, the daemon polls until it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_mux.auth.base import Browse, Flow, LoginError, OAuth, Reply, Sleep, Steps, Wish
from llm_mux.auth.identity import identified
from llm_mux.auth.tokens import Granted, Identify, error_code, granted, read, request

WAY = "device"
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_SLOWER_S = 5.0
_MOST_FAULTS = 5
_PAGES = ("https://", "http://")


def device(oauth: OAuth, wish: Wish, identify: Identify | None = None) -> Flow:
    """Sign in with a code that the person types at the provider's page."""
    del wish
    if not oauth.client_id:
        raise LoginError("this login has no client id; set oauth: {client-id: ...} in its configuration entry")
    scopes = {"scope": " ".join(oauth.scopes)} if oauth.scopes else {}
    reply: Reply = yield request(oauth, oauth.device_url, {**scopes, **oauth.device_extra})
    answer = read(reply, "the device endpoint")
    code, shown = _word(answer, "device_code"), _word(answer, "user_code")
    page = _word(answer, "verification_uri", "verification_url")
    whole = answer.get("verification_uri_complete") or answer.get("verification_url_complete")
    url = whole if isinstance(whole, str) and whole.startswith(_PAGES) else page
    if not url.startswith(_PAGES):
        raise LoginError("the device endpoint sends to something that is no web page")
    yield Browse(url, shown)
    lasts = min(_number(answer, "expires_in", oauth.device_s), oauth.device_s)
    pause = max(_number(answer, "interval", oauth.poll_s), oauth.poll_s)
    new = yield from _polled(oauth, code, pause, reply.at + lasts)
    credential = new.credential(oauth, WAY)
    if identify is not None:
        return (yield from identify(oauth, new, credential))
    return (yield from identified(oauth, new, credential))


def _polled(oauth: OAuth, code: str, pause: float, deadline: float) -> Steps[Granted]:
    """The token, once the person has agreed. Some servers say `authorization_pending` with status 200."""
    call = request(oauth, oauth.token_url, {"grant_type": _GRANT, "device_code": code, **oauth.token_extra})
    faults = 0
    while True:
        now: float = yield Sleep(pause)
        if now > deadline:
            raise LoginError("the code has expired before it was typed in; run the command again", code="expired_token")
        try:
            reply: Reply = yield call
        except LoginError:
            # A poll that did not get through is not the end of the login.
            faults += 1
            if faults > _MOST_FAULTS:
                raise
            pause = min(2 * pause, 60.0)
            continue
        error = error_code(reply)
        if error == "authorization_pending":
            continue
        if error == "slow_down" or (not error and (reply.status == 429 or reply.status >= 500)):
            pause += _SLOWER_S
            continue
        if error in ("expired_token", "access_denied"):
            raise LoginError(_ENDS[error], code=error)
        return granted(reply)


_ENDS = {
    "expired_token": "the code has expired before it was typed in; run the command again",
    "access_denied": "the login was declined at the provider's page",
}


def _word(answer: Mapping[str, Any], *names: str) -> str:
    found = next((answer[name] for name in names if name in answer), None)
    if not isinstance(found, str) or not found or not found.isprintable():
        raise LoginError(f"the device endpoint answered without a usable {names[0]}")
    return found


def _number(answer: Mapping[str, Any], name: str, usual: float) -> float:
    """Seconds, which some servers write as text."""
    try:
        found = float(answer.get(name, usual))
    except (TypeError, ValueError):
        return usual
    return found if 0 < found < 86400 else usual
