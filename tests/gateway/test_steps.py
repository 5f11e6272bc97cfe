"""The driver of login flows: over HTTP, through proxies, with mistrust, and without a word of the secrets."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from llm_mux.auth import tokens
from llm_mux.auth.base import Ask, Call, Credential, LoginError, OAuth, Reply, Show, Sleep, Steps
from llm_mux.auth.device import device
from llm_mux.gateway.steps import drive, performer, secrets_of
from llm_mux.gateway.upstream import Upstream, open_upstream
from tests.auth.stage import wish
from tests.fake_upstream import RESET, FakeUpstream, json_reply
from tests.fake_upstream import Reply as Scripted

OLD = Credential(access="at-PLANTED", refresh="rt-PLANTED", client_secret="cs-PLANTED", client_id="me")


@pytest.fixture
async def client() -> AsyncIterator[Upstream]:
    upstream = open_upstream()
    yield upstream
    await upstream.close()


def asking(url: str) -> Steps[Reply]:
    return (yield Call(url, "POST", {"content-type": "text/plain", "x-own": "1"}, b"hello"))


async def test_a_call_goes_out_as_the_flow_wrote_it(client: Upstream) -> None:
    async with FakeUpstream() as server:
        server.on("/x", json_reply({"a": 1}, 418, X_Own="2"))
        before = time.time()
        reply = await drive(asking(server.url + "/x"), performer(client))
        assert (reply.status, reply.headers["x-own"], reply.body) == (418, "2", b'{"a":1}')
        assert before <= reply.at <= time.time()
        assert (server.last.method, server.last.body, server.last.headers["x-own"]) == ("POST", b"hello", "1")


async def test_a_redirect_is_not_followed(client: Upstream) -> None:
    async with FakeUpstream() as server:
        server.on("/token", Scripted(status=307, headers={"Location": "http://evil.example/token"}))
        oauth = OAuth(client_id="me", token_url=f"{server.url}/token")
        with pytest.raises(LoginError, match=r"redirects to http://evil\.example; redirects are not followed"):
            await drive(tokens.refresh(oauth, OLD, 0.0), performer(client))
        assert len(server.requests) == 1


async def test_secrets_go_through_a_proxy_but_never_in_the_clear(client: Upstream) -> None:
    async with FakeUpstream() as proxy:
        proxy.on("*", json_reply({"access_token": "at", "expires_in": 60}))
        oauth = OAuth(client_id="me", token_url="http://id.example/token")
        with pytest.raises(LoginError, match="would send secrets in the clear; https is needed"):
            await drive(tokens.refresh(oauth, OLD, 0.0), performer(client, proxy=proxy.url))
        assert proxy.requests == []
        local = OAuth(client_id="me", token_url="http://127.0.0.2:9/token")
        new = await drive(tokens.refresh(local, OLD, 0.0), performer(client, proxy=proxy.url))
        assert new.access == "at"
        assert proxy.last.headers["host"] == "127.0.0.2:9"


@pytest.mark.parametrize("answer", [Scripted(body=[RESET]), None])
async def test_a_server_that_does_not_answer_is_a_login_error_for_the_flow(client: Upstream, answer: Any) -> None:
    async with FakeUpstream() as server:
        url = f"{server.url}/x" if answer is not None else "http://127.0.0.1:1/x"
        server.on("/x", answer or Scripted())
        with pytest.raises(LoginError, match="the login server"):
            await drive(asking(url), performer(client))


@pytest.mark.parametrize("body", ["form", "json"])
async def test_what_a_server_repeats_of_our_secrets_is_not_said(client: Upstream, body: Any) -> None:
    async with FakeUpstream() as server:
        said = "rt-PLANTED of cs-PLANTED is wrong"
        server.on("/token", json_reply({"error": "invalid_grant", "error_description": said}, 400))
        oauth = OAuth(client_id="me", token_url=f"{server.url}/token", body=body)
        with pytest.raises(LoginError) as caught:
            await drive(tokens.refresh(oauth, OLD, 0.0), performer(client))
        assert str(caught.value) == "the token endpoint refused (invalid_grant): *** of *** is wrong"
        assert caught.value.final


def test_the_secrets_of_a_call_are_known() -> None:
    oauth = OAuth(client_id="me", client_secret="cs-PLANTED", client_auth="client_secret_basic", token_url="https://a")
    basic = tokens.request(oauth, oauth.token_url, {"code": "c0de-PLANTED", "scope": "not secret"})
    assert len(secrets_of(basic)) == 2
    assert "c0de-PLANTED" in secrets_of(basic)
    assert secrets_of(Call("https://a", headers={"authorization": "Bearer at-PLANTED"})) == {"at-PLANTED"}
    assert secrets_of(Call("https://a", body=b"[1]")) == set()


async def test_without_a_person_what_needs_one_is_refused(client: Upstream) -> None:
    def flow() -> Steps[str]:
        return (yield Ask("Name"))

    with pytest.raises(LoginError, match="needs a person") as caught:
        await drive(flow(), performer(client))
    assert caught.value.final


async def test_a_person_performs_what_is_theirs_and_time_passes(client: Upstream) -> None:
    class Person:
        async def perform(self, step: Any) -> Any:
            return f"did {type(step).__name__}"

    def flow() -> Steps[tuple[str, float]]:
        said = yield Show("hello")
        now = yield Sleep(0.0)
        return said, now

    said, now = await drive(flow(), performer(client, person=Person()))
    assert said == "did Show"
    assert abs(now - time.time()) < 60


async def test_a_flow_may_deal_with_a_step_that_failed(client: Upstream) -> None:
    async with FakeUpstream() as server:
        code = {"device_code": "d", "user_code": "U", "verification_uri": "https://id.example", "interval": 0.01}
        pending = json_reply({"error": "authorization_pending"}, 400)
        token = json_reply({"access_token": "at"})
        server.on("/device", json_reply(code)).on(
            "/token", Scripted(body=[RESET]), Scripted(body=[RESET]), pending, token
        )
        oauth = OAuth(client_id="me", token_url=f"{server.url}/token", device_url=f"{server.url}/device", poll_s=0.01)

        class Person:
            async def perform(self, step: Any) -> Any:
                return None

        credential = await drive(device(oauth, wish()), performer(client, person=Person()))
        assert credential.access == "at"
        assert msgspec.structs.replace(credential, access="").way == "device"
