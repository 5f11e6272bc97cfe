"""Who a token is for: id tokens with real signatures, and the userinfo endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwk, jwt

from llm_mux.auth.base import Call, OAuth
from llm_mux.auth.browser import browser
from llm_mux.auth.identity import claims_of, expiry_of, identified, validated
from llm_mux.auth.tokens import granted
from tests.auth.stage import NOW, TOKEN, play, refused, reply, wish

KEY = jwk.RSAKey.generate_key(2048, {"kid": "one"}, private=True, auto_kid=False)
OTHER = jwk.RSAKey.generate_key(2048, {"kid": "one"}, private=True, auto_kid=False)
KEYS = {"keys": [KEY.as_dict(private=False)]}
OAUTH = OAuth(client_id="me", issuer="https://id.example", jwks_url="https://id.example/jwks", scopes=("openid",))
CLAIMS = {"iss": "https://id.example", "aud": "me", "sub": "u-1", "iat": NOW, "exp": NOW + 60, "email": "me@x.example"}


def signed(key: jwk.RSAKey = KEY, header: dict[str, str] | None = None, **claims: Any) -> str:
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode({"alg": "RS256", "kid": "one", **(header or {})}, said, key)


def answered(token: str) -> Any:
    return granted(reply({**TOKEN, "id_token": token}))


def test_a_genuine_id_token_names_the_account() -> None:
    new = answered(signed(nonce="n"))
    credential, steps = play(identified(OAUTH, new, new.credential(OAUTH, "browser"), "n"), (Call, reply(KEYS)))
    assert (credential.id, credential.email) == ("u-1", "me@x.example")
    assert steps[0].url == "https://id.example/jwks"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "token",
    [
        signed(OTHER),
        signed(iss="https://evil.example"),
        signed(aud="another"),
        signed(exp=NOW - 1000),
        signed(iat=NOW + 10000, nbf=NOW + 10000),
        signed(sub=None),
        signed(nonce="other"),
        signed(nonce=None),
        signed(at_hash="AAAA", nonce="n"),
        signed(aud=["me", "another"], nonce="n"),
        signed(header={"kid": "two"}),
        "not.a.token",
        jwt.encode({"alg": "HS256", "kid": "one"}, CLAIMS, jwk.OctKey.import_key(b"x" * 32)),
        "eyJhbGciOiJub25lIn0.e30.",
    ],
)
def test_an_id_token_that_is_not_genuine_or_not_for_us_is_refused(token: str) -> None:
    new = answered(token)
    error = refused(identified(OAUTH, new, new.credential(OAUTH, "browser"), "n"), (Call, reply(KEYS)))
    assert "not genuine or not for this login" in str(error)


@pytest.mark.parametrize("key_set", [{}, {"keys": "x"}, {"keys": [{"kty": "nothing"}]}])
def test_a_key_set_that_is_none_is_refused(key_set: dict[str, Any]) -> None:
    new = answered(signed())
    with pytest.raises(Exception, match="not genuine"):
        validated(new.id_token, key_set, OAUTH, new, None)


def test_a_clock_that_is_a_little_off_is_forgiven() -> None:
    new = answered(signed(exp=NOW - 200, iat=NOW + 200))
    assert validated(new.id_token, KEYS, OAUTH, new, None)["sub"] == "u-1"


def test_without_known_keys_the_claims_are_read() -> None:
    oauth = replace(OAUTH, jwks_url="")
    new = answered(signed(OTHER))
    credential, _ = play(identified(oauth, new, new.credential(oauth, "device")))
    assert (credential.id, credential.email) == ("u-1", "me@x.example")


def test_userinfo_fills_in_what_the_id_token_leaves_out() -> None:
    oauth = replace(OAUTH, jwks_url="", userinfo_url="https://id.example/me")
    new = answered(signed(email=None))
    script = (Call, reply({"sub": "u-1", "email": "me@y.example"}))
    credential, steps = play(identified(oauth, new, new.credential(oauth, "device")), script)
    assert credential.email == "me@y.example"
    assert steps[0].headers["authorization"] == "Bearer at-1"  # type: ignore[union-attr]
    other = (Call, reply({"sub": "u-2", "email": "x"}))
    assert "another person" in str(refused(identified(oauth, new, new.credential(oauth, "device")), other))


def test_a_nonce_is_sent_where_the_id_token_is_checked() -> None:
    oauth = replace(OAUTH, authorize_url="https://id.example/auth", token_url="https://id.example/token")
    flow = browser(oauth, wish())
    flow.send(None)
    url = flow.send(1).url  # type: ignore[union-attr]
    assert "nonce=random16" in url


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "ä.ö.ü", "e30.WzFd.x"])
def test_what_is_no_jwt_says_nothing(token: str) -> None:
    assert claims_of(token) == {}
    assert expiry_of(token) is None


def test_a_jwt_says_when_it_ends() -> None:
    assert expiry_of(signed()) == NOW + 60
