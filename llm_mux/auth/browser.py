"""Authorization code with PKCE (RFC 6749, 7636, 8252): through the browser, back to loopback or by paste."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from llm_mux.auth import callback
from llm_mux.auth.base import Browse, Credential, Flow, Listen, LoginError, OAuth, Receive, Returned, Show, Steps, Wish
from llm_mux.auth.identity import identified
from llm_mux.auth.tokens import Granted, Identify, grant

WAY = "browser"
_PROMPT = "Waiting for the browser. Or paste the address it was sent to, or the code"


def browser(oauth: OAuth, wish: Wish, identify: Identify | None = None) -> Flow:
    """Sign in with a browser. `identify` completes the credential; left out, the id token or userinfo does."""
    state, verifier, nonce = wish.token(32), wish.token(64), wish.token(16)
    if not oauth.client_id:
        raise LoginError("this login has no client id; set oauth: {client-id: ...} in its configuration entry")
    redirect_uri = yield from _listening(oauth, wish, state)
    yield Browse(authorize_url(oauth, redirect_uri, state, verifier, nonce))
    query = yield from _returned(oauth, state)
    more = {"state": state} if oauth.state_in_token else {}
    try:
        new = yield from grant(
            oauth,
            "authorization_code",
            code=query["code"],
            redirect_uri=redirect_uri,
            code_verifier=verifier,
            **more,
            **oauth.token_extra,
        )
    except LoginError as error:
        if error.code == "invalid_grant":
            raise LoginError(
                "the code was not accepted (wrong, used or too old); run the command again", code=error.code
            ) from error
        raise
    return (yield from _completed(oauth, new, nonce, identify))


def _completed(oauth: OAuth, new: Granted, nonce: str, identify: Identify | None) -> Flow:
    credential: Credential = new.credential(oauth, WAY)
    if identify is not None:
        return (yield from identify(oauth, new, credential))
    return (yield from identified(oauth, new, credential, nonce if _has_nonce(oauth) else None))


def _has_nonce(oauth: OAuth) -> bool:
    """Sent where the id token is checked."""
    return bool(oauth.jwks_url) and "openid" in oauth.scopes


def _listening(oauth: OAuth, wish: Wish, state: str) -> Steps[str]:
    """The redirect URI, with a listener behind it where there can be one."""
    if oauth.fixed_port and wish.port not in (None, oauth.redirect_port):
        raise LoginError(f"the provider takes port {oauth.redirect_port} only; leave --port out")
    wanted = wish.port if wish.port is not None else oauth.redirect_port
    port: int | None = yield Listen(wanted, oauth.redirect_path, state)
    if port is None and wish.port is not None:
        raise LoginError(f"port {wanted} is taken; choose another with --port")
    if port is None and not oauth.fixed_port:
        port = yield Listen(0, oauth.redirect_path, state)
    if port is None:
        port = wanted or 8317
        yield Show(
            f"Port {port} is taken by another program, so the browser's last page will not load. "
            "Paste its address here all the same."
        )
    return f"http://{oauth.redirect_host}:{port}{oauth.redirect_path}"


def authorize_url(oauth: OAuth, redirect_uri: str, state: str, verifier: str, nonce: str) -> str:
    """Where the browser goes first."""
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    more = {"nonce": nonce} if _has_nonce(oauth) else {}
    url: str = prepare_grant_uri(
        oauth.authorize_url,
        oauth.client_id,
        "code",
        redirect_uri,
        " ".join(oauth.scopes) or None,
        state,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
        **more,
        **oauth.authorize_extra,
    )
    return url


def _returned(oauth: OAuth, state: str) -> Steps[Mapping[str, str]]:
    """The query with a code. What is pasted wrongly is said, and asked for again."""
    while True:
        got = yield Receive(_PROMPT)
        if got is None:
            raise LoginError("nobody came back from the browser in time; run the command again")
        if isinstance(got, Returned):
            query = got.query
        else:
            try:
                query = callback.pasted(got.text, state)
            except ValueError as error:
                yield Show(f"Not taken: {error}.")
                continue
        issuer = query.get("iss")
        if issuer and oauth.issuer and not hmac.compare_digest(issuer.encode(), oauth.issuer.encode()):
            raise LoginError("the answer came from another server than the one that was asked")
        if "error" in query:
            raise LoginError(_denied(query), code=_printable(query["error"]))
        return query


def _denied(query: Mapping[str, str]) -> str:
    if query["error"] == "access_denied":
        return "the login was declined in the browser"
    words = _printable(query.get("error_description", ""))
    return f"the provider refused the login ({_printable(query['error'])})" + (f": {words}" if words else "")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:200].strip()
