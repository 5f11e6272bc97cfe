"""Signing in at the dashboard over the management API: a session for the management key, its end, and who one is."""

from __future__ import annotations

import time

import msgspec
from aiohttp import web
from msgspec import Struct

from llm_mux import log
from llm_mux.errors import bad_request
from llm_mux.server.management.endpoint import JSON, Call, Endpoint
from llm_mux.server.management.sessions import IDLE_S, Session, cookie


class SignedIn(Struct, frozen=True):
    """`csrf` goes with every request of the session as `X-CSRF-Token`; None for whoever came with the key itself.
    The session is over at `expires` (unix seconds), or `idle_s` after its last request."""

    csrf: str | None
    expires: float | None
    idle_s: float


async def _sign_in(call: Call) -> web.Response:
    """The answer's cookie is the other half of the session."""
    if call.session is not None:
        raise bad_request("A session begins with the management key, not with another session.")
    secret, session = call.daemon.parts.sessions.begin(time.monotonic())
    log.logger.info("session.begun")
    return _answer(call, _told(session), secret)


async def _look(call: Call) -> SignedIn:
    return _told(call.session)


async def _sign_out(call: Call) -> web.Response:
    if call.session is not None:
        call.daemon.parts.sessions.end(call.session)
        log.logger.info("session.ended")
    return _answer(call, _told(None), "")


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
)
