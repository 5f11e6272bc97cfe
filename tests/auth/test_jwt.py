import base64
import hmac
import json
from typing import Any

import pytest
from joserfc import jwt as jose
from joserfc.jwk import ECKey, OctKey, RSAKey

from llm_mux.auth import jwt
from llm_mux.config.schema import Jwt
from llm_mux.errors import Kind, MuxError

NOW = 1_800_000_000.0
SECRET = "a-secret-of-thirty-two-characters"
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
GOOD = {"sub": "alice", "exp": int(NOW) + 60}


def token(claims: dict[str, Any], key: Any, alg: str, **header: str) -> str:
    return jose.encode({"alg": alg, **header}, claims, key, algorithms=[alg])


def shared(claims: dict[str, Any], alg: str = "HS256", secret: str = SECRET) -> str:
    return token(claims, OctKey.import_key(secret), alg)


def rules(*algorithms: str, **more: str) -> jwt.Rules:
    return jwt.Rules(algorithms or ("HS256",), **more)


KEYS = [jwt.secret_key(SECRET)]


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_shared_secret_signs(alg: str) -> None:
    assert jwt.verify(shared(GOOD, alg), KEYS, rules(alg), NOW).user == "alice"


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (RSA, "RS512"), (RSA, "PS256"), (EC, "ES256")])
def test_public_keys_of_a_set_verify(key: Any, alg: str) -> None:
    jwks = json.dumps({"keys": [key.as_dict(private=False), {"kty": "made-up"}, {"kty": "oct", "k": "c2VjcmV0"}]})
    keys = jwt.public_keys(jwks.encode())
    assert len(keys) == 1
    assert jwt.verify(token(GOOD, key, alg), keys, rules(alg), NOW).user == "alice"


@pytest.mark.parametrize(
    ("claims", "rules_", "words"),
    [
        ({"sub": "a", "exp": int(NOW) - 61}, rules(), "expired"),
        ({"sub": "a"}, rules(), "`exp`"),
        ({"exp": int(NOW) + 9}, rules(), "`sub`"),
        ({"sub": "", "exp": int(NOW) + 9}, rules(), "sub"),
        ({"sub": 7, "exp": int(NOW) + 9}, rules(), "sub"),
        ({"sub": "a\x00", "exp": int(NOW) + 9}, rules(), "sub"),
        ({"sub": "x" * 300, "exp": int(NOW) + 9}, rules(), "sub"),
        ({"sub": "a", "exp": "soon"}, rules(), "`exp`"),
        ({**GOOD, "nbf": int(NOW) + 61}, rules(), "`nbf`"),
        ({**GOOD, "iss": "other"}, rules(issuer="us"), "`iss`"),
        (GOOD, rules(issuer="us"), "`iss`"),
        ({**GOOD, "aud": ["other"]}, rules(audience="mux"), "`aud`"),
    ],
)
def test_claims_that_do_not_fit_are_refused_and_named(claims: dict[str, Any], rules_: jwt.Rules, words: str) -> None:
    with pytest.raises(MuxError, match=words) as caught:
        jwt.verify(shared(claims), KEYS, rules_, NOW)
    assert caught.value.kind is Kind.CLIENT_AUTH
    assert "Invalid or missing authentication token" in caught.value.message


def test_clocks_may_differ_by_a_minute() -> None:
    for claims in ({"sub": "a", "exp": int(NOW) - 59}, {**GOOD, "nbf": int(NOW) + 59, "iat": int(NOW) + 59}):
        jwt.verify(shared(claims), KEYS, rules(), NOW)


def test_issuer_and_audience_that_fit_are_taken() -> None:
    claims = {**GOOD, "iss": "us", "aud": ["x", "mux"]}
    assert jwt.verify(shared(claims), KEYS, rules(issuer="us", audience="mux"), NOW).user == "alice"


def _part(part: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")


def _unsigned() -> str:
    return b".".join([_part({"alg": "none"}), _part(GOOD), b""]).decode()


def _public_key_as_secret() -> str:
    """The classic trick: the public key, known to all, taken as a shared secret."""
    signed = b".".join(_part(part) for part in ({"alg": "HS256"}, GOOD))
    mac = hmac.digest(RSA.as_pem(private=False), signed, "sha256")
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


@pytest.mark.parametrize(
    ("forged", "keys", "rules_"),
    [
        pytest.param(_unsigned(), KEYS, rules("HS256"), id="unsigned"),
        pytest.param(_public_key_as_secret(), [RSA], rules("RS256"), id="public key as secret"),
        pytest.param(_public_key_as_secret(), [RSA], rules("RS256", "HS256"), id="the same, were HS256 allowed"),
        pytest.param(shared(GOOD, "HS512"), KEYS, rules("HS256"), id="an algorithm that is not allowed"),
        pytest.param(shared(GOOD, secret="another-secret-that-is-long-enough"), KEYS, rules(), id="another secret"),
        pytest.param(shared(GOOD)[:-4] + "AAAA", KEYS, rules(), id="a changed signature"),
        pytest.param("eyJ.eyJ.x", KEYS, rules(), id="nonsense"),
        pytest.param("ey..", KEYS, rules(), id="nothing"),
    ],
)
def test_forged_tokens_are_refused(forged: str, keys: Any, rules_: jwt.Rules) -> None:
    with pytest.raises(MuxError) as caught:
        jwt.verify(forged, keys, rules_, NOW)
    assert caught.value.kind is Kind.CLIENT_AUTH


@pytest.mark.parametrize(
    "jwks", [b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "RSA"}]}', b"\xff", b'{"keys": 1}']
)
def test_what_is_no_key_set_is_refused(jwks: bytes) -> None:
    with pytest.raises(ValueError, match=r"JWKS|usable key"):
        jwt.public_keys(jwks)


@pytest.mark.parametrize("bad", ["", "ey", "eyJ", "!!!.x.y", "e30=.x.y", "ey" + "é"])
def test_a_header_that_cannot_be_read_is_the_clients_fault(bad: str) -> None:
    try:
        found = jwt.header(bad)
    except MuxError as error:
        assert error.kind is Kind.CLIENT_AUTH
    else:
        assert found.alg == ""


def test_a_signed_token_is_one_that_the_same_settings_take() -> None:
    settings = Jwt(secret=SECRET, algorithms=("HS512",), issuer="us", audience="mux")
    made = jwt.sign(settings, SECRET, "bob", now=NOW, minutes=30)
    claims = jwt.verify(made, KEYS, jwt.Rules.of(settings), NOW)
    assert claims == jwt.Claims("bob", NOW + 1800 + jwt.LEEWAY_S)


def test_a_short_secret_is_taken_as_it_is() -> None:
    made = jwt.sign(Jwt(secret="short"), "short", "bob", now=NOW, minutes=1)
    assert jwt.verify(made, [jwt.secret_key("short")], rules(), NOW).user == "bob"
