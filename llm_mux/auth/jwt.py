"""JSON Web Tokens as client keys: signed for tests and small set-ups, verified for all.

Rule: only the configured algorithms count, whatever a token says of itself; `exp` and `sub` must be there. Nothing here
asks a server: whoever has the public keys of a JWKS hands them in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from llm_mux.config.schema import Jwt
from llm_mux.errors import Kind, MuxError

if TYPE_CHECKING:
    from joserfc.jwk import Key

LEEWAY_S = 60
_HMAC = ("HS256", "HS384", "HS512")
_LONGEST_SUB = 256
_MOST_KEYS = 64


class Rules(Struct, frozen=True):
    """What a token has to be: signed by one of `algorithms`, from `issuer` and for `audience` where they are named."""

    algorithms: tuple[str, ...]
    issuer: str | None = None
    audience: str | None = None

    @staticmethod
    def of(settings: Jwt) -> Rules:
        usual = ("HS256",) if settings.secret is not None else ("RS256", "ES256")
        return Rules(settings.algorithms or usual, settings.issuer, settings.audience)


class Claims(Struct, frozen=True):
    """Who a token is for, and until when it counts in unix seconds."""

    user: str
    expires: float


class Header(msgspec.Struct):
    """What of a token's header says which key signed it."""

    alg: str = ""
    kid: str | None = None


def looks_signed(token: str) -> bool:
    """Whether a client key has the form of a token: three parts, the first a JSON object in base64."""
    return token.startswith("ey") and token.count(".") == 2


def header(token: str) -> Header:
    """The header as the token gives it, unverified. Raises MuxError CLIENT_AUTH."""
    import base64

    text = token.partition(".")[0]
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Header)
    except (ValueError, msgspec.MsgspecError):
        raise refused("It cannot be read.") from None


def secret_key(secret: str) -> Key:
    """A shared secret as a key."""
    import warnings

    from joserfc.jwk import OctKey

    with warnings.catch_warnings():
        # A short secret is the operator's choice; the configuration warns of it.
        warnings.simplefilter("ignore")
        return OctKey.import_key(secret)


def public_keys(jwks: bytes) -> list[Key]:
    """The keys of a JWKS that sign, those of unknown kinds left out. Raises ValueError."""
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    found: list[Key] = []
    for each in _Set.read(jwks)[:_MOST_KEYS]:
        if each.get("use", "sig") != "sig" or each.get("kty") == "oct":
            continue
        try:
            found.append(import_key(each))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    if not found:
        raise ValueError("no usable key")
    return found


class _Set(msgspec.Struct):
    keys: list[dict[str, Any]]

    @staticmethod
    def read(jwks: bytes) -> list[dict[str, Any]]:
        try:
            return msgspec.json.decode(jwks, type=_Set).keys
        except msgspec.MsgspecError as error:
            raise ValueError("not a JWKS") from error


def verify(token: str, keys: Sequence[Key], rules: Rules, now: float) -> Claims:
    """The claims of a token that one of `keys` signed. Raises MuxError CLIENT_AUTH, saying what is wrong with it."""
    from joserfc import jwt
    from joserfc.errors import ExpiredTokenError, JoseError

    claims = _signed(token, keys, rules)
    wanted: dict[str, Any] = {"exp": {"essential": True}, "sub": {"essential": True}}
    if rules.issuer is not None:
        wanted["iss"] = {"essential": True, "value": rules.issuer}
    if rules.audience is not None:
        wanted["aud"] = {"essential": True, "value": rules.audience}
    try:
        jwt.JWTClaimsRegistry(now=int(now), leeway=LEEWAY_S, **wanted).validate(claims)
    except ExpiredTokenError:
        raise refused("It has expired; get a new one.", code="token_expired") from None
    except JoseError as error:
        raise refused(f"Its claim `{getattr(error, 'claim', None) or 'exp'}` is missing or not accepted.") from None
    user = claims["sub"]
    if not user.strip() or len(user) > _LONGEST_SUB or not user.isprintable():
        raise refused("Its claim `sub` names no user.")
    return Claims(user, float(claims["exp"]) + LEEWAY_S)


def _signed(token: str, keys: Sequence[Key], rules: Rules) -> dict[str, Any]:
    """The claims, once some key is found that signed them."""
    import warnings

    from joserfc import jwt
    from joserfc.errors import JoseError

    for key in keys:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = jwt.decode(token, key, algorithms=list(rules.algorithms)).claims
        except (JoseError, ValueError, TypeError):
            continue
        if isinstance(found, dict):
            return found
    raise refused("Its signature is not one that the daemon accepts.")


def sign(settings: Jwt, secret: str, user: str, *, now: float, minutes: float) -> str:
    """A token for a user under a shared secret."""
    import warnings

    from joserfc import jwt

    rules = Rules.of(settings)
    algorithm = next(name for name in (*rules.algorithms, *_HMAC) if name in _HMAC)
    claims: dict[str, Any] = {"sub": user, "iat": int(now), "exp": int(now + minutes * 60)}
    if rules.issuer is not None:
        claims["iss"] = rules.issuer
    if rules.audience is not None:
        claims["aud"] = rules.audience
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jwt.encode({"alg": algorithm}, claims, secret_key(secret), algorithms=[algorithm])


def refused(why: str, *, code: str = "invalid_api_key") -> MuxError:
    """A token that is not taken, in words that tell its owner what to do."""
    message = f"Invalid or missing authentication token. {why}"
    return MuxError(Kind.CLIENT_AUTH, message, code=code)
