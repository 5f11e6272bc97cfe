"""Who a token is for: the claims of an id token, or the userinfo endpoint.

Where the issuer's keys are known the id token is validated (signature, issuer, audience, time, nonce) by joserfc and
Authlib. Where they are not, its claims are only read: it came straight from the token endpoint over TLS (OpenID Connect
Core, 3.1.3.7), and nothing but the account's name depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llm_mux.auth.base import Call, Credential, Flow, LoginError, OAuth, Reply, Steps
from llm_mux.auth.tokens import Granted, read

_SKEW_S = 300
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
_NAMES = ("email", "preferred_username", "login", "name")


def identified(oauth: OAuth, granted: Granted, credential: Credential, nonce: str | None = None) -> Flow:
    """`credential` with id and e-mail, as far as the provider tells them."""
    claims: Mapping[str, Any] = {}
    if granted.id_token and oauth.jwks_url:
        claims = yield from _validated(oauth, granted, nonce)
    elif granted.id_token:
        claims = claims_of(granted.id_token)
    if oauth.userinfo_url and not _name(claims):
        told = yield from userinfo(oauth.userinfo_url, credential.access)
        if claims and told.get("sub", claims.get("sub")) != claims.get("sub"):
            raise LoginError("the userinfo endpoint speaks of another person than the id token")
        claims = {**told, **claims}
    return msgspec.structs.replace(credential, id=text_of(claims, "sub", "id"), email=_name(claims))


def claims_of(token: str) -> Mapping[str, Any]:
    """What a JWT says, unchecked; empty when it is none."""
    from joserfc import jws
    from joserfc.errors import JoseError

    try:
        claims = msgspec.json.decode(jws.extract_compact(token.encode()).payload)
    except (JoseError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def expiry_of(token: str) -> float | None:
    """When a token that is a JWT says it ends; None for every other."""
    end = claims_of(token).get("exp")
    return float(end) if isinstance(end, int | float) and not isinstance(end, bool) else None


def _validated(oauth: OAuth, granted: Granted, nonce: str | None) -> Steps[Mapping[str, Any]]:
    reply: Reply = yield Call(oauth.jwks_url, headers={"accept": "application/json"})
    return validated(granted.id_token, read(reply, "the issuer's key set"), oauth, granted, nonce)


def validated(
    token: str, key_set: Mapping[str, Any], oauth: OAuth, granted: Granted, nonce: str | None
) -> Mapping[str, Any]:
    """The claims of an id token that is genuine, for this client, and of this time. Raises `LoginError`."""
    from authlib.oidc.core import CodeIDToken
    from joserfc import jwk, jwt
    from joserfc.errors import JoseError

    try:
        keys = jwk.KeySet.import_key_set({"keys": list(key_set.get("keys", []))})
        decoded = jwt.decode(token, keys, algorithms=_ALGORITHMS)
        wanted = {"aud": {"essential": True, "value": oauth.client_id}}
        if oauth.issuer:
            wanted["iss"] = {"essential": True, "value": oauth.issuer}
        known = {"client_id": oauth.client_id, "access_token": granted.access, "nonce": nonce}
        CodeIDToken(decoded.claims, decoded.header, wanted, known).validate(now=int(granted.at), leeway=_SKEW_S)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        what = getattr(error, "error", None) or type(error).__name__
        raise LoginError(
            f"the id token is not genuine or not for this login ({what}); is this machine's clock right?"
        ) from error
    return dict(decoded.claims)


def userinfo(url: str, access: str) -> Steps[Mapping[str, Any]]:
    """What the provider says about the owner of a token."""
    reply: Reply = yield Call(url, headers={"accept": "application/json", "authorization": f"Bearer {access}"})
    return read(reply, "the userinfo endpoint")


def text_of(claims: Mapping[str, Any], *names: str) -> str:
    """The first of the named claims that is there, as text."""
    found = next((claims[name] for name in names if claims.get(name)), "")
    return str(found) if isinstance(found, str | int) else ""


def _name(claims: Mapping[str, Any]) -> str:
    return text_of(claims, *_NAMES)
