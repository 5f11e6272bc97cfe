"""From an issuer's name to its endpoints, with mistrust."""

from __future__ import annotations

from typing import Any

import pytest

from llm_mux.auth.base import Call, OAuth
from llm_mux.auth.discovery import discovered, insecure
from tests.auth.stage import play, refused, reply

ISSUER = "https://id.example/tenant"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "device_authorization_endpoint": f"{ISSUER}/device",
    "revocation_endpoint": f"{ISSUER}/revoke",
    "userinfo_endpoint": f"{ISSUER}/me",
    "jwks_uri": f"{ISSUER}/jwks",
}


def test_an_issuer_tells_its_endpoints() -> None:
    found, steps = play(discovered(OAuth(issuer=ISSUER, device_url="https://mine.example")), (Call, reply(DOCUMENT)))
    assert steps[0].url == f"{ISSUER}/.well-known/openid-configuration"  # type: ignore[union-attr]
    assert found == OAuth(
        issuer=ISSUER,
        authorize_url=f"{ISSUER}/auth",
        token_url=f"{ISSUER}/token",
        device_url="https://mine.example",
        revoke_url=f"{ISSUER}/revoke",
        userinfo_url=f"{ISSUER}/me",
        jwks_url=f"{ISSUER}/jwks",
    )


def test_a_server_without_openid_is_found_by_rfc_8414() -> None:
    script = [(Call, reply({}, 404)), (Call, reply(DOCUMENT))]
    _, steps = play(discovered(OAuth(issuer=ISSUER)), *script)
    assert steps[1].url == "https://id.example/.well-known/oauth-authorization-server/tenant"  # type: ignore[union-attr]


def test_without_an_issuer_nothing_is_asked() -> None:
    assert play(discovered(OAuth(token_url="x")))[0] == OAuth(token_url="x")


@pytest.mark.parametrize(
    ("methods", "expected"),
    [(None, "client_secret_basic"), (["client_secret_post"], "client_secret_post"),
     (["none", "client_secret_basic"], "client_secret_basic")],
)  # fmt: skip
def test_a_client_with_a_secret_shows_it_as_the_issuer_wants(methods: Any, expected: str) -> None:
    document = DOCUMENT | ({} if methods is None else {"token_endpoint_auth_methods_supported": methods})
    found, _ = play(discovered(OAuth(issuer=ISSUER, client_secret="s")), (Call, reply(document)))
    assert found.client_auth == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"issuer": "https://other.example"}, "of another issuer"),
        ({"issuer": None}, "of another issuer"),
        ({"token_endpoint": 7}, "token_endpoint that is not text"),
        ({"token_endpoint": "http://id.example/token"}, "in the clear; https is needed"),
        ({"jwks_uri": "file:///etc/passwd"}, "is not an https address"),
        ({"token_endpoint": "https://evil.example/token"}, "outside id.example"),
        ({"token_endpoint": "https://evilid.example/token"}, "outside id.example"),
    ],
)
def test_a_document_that_cannot_be_trusted_is_refused(change: dict[str, Any], message: str) -> None:
    flow = discovered(OAuth(issuer=ISSUER), within="id.example")
    assert message in str(refused(flow, (Call, reply(DOCUMENT | change))))


def test_an_issuer_in_the_clear_is_not_asked() -> None:
    assert "https is needed" in str(refused(discovered(OAuth(issuer="http://id.example"))))


def test_a_document_that_is_a_web_page_is_described() -> None:
    assert "web page" in str(refused(discovered(OAuth(issuer=ISSUER)), (Call, reply(b"<html>"))))


@pytest.mark.parametrize("url", ["https://a.example", "http://127.0.0.1:1/x", "http://[::1]:1", "http://localhost"])
def test_addresses_that_keep_a_secret(url: str) -> None:
    assert insecure(url) == ""


@pytest.mark.parametrize(
    "url", ["http://a.example", "http://localhost.evil.example", "ftp://a", "a.example", "http://"]
)
def test_addresses_that_do_not(url: str) -> None:
    assert insecure(url)
