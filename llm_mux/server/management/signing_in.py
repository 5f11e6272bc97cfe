"""Signing in at the dashboard over the management API: a session for the management key, its end, who one is, and who
else is signed in."""

from __future__ import annotations

import time

import msgspec
from aiohttp import web
from msgspec import Struct

from llm_mux import log
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.server.management.endpoint import JSON, Call, Done, Endpoint
from llm_mux.server.management.sessions import IDLE_S, Session, cookie
from llm_mux.server.peers import address_of


class SignedIn(Struct, frozen=True):
    """`csrf` goes with every request of the session as `X-CSRF-Token`; None for whoever came with the key itself.
    The session is over at `expires` (unix seconds), or `idle_s` after its last request."""

    csrf: str | None
    expires: float | None
    idle_s: float


class Signed(Struct, frozen=True):
    """One session. `current`: that of whoever asks. Times are unix seconds; `expires` is the latest end."""

    id: str
    current: bool
    began: float
    used: float
    expires: float
    address: str
    browser: str


class Listing(Struct, frozen=True):
    """The one that was used last first."""

    sessions: list[Signed]


async def _sign_in(call: Call) -> web.Response:
    """The answer's cookie is the other half of the session."""
    if call.session is not None:
        raise bad_request("A session begins with the management key, not with another session.")
    browser = log.redact_text(call.request.headers.get("User-Agent", ""))
    secret, session = call.daemon.parts.sessions.begin(time.monotonic(), address_of(call.request), browser)
    log.logger.info("session.begun")
    return _answer(call, _told(session), secret)


async def _look(call: Call) -> SignedIn:
    return _told(call.session)


async def _sign_out(call: Call) -> web.Response:
    if call.session is not None:
        call.daemon.parts.sessions.end(call.session)
        log.logger.info("session.ended")
    return _answer(call, _told(None), "")


async def _list(call: Call) -> Listing:
    now, wall = time.monotonic(), time.time()
    return Listing(
        [
            Signed(
                each.id,
                each is call.session,
                wall - (now - each.begun),
                wall - (now - each.seen),
                wall + each.left(now),
                each.address,
                each.browser,
            )
            for each in call.daemon.parts.sessions.listed(now)
        ]
    )


async def _end(call: Call) -> Done:
    sessions = call.daemon.parts.sessions
    found = next((each for each in sessions.listed(time.monotonic()) if each.id == call.at["id"]), None)
    if found is None:
        raise MuxError(Kind.NOT_FOUND, "There is no such session; it may have ended.", code="session_not_found")
    sessions.end(found)
    log.logger.info("session.ended", by="another" if found is not call.session else "itself")
    return Done("The session has ended.")


async def _end_others(call: Call) -> Done:
    """Whoever comes with the key itself ends all."""
    sessions = call.daemon.parts.sessions
    others = [each for each in sessions.listed(time.monotonic()) if each is not call.session]
    for each in others:
        sessions.end(each)
    log.logger.info("session.ended", by="another", number=len(others))
    return Done(f"{len(others)} {'session has' if len(others) == 1 else 'sessions have'} ended.")


def _told(session: Session | None) -> SignedIn:
    if session is None:
        return SignedIn(None, None, IDLE_S)
    return SignedIn(session.token, time.time() + session.left(time.monotonic()), IDLE_S)


def _answer(call: Call, said: SignedIn, secret: str) -> web.Response:
    headers = {"Set-Cookie": cookie(call.request.headers, secret)}
    return web.Response(body=msgspec.json.encode(said), content_type=JSON, headers=headers)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/session",
        summary="Sign in with the management key: a cookie, and a token to send with it",
        more="The cookie is `HttpOnly`, `SameSite=Strict`, and `Secure` behind TLS.",
        handle=_sign_in,
        answer=SignedIn,
    ),
    Endpoint(
        method="GET",
        path="/session",
        summary="Until when this session lasts",
        handle=_look,
        answer=SignedIn,
    ),
    Endpoint(
        method="DELETE",
        path="/session",
        summary="Sign out",
        handle=_sign_out,
        answer=SignedIn,
    ),
    Endpoint(
        method="GET",
        path="/sessions",
        summary="Who is signed in",
        more="Since when, last used, from which address and browser; `current` is who asks.",
        handle=_list,
        answer=Listing,
    ),
    Endpoint(
        method="DELETE", path="/sessions", summary="End all sessions but one's own", handle=_end_others, answer=Done
    ),
    Endpoint(method="DELETE", path="/sessions/{id}", summary="End a session", handle=_end, answer=Done, errors=(404,)),
)
