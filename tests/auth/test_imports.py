"""Logins from files: service accounts with damaged keys, application-default credentials, refresh tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwk, jwt

from llm_mux.auth import imports, service_account
from llm_mux.auth.base import Call, LoginError, OAuth
from tests.auth.stage import NOW, TOKEN, play, refused, reply, sent, wish

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OAUTH = OAuth(client_id="me", token_url="https://id.example/token", scopes=("cloud",))


def pem(form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8) -> str:
    return PRIVATE.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public() -> jwk.RSAKey:
    return jwk.RSAKey.import_key(
        PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def key_file(private_key: str | None = None, **more: Any) -> str:
    file = {
        "type": "service_account", "project_id": "proj", "private_key_id": "kid1",
        "private_key": pem() if private_key is None else private_key,
        "client_email": "bot@proj.example", "token_uri": "https://sa.example/token", **more,
    }  # fmt: skip
    return json.dumps({name: value for name, value in file.items() if value is not None})


def test_a_service_account_signs_its_own_statement() -> None:
    flow = service_account.service_account(OAUTH, wish(), key_file())
    credential, steps = play(flow, (Call, reply({"access_token": "at", "expires_in": 3600})))
    assert steps[0].url == "https://sa.example/token"  # type: ignore[union-attr]
    body = sent(steps[0])
    token = jwt.decode(body["assertion"], public(), algorithms=["RS256"])
    assert token.header == {"alg": "RS256", "typ": "JWT", "kid": "kid1"}
    assert len(token.claims.pop("jti")) == 32
    assert token.claims == {
        "iss": "bot@proj.example", "aud": "https://sa.example/token", "scope": "cloud", "iat": NOW, "exp": NOW + 3600,
    }  # fmt: skip
    assert body["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert (credential.email, credential.extra["project"]) == ("bot@proj.example", "proj")
    again, _ = play(service_account.refresh(OAUTH, credential, NOW + 9), (Call, reply({"access_token": "at-2"})))
    assert (again.access, again.extra) == ("at-2", credential.extra)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\\n"),
        lambda text: text.replace("\n", "\\\\n").replace("\\\\", "\\"),
        lambda text: text.replace("\n", " "),
        lambda text: text.replace("\n", ""),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: f'  "{text}"  ',
        lambda text: "".join(text.splitlines()[1:-1]),
        lambda text: "\n\n".join(text.splitlines()),
    ],
)
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_a_damaged_private_key_is_repaired(damage: Callable[[str], str], form: str) -> None:
    broken = damage(pem(getattr(serialization.PrivateFormat, form)))
    if "-----" not in broken and form != "PKCS8":
        broken = damage(pem())  # without its first line only the usual kind can be meant
    mended = service_account.repaired(broken)
    found = serialization.load_pem_private_key(mended.encode(), None)
    assert found.private_numbers() == PRIVATE.private_numbers()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "not JSON"),
        ("[]", "no key file"),
        ('{"type": "authorized_user"}', "no key file"),
        (key_file(private_key=""), "has no private_key"),
        (key_file(client_email=None), "has no client_email"),
        (key_file(private_key="-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"), "cannot be read"),
        (key_file(private_key="hello"), "cannot be read"),
        (key_file(token_uri="http://sa.example/token"), "https is needed"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_described(text: str, message: str) -> None:
    assert message in str(refused(service_account.service_account(OAUTH, wish(), text)))


@pytest.mark.parametrize(
    ("said", "final"),
    [
        ("Invalid JWT Signature.", True),
        ("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.", False),
    ],
)
def test_a_wrong_clock_is_no_reason_for_a_new_login(said: str, final: bool) -> None:
    answer = reply({"error": "invalid_grant", "error_description": said}, 400)
    error = refused(service_account.service_account(OAUTH, wish(), key_file()), (Call, answer))
    assert error.final is final


ADC = {
    "type": "authorized_user",
    "client_id": "g",
    "client_secret": "s",
    "refresh_token": "rt",
    "quota_project_id": "q",
}


def test_application_default_credentials_become_an_account() -> None:
    flow = imports.default_credentials(OAUTH, wish(), json.dumps(ADC))
    credential, steps = play(flow, (Call, reply({"access_token": "at", "expires_in": 60})))
    assert sent(steps[0]) == {
        "grant_type": "refresh_token", "refresh_token": "rt", "client_id": "g", "client_secret": "s",
    }  # fmt: skip
    assert (credential.way, credential.refresh, credential.extra) == ("adc", "rt", {"project": "q"})
    _, steps = play(imports.default_credentials(OAUTH, wish(), key_file()), (Call, reply(TOKEN)))
    assert "assertion" in sent(steps[0])


@pytest.mark.parametrize("text", ["rt-9", " rt-9\n", '{"refresh_token": "rt-9"}'])
def test_a_refresh_token_is_proved_before_it_is_kept(text: str) -> None:
    credential, steps = play(imports.refresh_token(OAUTH, wish(), text), (Call, reply(TOKEN)))
    assert sent(steps[0])["refresh_token"] == "rt-9"
    assert credential.refresh == "rt-1"


def test_a_userinfo_that_refuses_costs_no_import() -> None:
    oauth = OAuth(client_id="me", token_url="https://a", userinfo_url="https://a/me")
    credential, _ = play(imports.refresh_token(oauth, wish(), "rt"), (Call, reply(TOKEN)), (Call, reply({}, 403)))
    assert credential.access == "at-1"


@pytest.mark.parametrize(
    ("begin", "text", "message"),
    [
        (imports.refresh_token, "", "no refresh token"),
        (imports.refresh_token, "two words", "no refresh token"),
        (imports.refresh_token, "{}", "has no refresh_token"),
        (imports.default_credentials, "x", "not JSON"),
        (imports.default_credentials, "[]", "no JSON object"),
        (imports.default_credentials, '{"type": "external_account"}', "type `external_account` cannot be imported"),
        (imports.default_credentials, '{"type": 1}', "type `unknown`"),
        (imports.default_credentials, json.dumps({**ADC, "refresh_token": 1}), "has no refresh_token"),
    ],
)
def test_a_file_that_cannot_be_imported_is_described(begin: Any, text: str, message: str) -> None:
    assert message in str(refused(begin(OAUTH, wish(), text)))


def test_a_client_file_brings_its_client() -> None:
    text = json.dumps({"installed": {"client_id": "mine", "client_secret": "s"}})
    assert imports.is_client_file(text)
    found = imports.client_of_file(OAUTH, text)
    assert (found.client_id, found.client_secret, found.token_url) == ("mine", "s", OAUTH.token_url)


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"web": {"client_id": "x"}}', "type `Desktop app`"), ("{}", "no OAuth client file"),
     ('{"installed": {}}', "has no client_id")],
)  # fmt: skip
def test_a_client_file_that_cannot_be_used_is_described(text: str, message: str) -> None:
    with pytest.raises(LoginError, match=message):
        imports.client_of_file(OAUTH, text)


@pytest.mark.parametrize("text", ["x", "{}", json.dumps(ADC)])
def test_what_is_no_client_file_is_none(text: str) -> None:
    assert not imports.is_client_file(text)
