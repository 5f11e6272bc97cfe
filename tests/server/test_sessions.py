"""Signing in at the dashboard: two halves that are worth nothing alone, for a while, and for the daemon's own page."""

import asyncio
import pathlib
from http.cookies import SimpleCookie
from typing import Any

import pytest

from llm_mux.auth.keys import create_management_key
from llm_mux.errors import MuxError
from llm_mux.server.management.access import FREE_GUESSES
from llm_mux.server.management.sessions import IDLE_S, LONGEST_S, MOST, Sessions, cookie, cookie_name
from llm_mux.server.reload import RELOADER
from tests.server.management import ROOT, Managed, managed

HOST = {"Host": "localhost:8317"}
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}


def sent(secret: str, token: str) -> dict[str, str]:
    return {**HOST, "Cookie": f"other=1; {cookie_name(HOST)}={secret}", "X-CSRF-Token": token}


def refusal(sessions: Sessions, headers: dict[str, str], now: float) -> str | None:
    with pytest.raises(MuxError) as caught:
        sessions.find(headers, now)
    return caught.value.code


def test_both_halves_together_are_the_session_and_neither_alone() -> None:
    sessions = Sessions()
    secret, session = sessions.begin(0)
    _, other = sessions.begin(0)
    assert sessions.find(sent(secret, session.token), 1) is session
    for token in ("", "x", secret, other.token, session.token[:-1], session.token + "x"):
        assert refusal(sessions, sent(secret, token), 1) == "csrf_token_wrong"
    for made_up in ("", "x", session.token, secret[:-1]):
        assert refusal(sessions, sent(made_up, session.token), 1) == "session_expired"
    assert refusal(sessions, {**HOST, "X-CSRF-Token": session.token}, 1) == "session_expired"


def test_a_cookie_that_another_port_set_beside_ours_does_no_harm() -> None:
    sessions = Sessions()
    secret, session = sessions.begin(0)
    planted, _ = sessions.begin(0)
    name = cookie_name(HOST)
    headers = sent(secret, session.token)
    for cookies in (f"{name}={planted}; {name}={secret}", f"{name}=; ;;={name}; {name}={secret}; {name}"):
        assert sessions.find({**headers, "Cookie": cookies}, 1) is session
    assert refusal(sessions, {**headers, "Cookie": f"{name}={planted}"}, 1) == "csrf_token_wrong"


@pytest.mark.parametrize(
    ("uses", "ends"),
    [([], IDLE_S), ([IDLE_S - 1], 2 * IDLE_S - 1), ([n * (IDLE_S - 1) for n in range(1, 10)], LONGEST_S)],
)
def test_a_session_ends_when_nobody_uses_it_and_some_day_anyhow(uses: list[float], ends: float) -> None:
    sessions = Sessions()
    secret, session = sessions.begin(0)
    for moment in uses:
        if moment < ends:
            sessions.find(sent(secret, session.token), moment)
    assert session.left(ends - 0.1) > 0
    assert refusal(sessions, sent(secret, session.token), ends) == "session_expired"
    assert session.ended


def test_there_are_so_many_sessions_and_no_more_and_the_idlest_goes_first() -> None:
    sessions = Sessions()
    made = [sessions.begin(0) for _ in range(MOST)]
    sessions.find(sent(made[0][0], made[0][1].token), 1)
    sessions.begin(2)
    assert [session.ended for _, session in made] == [False, True, *[False] * (MOST - 2)]


def test_sessions_end_with_the_management_key_that_they_were_begun_with() -> None:
    sessions = Sessions()
    sessions.belong_to("one")
    secret, session = sessions.begin(0)
    sessions.belong_to("one")
    assert sessions.find(sent(secret, session.token), 1) is session
    sessions.belong_to("two")
    assert refusal(sessions, sent(secret, session.token), 1) == "session_expired"


@pytest.mark.parametrize(
    ("origin", "secure"), [("https://mux.example", True), ("http://localhost:8317", False), (None, False)]
)
def test_no_script_reads_the_cookie_no_other_site_sends_it_and_behind_tls_it_stays_there(
    origin: str | None, secure: bool
) -> None:
    made: Any = SimpleCookie(cookie(HOST | ({"Origin": origin} if origin else {}), "secret"))["llm-mux-8317"]
    assert (made.value, made["httponly"], made["samesite"], made["path"]) == ("secret", True, "Strict", "/")
    assert bool(made["secure"]) is secure
    assert not made["max-age"], "it goes with the browser"
    assert not made["domain"]


async def signed_in(mux: Managed) -> dict[str, str]:
    """The headers of a page that is signed in."""
    async with mux.client.post(f"{ROOT}/session") as answer:
        told = await answer.json()
        assert answer.status == 200, told
        secret = answer.headers["Set-Cookie"].partition(";")[0]
    return {"Cookie": secret, "X-CSRF-Token": told["csrf"]}


async def status(mux: Managed, method: str, path: str, headers: dict[str, str], **more: Any) -> tuple[int, str | None]:
    async with mux.bare.request(method, path, headers=headers, **more) as answer:
        told = await answer.json()
        return answer.status, told["error"]["code"] if answer.status >= 400 else None


async def test_whoever_is_signed_in_manages_until_the_session_ends(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as mux:
        page = await signed_in(mux)
        assert await status(mux, "GET", f"{ROOT}/accounts", page) == (200, None)
        assert await status(mux, "PUT", f"{ROOT}/debug", page, json={"value": False}) == (200, None)
        async with mux.bare.get(f"{ROOT}/session", headers=page) as answer:
            told = await answer.json()
            assert told["csrf"] == page["X-CSRF-Token"]
        assert await status(mux, "POST", f"{ROOT}/session", page) == (400, "bad_request"), "no session for ever"
        async with mux.bare.delete(f"{ROOT}/session", headers=page) as answer:
            assert "Max-Age=0" in answer.headers["Set-Cookie"]
        assert await status(mux, "GET", f"{ROOT}/accounts", page) == (401, "session_expired")


async def test_every_route_wants_the_token_with_the_cookie_and_its_own_page(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as mux:
        page = await signed_in(mux)
        alone = {"Cookie": page["Cookie"]}
        routes = {
            (route.method, route.resource.canonical)
            for route in mux.app.router.routes()
            if route.resource is not None
            and route.resource.canonical.startswith(ROOT)
            and route.method not in ("*", "HEAD")
        }
        assert len(routes) > 30
        for method, path in routes:
            assert await status(mux, method, path, alone) == (403, "csrf_token_wrong"), path
            for foreign in ({"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}):
                assert await status(mux, method, path, page | foreign) == (403, "origin_not_allowed"), path
            assert await status(mux, method, path, page | {"Host": "evil.example"}) == (403, "host_not_allowed"), path


async def test_a_wrong_key_signs_nobody_in_and_counts_as_a_guess(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as mux:
        page = await signed_in(mux)
        for _ in range(FREE_GUESSES):
            found = await status(mux, "POST", f"{ROOT}/session", {"X-Management-Key": "wrong"})
            assert found == (401, "management_key_wrong")
        assert await status(mux, "POST", f"{ROOT}/session", {"X-Management-Key": mux.key}) == (429, "locked_out")
        assert await status(mux, "GET", f"{ROOT}/session", page) == (200, None), "who is in stays in"


async def test_a_new_management_key_ends_every_session(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as mux:
        page = await signed_in(mux)
        assert create_management_key(mux.store) != mux.key
        assert await mux.app[RELOADER].refresh() is None
        assert await status(mux, "GET", f"{ROOT}/session", page) == (401, "session_expired")


async def test_the_page_asks_models_without_a_client_key_and_is_called_dashboard(tmp_path: pathlib.Path) -> None:
    setup = "port: 0\ndiscover: false\ndisable-auth: false\napi-keys: [right]\n"
    async with managed(tmp_path / "home", setup) as mux:
        page = await signed_in(mux)
        own = {"Origin": mux.url, "Sec-Fetch-Site": "same-origin"}
        for path in ("/v1/chat/completions", "/v1/messages"):
            body = CHAT | {"max_tokens": 16}
            assert (await status(mux, "POST", path, page | own, json=body))[0] == 200
            async with mux.bare.post(path, json=body) as answer:
                assert answer.status == 401
            async with mux.bare.post(path, json=body, headers={"Cookie": page["Cookie"]}) as answer:
                assert answer.status == 403
            async with mux.bare.post(path, json=body, headers=page | {"Origin": "http://localhost:1"}) as answer:
                assert answer.status == 403
        assert (await status(mux, "GET", "/v1/models", page | own))[0] == 200
        told = await mux.ask("GET", "/requests")
        assert {line["client"] for line in told["requests"] if line["status"] == 200} == {"dashboard"}


@pytest.mark.parametrize("path", ["/requests/live", "/logs/live?level=critical"])
async def test_a_live_stream_ends_with_the_session(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("llm_mux.server.management.streams.BEAT_S", 0.05)
    async with managed(tmp_path / "home") as mux:
        page = await signed_in(mux)
        async with mux.bare.get(f"{ROOT}{path}", headers=page) as live:
            assert await live.content.readline() == b": live\n"
            async with mux.bare.delete(f"{ROOT}/session", headers=page) as answer:
                assert answer.status == 200
            async with asyncio.timeout(10):
                assert (await live.read()).replace(b": beat\n\n", b"").strip() == b""


async def test_sessions_are_listed_without_what_opens_them_and_each_can_be_ended(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as mux:
        first, second, third = [await signed_in(mux) for _ in range(3)]
        async with mux.bare.get(f"{ROOT}/sessions", headers=second | {"User-Agent": "x"}) as answer:
            text = await answer.text()
        for opens in (first, second, third):
            assert opens["X-CSRF-Token"] not in text
            assert opens["Cookie"].partition("=")[2] not in text
        listed = (await mux.ask("GET", "/sessions"))["sessions"]
        assert [each["current"] for each in listed] == [False] * 3, "the key itself is no session"
        assert {each["address"] for each in listed} == {"127.0.0.1"}
        assert "aiohttp" in listed[0]["browser"]
        assert listed[0]["began"] <= listed[0]["used"] < listed[0]["expires"]
        async with mux.bare.get(f"{ROOT}/sessions", headers=second) as answer:
            mine = (await answer.json())["sessions"]
        assert [each["current"] for each in mine] == [True, False, False], "the one that was used last is first"
        await mux.ask("DELETE", f"/sessions/{mine[1]['id']}")
        await mux.ask("DELETE", f"/sessions/{mine[1]['id']}", status=404)
        assert await status(mux, "GET", f"{ROOT}/session", third) == (401, "session_expired")
        async with mux.bare.delete(f"{ROOT}/sessions", headers=second) as answer:
            assert (await answer.json())["message"] == "1 session has ended."
        assert await status(mux, "GET", f"{ROOT}/session", first) == (401, "session_expired")
        assert await status(mux, "GET", f"{ROOT}/session", second) == (200, None)
        assert (await mux.ask("DELETE", "/sessions"))["message"] == "1 session has ended."


async def test_neither_half_is_in_the_log_or_in_a_url(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as mux:
        page = await signed_in(mux)
        query = f"?csrf={page['X-CSRF-Token']}&X-CSRF-Token={page['X-CSRF-Token']}"
        assert await status(mux, "GET", f"{ROOT}/debug{query}", {"Cookie": page["Cookie"]}) == (403, "csrf_token_wrong")
        told = str(await mux.ask("GET", "/logs"))
        assert page["X-CSRF-Token"] not in told
        assert page["Cookie"].partition("=")[2] not in told
