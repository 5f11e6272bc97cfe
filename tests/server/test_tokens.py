"""Signed client tokens against the running daemon: shared secrets, key sets that rotate, servers that are away."""

import json
import time
from typing import Any

import aiohttp
import pytest
from joserfc import jwt as jose
from joserfc.jwk import ECKey, RSAKey

from llm_mux.auth.jwt import sign
from llm_mux.config.schema import Jwt
from llm_mux.server.serving import DAEMON
from llm_mux.server.tokens import KEYS_OLD_S
from tests.daemon import Daemon
from tests.fake_upstream import FakeUpstream, json_reply
from tests.server.conftest import Run

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
SECRET = "a-secret-of-thirty-two-characters"
OLD = RSAKey.generate_key(2048, {"kid": "old"})
NEW = ECKey.generate_key("P-256", {"kid": "new"})


def signed(key: Any, alg: str, kid: str, **more: Any) -> str:
    claims = {"sub": "alice", "exp": int(time.time()) + 60, **more}
    return jose.encode({"alg": alg, "kid": kid}, claims, key, algorithms=[alg])


def key_set(*keys: Any) -> Any:
    return json_reply({"keys": [key.as_dict(private=False) for key in keys]})


async def ask(client: aiohttp.ClientSession, mux: Daemon, token: str) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"}
    async with client.post(mux.url + "/v1/chat/completions", json=CHAT, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_a_token_of_the_shared_secret_is_a_client_key(demo: Run) -> None:
    async with demo({"auth": {"jwt": {"secret": SECRET}}}) as mux, aiohttp.ClientSession() as client:
        good = sign(Jwt(secret=SECRET), SECRET, "alice", now=time.time(), minutes=1)
        over = sign(Jwt(secret=SECRET), SECRET, "alice", now=time.time() - 7200, minutes=1)
        daemons_own = sign(Jwt(secret=SECRET), SECRET, "key:1", now=time.time(), minutes=1)
        other = sign(Jwt(secret="x" * 40), "x" * 40, "alice", now=time.time(), minutes=1)
        assert (await ask(client, mux, good))[0] == 200
        assert (await ask(client, mux, good))[0] == 200
        for token in (over, other, daemons_own, good[:-3], "eyJ.eyJ.x", ""):
            status, text = await ask(client, mux, token)
            assert status == 401
            assert SECRET not in text
        assert "expired" in (await ask(client, mux, over))[1]


@pytest.mark.parametrize(
    ("path", "body", "shape"),
    [
        ("/v1/messages", {**CHAT, "max_tokens": 5}, "authentication_error"),
        ("/v1beta/models/demo:generateContent", {"contents": []}, "UNAUTHENTICATED"),
        ("/api/chat", CHAT, '"error":'),
        ("/v1/models", None, "Invalid or missing authentication token"),
    ],
)
async def test_a_refused_token_is_said_in_the_clients_shape(demo: Run, path: str, body: Any, shape: str) -> None:
    async with demo({"auth": {"jwt": {"secret": SECRET}}}) as mux, aiohttp.ClientSession() as client:
        method = "GET" if body is None else "POST"
        async with client.request(method, mux.url + path, json=body, headers={"x-api-key": "eyJ.eyJ.x"}) as answer:
            assert answer.status == 401
            assert shape in await answer.text()


async def test_public_keys_are_fetched_once_and_again_for_a_key_that_is_new(demo: Run) -> None:
    async with FakeUpstream() as keys:
        keys.on("/jwks", key_set(OLD))
        async with demo({"auth": {"jwt": {"jwks-url": f"{keys.url}/jwks"}}}) as mux, aiohttp.ClientSession() as client:
            for _ in range(3):
                assert (await ask(client, mux, signed(OLD, "RS256", "old", jti="x")))[0] == 200
            assert len(keys.requests) == 1
            # Unknown keys do not make the daemon ask more often than every few seconds.
            for number in range(20):
                assert (await ask(client, mux, signed(NEW, "ES256", f"made-up-{number}")))[0] == 401
            assert len(keys.requests) == 1
            keys.on("/jwks", key_set(OLD, NEW))
            fetched = tokens(mux)
            fetched.tried_at = float("-inf")
            assert (await ask(client, mux, signed(NEW, "ES256", "new")))[0] == 200
            assert len(keys.requests) == 2


async def test_keys_stay_when_their_server_goes_and_none_at_all_is_a_503(demo: Run) -> None:
    async with FakeUpstream() as keys:
        keys.on("/jwks", json_reply({"error": "down"}, 500))
        async with demo({"auth": {"jwt": {"jwks-url": f"{keys.url}/jwks"}}}) as mux, aiohttp.ClientSession() as client:
            status, text = await ask(client, mux, signed(OLD, "RS256", "old"))
            assert (status, "cannot be fetched" in text) == (503, True)
            keys.on("/jwks", key_set(OLD))
            tokens(mux).tried_at = float("-inf")
            assert (await ask(client, mux, signed(OLD, "RS256", "old")))[0] == 200
            keys.on("/jwks", json_reply({"error": "down"}, 500))
            tokens(mux).tried_at = tokens(mux).had_at = float("-inf")
            assert (await ask(client, mux, signed(OLD, "RS256", "old", jti="y")))[0] == 200


async def test_a_key_that_was_taken_away_while_nobody_came_signs_nothing_any_more(demo: Run) -> None:
    async with FakeUpstream() as keys:
        keys.on("/jwks", key_set(OLD))
        async with demo({"auth": {"jwt": {"jwks-url": f"{keys.url}/jwks"}}}) as mux, aiohttp.ClientSession() as client:
            assert (await ask(client, mux, signed(OLD, "RS256", "old")))[0] == 200
            keys.on("/jwks", key_set(NEW))
            fetched = tokens(mux)
            fetched.had_at -= KEYS_OLD_S
            fetched.tried_at -= KEYS_OLD_S
            assert (await ask(client, mux, signed(OLD, "RS256", "old", jti="y")))[0] == 401
            assert (await ask(client, mux, signed(NEW, "ES256", "new")))[0] == 200
            assert len(keys.requests) == 2


def tokens(mux: Daemon) -> Any:
    """The fetched keys, so that a test need not wait for their age."""
    found = mux.app[DAEMON].guard.tokens
    assert found is not None
    return found.keys


async def test_a_public_key_is_no_secret(demo: Run) -> None:
    """The rules of a JWKS take no HS256, so a token made with the public key as its secret is nothing."""
    async with FakeUpstream() as keys:
        keys.on("/jwks", key_set(OLD))
        async with demo({"auth": {"jwt": {"jwks-url": f"{keys.url}/jwks"}}}) as mux, aiohttp.ClientSession() as client:
            secret = json.dumps(OLD.as_dict(private=False))
            forged = sign(Jwt(secret=secret), secret, "alice", now=time.time(), minutes=1)
            assert (await ask(client, mux, forged))[0] == 401
            assert keys.requests == []
