"""The browser and device flows, step by step against scripts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from llm_mux.auth.base import Browse, Call, Listen, LoginError, OAuth, Pasted, Receive, Returned, Show, Sleep
from llm_mux.auth.browser import browser
from llm_mux.auth.device import device
from tests.auth.stage import NOW, STATE, TOKEN, calls, play, refused, reply, sent, wish

OAUTH = OAuth(
    client_id="me",
    authorize_url="https://id.example/authorize?x=1",
    token_url="https://id.example/token",
    device_url="https://id.example/device",
    scopes=("openid", "email"),
    authorize_extra={"prompt": "consent"},
)
RETURNED = Returned({"code": "c0de", "state": STATE})


def test_a_browser_login_from_start_to_end() -> None:
    script = [(Listen, 40123), (Browse, None), (Receive, RETURNED), (Call, reply(TOKEN))]
    credential, steps = play(browser(OAUTH, wish()), *script)
    assert steps[0] == Listen(0, "/callback", STATE)
    url = steps[1].url  # type: ignore[union-attr]
    query = dict(parse_qsl(urlsplit(url).query))
    assert len(query.pop("code_challenge")) == 43
    assert query == {
        "x": "1",
        "response_type": "code",
        "client_id": "me",
        "redirect_uri": "http://127.0.0.1:40123/callback",
        "scope": "openid email",
        "state": STATE,
        "code_challenge_method": "S256",
        "prompt": "consent",
    }
    assert sent(steps[3]) == {
        "grant_type": "authorization_code",
        "redirect_uri": "http://127.0.0.1:40123/callback",
        "code": "c0de",
        "code_verifier": wish().token(64),
        "client_id": "me",
    }
    assert (credential.access, credential.refresh, credential.expires) == ("at-1", "rt-1", NOW + 3600)
    assert (credential.way, credential.client_id) == ("browser", "me")


def test_a_json_exchange_repeats_the_state_where_the_provider_wants_it() -> None:
    oauth = replace(OAUTH, body="json", state_in_token=True, token_extra={"more": "1"})
    pasted = Pasted(f"c0de#{STATE}")
    _, steps = play(browser(oauth, wish()), (Listen, 1), (Browse, None), (Receive, pasted), (Call, reply(TOKEN)))
    body = sent(calls(steps)[0])
    assert (body["state"], body["code"], body["more"]) == (STATE, "c0de", "1")


def test_what_was_pasted_wrongly_is_said_and_asked_for_again() -> None:
    script = [
        (Listen, 1), (Browse, None), (Receive, Pasted("http://localhost/?code=c&state=other")), (Show, None),
        (Receive, Pasted("hello there")), (Show, None), (Receive, Pasted("c0de")), (Call, reply(TOKEN)),
    ]  # fmt: skip
    credential, steps = play(browser(OAUTH, wish()), *script)
    assert "another login" in steps[3].text  # type: ignore[union-attr]
    assert credential.access == "at-1"


@pytest.mark.parametrize(
    ("oauth", "port", "listening", "redirect"),
    [
        ({"redirect_port": 8085}, None, [(8085, 8085)], "http://127.0.0.1:8085/callback"),
        ({"redirect_port": 8085}, None, [(8085, None), (0, 40123)], "http://127.0.0.1:40123/callback"),
        ({"redirect_port": 8085}, 9000, [(9000, 9000)], "http://127.0.0.1:9000/callback"),
        ({"redirect_port": 1455, "fixed_port": True}, 1455, [(1455, 1455)], "http://127.0.0.1:1455/callback"),
        ({"redirect_port": 1455, "fixed_port": True, "redirect_host": "localhost", "redirect_path": "/auth/callback"},
         None, [(1455, 1455)], "http://localhost:1455/auth/callback"),
    ],
)  # fmt: skip
def test_the_redirect_names_the_port_that_was_had(
    oauth: dict[str, Any], port: int | None, listening: list[tuple[int, int | None]], redirect: str
) -> None:
    listens = [(Listen, got) for _, got in listening]
    _, steps = play(
        browser(replace(OAUTH, **oauth), wish(port=port)),
        *listens, (Browse, None), (Receive, RETURNED), (Call, reply(TOKEN)),
    )  # fmt: skip
    assert [step.port for step in steps[: len(listens)]] == [wanted for wanted, _ in listening]  # type: ignore[union-attr]
    assert sent(steps[-1])["redirect_uri"] == redirect


def test_a_fixed_port_that_is_taken_leaves_pasting() -> None:
    oauth = replace(OAUTH, redirect_port=1455, fixed_port=True)
    script = [(Listen, None), (Show, None), (Browse, None), (Receive, Pasted("c0de")), (Call, reply(TOKEN))]
    _, steps = play(browser(oauth, wish()), *script)
    assert "Port 1455 is taken" in steps[1].text  # type: ignore[union-attr]
    assert sent(steps[-1])["redirect_uri"] == "http://127.0.0.1:1455/callback"


BEGUN = [(Listen, 1), (Browse, None)]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([*BEGUN, (Receive, None)], "nobody came back from the browser in time"),
        ([*BEGUN, (Receive, Returned({"error": "access_denied"}))], "declined in the browser"),
        ([*BEGUN, (Receive, Returned({"error": "x\n", "error_description": "no\x1b"}))], r"\(x\): no"),
        ([*BEGUN, (Receive, RETURNED), (Call, reply({"error": "invalid_grant"}, 400))], "the code was not accepted"),
        ([*BEGUN, (Receive, RETURNED), (Call, LoginError("no answer"))], "no answer"),
        ([*BEGUN, (Receive, Returned({"code": "c", "iss": "https://evil.example"}))], "another server"),
    ],
)
def test_a_browser_login_that_fails_says_why(script: list[Any], message: str) -> None:
    error = refused(browser(replace(OAUTH, issuer="https://id.example"), wish()), *script)
    import re

    assert re.search(message, str(error))
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("oauth", "port", "script", "message"),
    [
        (replace(OAUTH, client_id=""), None, [], "no client id"),
        (replace(OAUTH, redirect_port=1455, fixed_port=True), 9000, [], "takes port 1455 only"),
        (OAUTH, 9000, [(Listen, None)], "port 9000 is taken; choose another"),
    ],
)
def test_a_browser_login_that_cannot_begin_says_why(
    oauth: OAuth, port: int | None, script: list[Any], message: str
) -> None:
    assert message in str(refused(browser(oauth, wish(port=port)), *script))


CODE = {
    "device_code": "dc", "user_code": "ABCD-EFGH", "verification_uri": "https://id.example/d", "expires_in": 600,
    "interval": 7,
}  # fmt: skip
PENDING = reply({"error": "authorization_pending"}, 400)


def test_a_device_login_polls_until_the_person_has_agreed() -> None:
    script = [
        (Call, reply(CODE)), (Browse, None),
        (Sleep, NOW + 7), (Call, PENDING),
        (Sleep, NOW + 14), (Call, reply({"error": "authorization_pending"}, 200)),
        (Sleep, NOW + 21), (Call, reply({"error": "slow_down"}, 400)),
        (Sleep, NOW + 33), (Call, reply({"error": "slow_down"}, 429)),
        (Sleep, NOW + 50), (Call, reply(b"<html>", 502)),
        (Sleep, NOW + 72), (Call, reply(TOKEN, at=NOW + 72)),
    ]  # fmt: skip
    credential, steps = play(device(OAUTH, wish()), *script)
    assert steps[1] == Browse("https://id.example/d", "ABCD-EFGH")
    assert [step.seconds for step in steps if isinstance(step, Sleep)] == [7, 7, 7, 12, 17, 22]
    assert sent(steps[0]) == {"scope": "openid email", "client_id": "me"}
    assert sent(steps[3]) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "dc", "client_id": "me",
    }  # fmt: skip
    assert (credential.access, credential.expires, credential.way) == ("at-1", NOW + 72 + 3600, "device")


@pytest.mark.parametrize(
    ("more", "browse", "pause"),
    [
        ({"verification_uri_complete": "https://id.example/d?c=1"}, "https://id.example/d?c=1", 7),
        ({"verification_uri_complete": "javascript:x"}, "https://id.example/d", 7),
        ({"interval": 1}, "https://id.example/d", 5),
        ({"interval": "9"}, "https://id.example/d", 9),
        ({"interval": "x"}, "https://id.example/d", 5),
        ({"interval": None}, "https://id.example/d", 5),
    ],
)
def test_what_the_device_endpoint_says_is_followed(more: dict[str, Any], browse: str, pause: float) -> None:
    script = [(Call, reply({**CODE, **more})), (Browse, None), (Sleep, NOW), (Call, reply(TOKEN))]
    _, steps = play(device(OAUTH, wish()), *script)
    assert (steps[1].url, steps[2].seconds) == (browse, pause)  # type: ignore[union-attr]


def test_a_poll_that_does_not_get_through_is_not_the_end() -> None:
    lost = LoginError("not reachable")
    script = [(Call, reply(CODE)), (Browse, None)]
    for _ in range(5):
        script += [(Sleep, NOW), (Call, lost)]
    credential, steps = play(device(OAUTH, wish()), *script, (Sleep, NOW), (Call, reply(TOKEN)))
    assert credential.access == "at-1"
    assert [step.seconds for step in steps if isinstance(step, Sleep)] == [7, 14, 28, 56, 60, 60]
    assert str(refused(device(OAUTH, wish()), *script, (Sleep, NOW), (Call, lost))) == "not reachable"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([(Call, reply({**CODE, "user_code": 7}))], "without a usable user_code"),
        ([(Call, reply({**CODE, "verification_uri": "a\x1bb"}))], "without a usable verification_uri"),
        ([(Call, reply({"error": "unauthorized_client"}, 400))], r"refused (unauthorized_client)"),
        ([(Call, reply(CODE)), (Browse, None), (Sleep, NOW + 601)], "has expired before it was typed in"),
        ([(Call, reply(CODE)), (Browse, None), (Sleep, NOW), (Call, reply({"error": "expired_token"}, 400))],
         "has expired before it was typed in"),
        ([(Call, reply(CODE)), (Browse, None), (Sleep, NOW), (Call, reply({"error": "access_denied"}, 400))],
         "declined at the provider's page"),
        ([(Call, reply(CODE)), (Browse, None), (Sleep, NOW), (Call, reply(b"<html>", 200))], "a web page"),
    ],
)  # fmt: skip
def test_a_device_login_that_fails_says_why(script: list[Any], message: str) -> None:
    assert message in str(refused(device(OAUTH, wish()), *script))


def test_a_provider_without_a_device_endpoint_says_so() -> None:
    assert "has no such address" in str(refused(device(replace(OAUTH, device_url=""), wish())))
