"""What a token endpoint may answer, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from llm_mux.auth import tokens
from llm_mux.auth.base import Call, Credential, LoginError, OAuth
from tests.auth.stage import NOW, TOKEN, play, refused, reply, sent

OAUTH = OAuth(client_id="me", token_url="https://id.example/token", revoke_url="https://id.example/revoke")
OLD = Credential(access="at-0", refresh="rt-0", expires=NOW, obtained=NOW - 3600, way="browser", extra={"project": "p"})


@dataclass(frozen=True)
class Bad:
    id: str
    body: object
    message: str
    status: int = 200
    headers: dict[str, str] | None = None
    code: str = ""


BAD = [
    Bad("web page", b"<!DOCTYPE html><title>robot?</title>", "not JSON: a web page (a proxy's", 200),
    Bad("web page with a status", b"<html>", "answered 403: a web page", 403),
    Bad("nothing", b"", "answered 502: nothing", 502),
    Bad("a list", [], "something that is not JSON"),
    Bad("error with status 200", {"error": "invalid_request", "error_description": "no"}, "(invalid_request): no",
        code="invalid_request"),
    Bad("error as an object", {"error": {"message": "used", "code": "refresh_token_reused"}},
        "refused (refresh_token_reused): used", 401, code="refresh_token_reused"),
    Bad("error with control characters", {"error": "a\nb", "error_description": "\x1b[31m" + "x" * 900}, "(a b):", 400,
        code="a b"),
    Bad("no token", {"token_type": "Bearer"}, "without a usable access token"),
    Bad("a token that is a number", {**TOKEN, "access_token": 7}, "without a usable access token"),
    Bad("a token with a line break", {**TOKEN, "access_token": "a\nb"}, "without a usable access token"),
    Bad("another kind of token", {**TOKEN, "token_type": "mac"}, "not Bearer"),
    Bad("a refresh token that is a list", {**TOKEN, "refresh_token": ["x"]}, "refresh_token that is not text"),
    Bad("a lifetime that is an object", {**TOKEN, "expires_in": {}}, "expires_in that is not a number"),
    Bad("a lifetime that is a word", {**TOKEN, "expires_in": "soon"}, "expires_in that is not a number"),
    Bad("a redirect to http", b"", "redirects to http://evil.example; redirects are not followed", 302,
        {"location": "http://evil.example/token?secret=1"}),
    Bad("a redirect to nowhere", b"", "redirects; redirects are not followed", 307),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.id)
def test_an_answer_that_is_no_token_is_described(bad: Bad) -> None:
    answer = reply(bad.body, bad.status, **{k.replace("-", "_"): v for k, v in (bad.headers or {}).items()})
    with pytest.raises(LoginError) as error:
        tokens.granted(answer)
    assert bad.message in str(error.value)
    assert error.value.code == bad.code
    assert str(error.value).isprintable() and len(str(error.value)) < 400
    assert not error.value.final


@pytest.mark.parametrize(
    ("expires_in", "expected"),
    [(3600, NOW + 3600), ("3600", NOW + 3600), (1.5, NOW + 1.5), (0, None), (-5, None), ("0", None), (None, None),
     (1e300, NOW + 315360000)],
)  # fmt: skip
def test_a_lifetime_is_read_in_every_spelling_and_none_means_none(expires_in: Any, expected: float | None) -> None:
    assert tokens.granted(reply({**TOKEN, "expires_in": expires_in})).expires == expected


def test_an_answer_in_form_spelling_is_read() -> None:
    answer = reply(b"access_token=at&token_type=bearer", content_type="application/x-www-form-urlencoded")
    assert tokens.granted(answer).access == "at"


@pytest.mark.parametrize(
    ("oauth", "expected", "header"),
    [
        (OAUTH, {"client_id": "me"}, None),
        (
            OAuth(client_id="me", client_secret="s&", token_url="https://a"),
            {"client_id": "me", "client_secret": "s&"},
            None,
        ),
        (
            OAuth(client_id="me", client_secret="s", client_auth="client_secret_basic", token_url="https://a"),
            {},
            "Basic bWU6cw==",
        ),
        (
            OAuth(client_id="me", client_secret="s", body="json", token_url="https://a"),
            {"client_id": "me", "client_secret": "s"},
            None,
        ),
    ],
)
def test_the_client_says_who_it_is_in_the_servers_way(
    oauth: OAuth, expected: dict[str, str], header: str | None
) -> None:
    call = tokens.request(oauth, oauth.token_url, {"grant_type": "x", "empty": ""})
    assert sent(call) == {"grant_type": "x", **expected}
    assert call.headers.get("authorization") == header
    assert call.method == "POST"


@pytest.mark.covers("OP-8")
def test_a_refresh_keeps_what_the_answer_leaves_out() -> None:
    answer = {"access_token": "at-1", "expires_in": 60}
    new, steps = play(tokens.refresh(OAUTH, OLD, NOW), (Call, reply(answer, at=NOW + 1)))
    assert new == msgspec.structs.replace(OLD, access="at-1", expires=NOW + 61, obtained=NOW + 1)
    assert sent(steps[0]) == {"grant_type": "refresh_token", "refresh_token": "rt-0", "client_id": "me"}


@pytest.mark.covers("OP-8")
def test_a_rotated_refresh_token_replaces_the_old_one() -> None:
    new, _ = play(tokens.refresh(OAUTH, OLD, NOW), (Call, reply(TOKEN)))
    assert (new.access, new.refresh, new.extra) == ("at-1", "rt-1", {"project": "p"})


def test_a_refresh_is_asked_for_with_the_client_that_the_token_belongs_to() -> None:
    mine = msgspec.structs.replace(OLD, client_id="other", client_secret="s")
    oauth = OAuth(client_id="me", token_url="https://a", refresh_scopes=("a", "b"), refresh_extra={"x": "1"})
    _, steps = play(tokens.refresh(oauth, mine, NOW), (Call, reply(TOKEN)))
    assert sent(steps[0]) == {
        "grant_type": "refresh_token", "refresh_token": "rt-0", "scope": "a b", "x": "1", "client_id": "other",
        "client_secret": "s",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "final"),
    [
        ({"error": "invalid_grant"}, 400, True),
        ({"error": {"code": "refresh_token_reused"}}, 401, True),
        ({"error": "gone_for_good"}, 400, True),
        ({"error": "temporarily_unavailable"}, 503, False),
        ({"error": "invalid_client"}, 401, False),
        (b"<html>", 429, False),
    ],
)
def test_only_a_final_refusal_of_a_refresh_is_final(body: object, status: int, final: bool) -> None:
    oauth = OAuth(client_id="me", token_url="https://a", final=frozenset({"gone_for_good"}))
    error = refused(tokens.refresh(oauth, OLD, NOW), (Call, reply(body, status, retry_after="7")))
    assert error.final is final
    assert error.retry_after == 7
    assert "rt-0" not in str(error)


def test_without_a_refresh_token_only_a_new_login_helps() -> None:
    assert refused(tokens.refresh(OAUTH, Credential(access="a"), NOW)).final


@pytest.mark.parametrize(
    ("credential", "token", "hint"),
    [(OLD, "rt-0", "refresh_token"), (Credential(access="at"), "at", "access_token")],
)
def test_what_is_revoked_takes_the_rest_along(credential: Credential, token: str, hint: str) -> None:
    _, steps = play(tokens.revoke(OAUTH, credential), (Call, reply(b"")))
    assert sent(steps[0]) == {"token": token, "token_type_hint": hint, "client_id": "me"}


def test_a_token_that_is_over_already_is_revoked() -> None:
    play(tokens.revoke(OAUTH, OLD), (Call, reply({"error": "invalid_token"}, 400)))
    assert "revocation endpoint" in str(refused(tokens.revoke(OAUTH, OLD), (Call, reply(b"", 500))))


def test_a_provider_without_revocation_is_not_asked() -> None:
    play(tokens.revoke(OAuth(), OLD))
