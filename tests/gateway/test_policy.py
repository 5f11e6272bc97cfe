"""What each way of failing at a provider causes: whether another account is asked, what the client is told, what the books
say. One daemon, a provider for each case, real HTTP."""

import asyncio
import contextlib
import pathlib
import sqlite3
from dataclasses import dataclass

import aiohttp
import pytest

from llm_mux.errors import POLICY, Kind
from llm_mux.server.serving import DAEMON
from tests.daemon import daemon
from tests.fake_upstream import RESET, FakeUpstream, Reply, Wait, json_reply
from tests.gateway.test_exchange import CHAT, whole

NEVER = asyncio.Event()


def said(status: int, message: str, **more: object) -> Reply:
    return json_reply({"error": {"message": message, "type": "x", **more}}, status)


@dataclass(frozen=True)
class Case:
    """`next`: another account is asked; `status`: what the client gets when nobody is left."""

    kind: Kind
    reply: Reply
    next: bool
    status: int

    @property
    def name(self) -> str:
        return self.kind.value.replace("_", "-")


CASES = [
    Case(Kind.BAD_REQUEST, said(400, "bad field"), False, 400),
    Case(Kind.BAD_REQUEST, said(422, "bad field"), False, 422),
    Case(Kind.CONTEXT_LENGTH, said(400, "too long", code="context_length_exceeded"), False, 400),
    Case(Kind.TOO_LARGE, said(413, "too large"), False, 413),
    Case(Kind.POLICY, said(400, "no", code="content_policy_violation"), False, 400),
    Case(Kind.UPSTREAM_AUTH, said(401, "no such key"), True, 502),
    Case(Kind.UPSTREAM_FORBIDDEN, said(403, "not for you"), True, 502),
    Case(Kind.UPSTREAM_MODEL, said(404, "no such model", code="model_not_found"), True, 404),
    Case(Kind.RATE_LIMIT, said(429, "slow down"), True, 429),
    Case(Kind.QUOTA, said(429, "you paid for less", code="insufficient_quota"), True, 429),
    Case(Kind.OVERLOADED, said(503, "overloaded"), True, 503),
    Case(Kind.UPSTREAM_ERROR, said(500, "it broke"), True, 502),
    Case(Kind.UPSTREAM_NONSENSE, Reply(b"<html>hello</html>", content_type="text/html"), True, 502),
    Case(Kind.UPSTREAM_CUT, Reply([b'{"id": ', RESET]), True, 502),
    Case(Kind.FIRST_BYTE_TIMEOUT, Reply(before=NEVER), True, 504),
    Case(Kind.IDLE_TIMEOUT, Reply([b'{"id": ', Wait(NEVER)]), True, 504),
]


def provider(id: str, url: str, keys: int) -> dict[str, object]:
    accounts = [{"key": f"key-{n}", "label": f"k{n}", "priority": -n} for n in range(keys)]
    entry = {"id": id, "type": "openai-compatible", "base-url": f"{url}/{id}/v1", "models": ["m"]}
    return {**entry, "api-keys": accounts}


@pytest.mark.covers("OP-3")
async def test_every_failure_is_met_as_the_table_says(tmp_path: pathlib.Path) -> None:
    cases = {f"{number}-{case.name}": case for number, case in enumerate(CASES)}
    async with FakeUpstream() as upstream:
        providers = []
        for name, case in cases.items():
            upstream.on(f"/{name}/v1/chat/completions", case.reply, json_reply(whole("Hello")))
            upstream.on(f"/{name}-alone/v1/chat/completions", case.reply)
            providers += [provider(name, upstream.url, 2), provider(f"{name}-alone", upstream.url, 1)]
        config = {
            "providers": providers,
            "request-retry": 0,
            "timeouts": {"connect": 5, "first-byte": 0.5, "between-bytes": 0.5},
        }
        async with daemon(tmp_path, config) as running, aiohttp.ClientSession(running.url) as client:

            async def ask(name: str) -> tuple[int, str]:
                body = {**CHAT, "model": f"{name}://m"}
                async with client.post("/v1/chat/completions", json=body) as answer:
                    return answer.status, answer.headers["x-llm-mux-attempts"]

            both = await asyncio.gather(*(ask(name) for name in cases))
            alone = await asyncio.gather(*(ask(f"{name}-alone") for name in cases))
            assert await running.app[DAEMON].parts.writer.catch_up()
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "llm-mux.sqlite")) as database:
        kinds = dict(database.execute("select provider, error_kind from exchanges where provider like '%-alone'"))
    for name, case, two, one in zip(cases, CASES, both, alone, strict=True):
        assert two == ((200, "2") if case.next else (case.status, "1")), name
        assert one == (case.status, "1"), name
        assert kinds[f"{name}-alone"] == case.kind.value, name


def test_the_table_is_total_and_its_rows_are_those_that_were_agreed() -> None:
    assert set(POLICY) == set(Kind)
    next_, cools, trips, grows = (
        {kind for kind, row in POLICY.items() if getattr(row, what)}
        for what in ("try_next", "cooldown_s", "trips", "grows")
    )
    accounts_own = {Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN, Kind.UPSTREAM_MODEL, Kind.RATE_LIMIT, Kind.QUOTA}
    assert cools == accounts_own
    assert grows == {Kind.RATE_LIMIT}
    assert next_ == cools | trips | {Kind.LOGIN_NEEDED}
    assert {case.kind for case in CASES if case.next} == next_ - {
        # These need another host, or a login: tests of the upstream clients and of logins have them.
        *(Kind.UNREACHABLE, Kind.CONNECT_TIMEOUT, Kind.LOGIN_NEEDED),
    }
