"""With `capture` both sides of the daemon are kept: what its client said, and what was said to and by every provider."""

import asyncio
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
import yaml

from llm_mux.gateway.ask import Ask, Caller
from llm_mux.gateway.upstream import Call
from llm_mux.server.captured import MOST_ASKED, MOST_BYTES
from llm_mux.server.management.exchanges import written
from llm_mux.server.recent import MOST_CAPTURED, Happening, Recent, without_the_old
from llm_mux.server.serving import DAEMON
from llm_mux.translators import registry
from llm_mux.translators.base import Hints
from tests.fake_upstream import FakeUpstream, Reply, Wait, json_reply, sse_reply
from tests.server.management import Managed, managed

SECRET = "planted-upstream-key-93847561"
CLIENTS_OWN = "planted-client-key-1029384756"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello <b>you</b>"}]}
ANSWER = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}  # fmt: skip
STREAM = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":"Hi"},"finish_reason":null}]}\n\n'
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as running:
        yield running


def setup(upstream: FakeUpstream, **more: Any) -> str:
    lab = {
        "id": "lab", "type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": ["m"],
        "api-keys": [{"key": f"{SECRET}-1"}, {"key": f"{SECRET}-2"}],
    }  # fmt: skip
    config = {"port": 0, "discover": False, "capture": True, "providers": [lab], "request-retry": 0, **more}
    return yaml.safe_dump(config)


async def asked(mux: Managed, path: str, body: dict[str, Any], name: str, status: int = 200) -> dict[str, Any]:
    """What is kept of a request, once its client has the whole answer."""
    headers = {"X-Request-ID": name, "Authorization": f"Bearer {CLIENTS_OWN}", "Cookie": f"session={CLIENTS_OWN}"}
    async with mux.bare.post(path, json=body, headers=headers) as answer:
        await answer.read()
        assert answer.status == status
    found: dict[str, Any] = (await mux.ask("GET", f"/requests/{name}"))["captured"]
    assert SECRET not in str(found)
    assert CLIENTS_OWN not in str(found)
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "more"), [("/v1/chat/completions", {}), ("/v1/messages", {"max_tokens": 64})])
async def test_what_went_upstream_and_came_back_is_kept_spliced_and_translated(
    upstream: FakeUpstream, tmp_path: pathlib.Path, path: str, more: dict[str, Any], stream: bool
) -> None:
    good = sse_reply(STREAM) if stream else json_reply(ANSWER)
    upstream.on("/v1/chat/completions", good)
    async with managed(tmp_path / "home", setup(upstream)) as mux:
        found = await asked(mux, path, CHAT | more | {"stream": stream}, "one")
        (leg,) = found["upstream"]
        assert leg["account"].startswith("lab/")
        assert leg["url"] == f"{upstream.url}/v1/chat/completions"
        assert (leg["status"], leg["error"]) == (200, None)
        assert json.loads(leg["request"])["messages"][-1]["content"] in (
            "Hello <b>you</b>",
            [{"type": "text", "text": "Hello <b>you</b>"}],
        )
        assert leg["answer"].encode() == (STREAM if stream else msgspec.json.encode(ANSWER))
        assert leg["answer_headers"]["Content-Type"].startswith("text/event-stream" if stream else "application/json")
        assert leg["answer_bytes"] == len(leg["answer"].encode())
        assert {name.lower(): value for name, value in leg["headers"].items()}["authorization"] == "***"
        assert found["answer_headers"]["x-llm-mux-provider"] == "lab"
        assert "Hello" in found["request"]
        assert "Hi" in found["answer"]


async def test_every_attempt_is_kept_with_what_became_of_it(upstream: FakeUpstream, tmp_path: pathlib.Path) -> None:
    said = {"error": {"message": f"{SECRET}-1 and {SECRET}-2 are out of quota", "type": "rate_limit"}}
    upstream.on("/v1/chat/completions", json_reply(said, 429), json_reply(ANSWER))
    async with managed(tmp_path / "home", setup(upstream)) as mux:
        found = await asked(mux, "/v1/chat/completions", CHAT, "two")
        assert [leg["status"] for leg in found["upstream"]] == [429, 200]
        assert "are out of quota" in found["upstream"][0]["answer"]
        assert found["upstream"][0]["account"] != found["upstream"][1]["account"]
        assert found["status"] == 200


async def test_a_provider_that_is_not_there_is_kept_as_such(upstream: FakeUpstream, tmp_path: pathlib.Path) -> None:
    text = setup(upstream).replace(upstream.url, "http://127.0.0.1:1")
    async with managed(tmp_path / "home", text) as mux:
        found = await asked(mux, "/v1/chat/completions", CHAT, "three", status=502)
        assert found["upstream"][0]["status"] is None
        assert found["upstream"][0]["error"]
        assert found["status"] == 502
        assert "error" in json.loads(found["answer"])


async def test_the_switch_works_at_once_and_off_nothing_is_kept(upstream: FakeUpstream, tmp_path: pathlib.Path) -> None:
    upstream.on("/v1/chat/completions", json_reply(ANSWER))
    async with managed(tmp_path / "home", setup(upstream, capture=False)) as mux:
        for value in (True, False):
            assert await mux.ask("PUT", "/capture", json={"value": value}) == {"value": value}
            assert await mux.ask("GET", "/capture") == {"value": value}
            async with mux.bare.post("/v1/chat/completions", json=CHAT, headers={"X-Request-ID": f"is-{value}"}) as got:
                assert got.status == 200
            kept = (await mux.ask("GET", f"/requests/is-{value}"))["captured"]
            assert (kept is not None) is value


async def test_a_flood_is_kept_within_its_bounds(upstream: FakeUpstream, tmp_path: pathlib.Path) -> None:
    upstream.on("/v1/chat/completions", json_reply(ANSWER | {"padding": "x" * (2 * MOST_BYTES)}))
    async with managed(tmp_path / "home", setup(upstream)) as mux:
        body = CHAT | {"messages": [{"role": "user", "content": "y" * (2 * MOST_BYTES)}]}
        found = await asked(mux, "/v1/chat/completions", body, "large")
        for side in (found, found["upstream"][0]):
            assert side["request_bytes"] > 2 * MOST_BYTES
            assert len(side["request"]) <= MOST_BYTES
            assert len(side["answer"]) <= MOST_BYTES


def ask_named(name: str, body: bytes) -> Ask:
    return Ask(registry.get("openai_chat"), body, Hints(), "m", False, name, {}, Caller(), time=0, started=0)


def test_old_exchanges_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    recent = Recent()
    recent.capturing = True
    for number in range(MOST_CAPTURED + 5):
        recent.look_on(ask_named(f"r{number}", b"x" * 1000))
    assert recent.of("r4")[1] is None
    assert recent.of("r5")[1] is not None
    monkeypatch.setattr("llm_mux.server.recent.MOST_BYTES", 10_000)
    onlooker = recent.look_on(ask_named("last", b"x" * 1000))
    kept = [n for n in range(MOST_CAPTURED + 5) if recent.of(f"r{n}")[1] is not None]
    assert 5 <= len(kept) <= 10
    call = Call(url="http://127.0.0.1", headers={}, body=b"")
    assert [onlooker.asked("a/b", call) is not None for _ in range(MOST_ASKED + 2)] == [True] * MOST_ASKED + [False] * 2


async def test_who_watches_sees_a_request_begin_fail_somewhere_and_end(
    upstream: FakeUpstream, tmp_path: pathlib.Path
) -> None:
    goes_on = asyncio.Event()
    first, _, rest = STREAM.partition(b"\n\n")
    upstream.on("/v1/chat/completions", Reply(status=500), sse_reply(first + b"\n\n", Wait(goes_on), rest))
    async with managed(tmp_path / "home", setup(upstream, capture=False)) as mux:
        async with mux.client.get("/v0/management/requests/live") as live:
            await live.content.readuntil(b"\n\n")
            async with mux.bare.post("/v1/chat/completions", json=CHAT | {"stream": True}) as answer:
                assert answer.status == 200
                assert [each["event"] for each in await happened(live, "first")] == ["begun", "failed", "first"]
                goes_on.set()
                await answer.read()
            ended = await happened(live, "exchange.done")
        assert {each["event"] for each in ended} <= {"over", "exchange.done"}
        assert (ended[-1]["attempts"], len(ended[-1]["failed"])) == (2, 1)


async def test_what_is_over_at_once_is_told_in_one_line(upstream: FakeUpstream, tmp_path: pathlib.Path) -> None:
    upstream.on("/v1/chat/completions", sse_reply(STREAM))
    async with managed(tmp_path / "home", setup(upstream, capture=False)) as mux:
        async with mux.client.get("/v0/management/requests/live") as live:
            await live.content.readuntil(b"\n\n")
            books = mux.app[DAEMON].parts.books
            for _ in range(3):
                async with mux.bare.post("/v1/chat/completions", json=CHAT | {"stream": True}) as answer:
                    await answer.read()
                books.flush()
            told = []
            while len([each for each in told if each["event"] == "exchange.done"]) < 3:
                told += await happened(live, "exchange.done")
        assert len({each["request"] for each in told}) == 3
        assert [each["seq"] for each in told if each["event"] == "exchange.done"] == [1, 2, 3]


def happening(name: str, request: str) -> Happening:
    return Happening(name, 0, request, {})


@pytest.mark.parametrize(
    ("gathered", "told"),
    [
        ("begun a, first a", "begun a, first a"),
        ("begun a, first a, over a", ""),
        ("begun a, failed a, over a, line a", "line a"),
        ("over a", "over a"),
        ("first a, over a", "over a"),
        ("over a, line a", "line a"),
        ("begun a, begun b, over a, first b, line a", "begun b, first b, line a"),
        ("", ""),
    ],
)
def test_nothing_is_told_that_the_same_moment_has_made_old(gathered: str, told: str) -> None:
    pairs = [each.split() for each in gathered.split(", ") if each]
    found = without_the_old([happening(name.replace("line", ""), request) for name, request in pairs])
    assert ", ".join(f"{each.name or 'line'} {each.request}" for each in found) == told


async def test_all_who_watch_are_told_the_same_bytes_and_a_slow_one_misses_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llm_mux.server.recent.GATHER_S", 0.0)
    monkeypatch.setattr("llm_mux.server.recent._MOST_WAITING", 3)
    recent = Recent()
    async with recent.watched() as one, recent.watched() as other:
        for number in range(5):
            recent.happens("begun", f"r{number}")
            moment = await one.get()
            assert moment is not None
            assert json.loads(written(moment).partition(b"data: ")[2]) == [{"event": "begun", "request": f"r{number}"}]
        waiting = [other.get_nowait() for _ in range(other.qsize())]
        assert [each.happened[0].request for each in waiting if each] == ["r2", "r3", "r4"]
        assert waiting[-1] is moment
        assert written(moment) is written(moment)


async def happened(live: aiohttp.ClientResponse, until: str) -> list[dict[str, Any]]:
    """What is told until something of that name is."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while until not in {each["event"] for each in found}:
            told = (await live.content.readuntil(b"\n\n")).partition(b"data: ")[2]
            found += json.loads(told) if told else []
    return found


async def test_who_watches_sees_no_secret_that_a_client_put_into_a_name(
    upstream: FakeUpstream, tmp_path: pathlib.Path
) -> None:
    async with managed(tmp_path / "home", setup(upstream)) as mux:
        async with mux.client.get("/v0/management/requests/live") as live:
            await live.content.readuntil(b"\n\n")
            named = {"X-Request-ID": "sk-planted-secret-in-an-id-1"}
            body = CHAT | {"model": "sk-planted-secret-in-a-model-1"}
            async with mux.bare.post("/v1/chat/completions", json=body, headers=named) as answer:
                assert answer.status == 404
            seen = b""
            async with asyncio.timeout(10):
                while b"exchange.done" not in seen:
                    seen += await live.content.readany()
        assert b"planted" not in seen
        assert seen.count(b"***") >= 2
