"""Responses that run in the background: they go on when their client is gone, and are shown, followed and ended."""

import asyncio
import contextlib
import json
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from llm_mux.gateway.background import Bounds
from llm_mux.ledger.schema import exchanges
from llm_mux.server.serving import DAEMON
from tests.daemon import Daemon, daemon
from tests.fake_upstream import FakeUpstream, Reply, Step, Wait, json_reply, sse_reply

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
PATHS = {"openai_chat": CHAT, "openai_responses": RESPONSES}


def _chunk(text: str | None, finish: str | None = None) -> bytes:
    delta = {"role": "assistant", "content": text} if text is not None else {}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(body).encode()


def _record(type_: str, number: int, **fields: object) -> bytes:
    body = json.dumps({"type": type_, "sequence_number": number, **fields}).encode()
    return b"event: %b\ndata: %b\n\n" % (type_.encode(), body)


MESSAGE: dict[str, Any] = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello there", "annotations": []}],
}
OBJECT: dict[str, Any] = {
    "id": "resp_theirs",
    "object": "response",
    "created_at": 5,
    "status": "in_progress",
    "background": False,
    "model": "m",
    "output": [],
    "previous_response_id": None,
}
PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}


def steps(format_: str, gate: asyncio.Event) -> list[Step]:
    """A stream that says `Hello`, waits, and ends with ` there`."""
    if format_ == "openai_chat":
        return [_chunk("Hello"), Wait(gate), _chunk(" there"), _chunk(None, "stop"), b"data: [DONE]\n\n"]
    done = {**OBJECT, "status": "completed", "output": [MESSAGE]}
    return [
        _record("response.created", 0, response=OBJECT),
        _record("response.in_progress", 1, response=OBJECT),
        _record("response.output_item.added", 2, output_index=0, item={**MESSAGE, "content": []}),
        _record("response.content_part.added", 3, **PLACE, part={**MESSAGE["content"][0], "text": ""}),
        _record("response.output_text.delta", 4, **PLACE, delta="Hello"),
        Wait(gate),
        _record("response.output_text.delta", 5, **PLACE, delta=" there"),
        _record("response.output_text.done", 6, **PLACE, text="Hello there"),
        _record("response.content_part.done", 7, **PLACE, part=MESSAGE["content"][0]),
        _record("response.output_item.done", 8, output_index=0, item=MESSAGE),
        _record("response.completed", 9, response=done),
    ]


class Client:
    """A client of one daemon in front of one upstream."""

    def __init__(self, mux: Daemon, upstream: FakeUpstream, session: aiohttp.ClientSession, path: str) -> None:
        self.mux = mux
        self.upstream = upstream
        self.session = session
        self.path = path
        self.url = f"{mux.url}/v1/responses"

    @property
    def background(self) -> Any:
        return self.mux.app[DAEMON].parts.background

    async def asked(self) -> None:
        await self.upstream.asked(self.path)

    async def create(self, status: int = 200, **fields: object) -> Any:
        body = {"model": "m", "input": "hi", "background": True, **fields}
        async with self.session.post(self.url, json=body) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def get(self, id_: str, status: int = 200) -> Any:
        async with self.session.get(f"{self.url}/{id_}") as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def cancel(self, id_: str, status: int = 200) -> Any:
        async with self.session.post(f"{self.url}/{id_}/cancel") as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def follow(self, id_: str, after: int | None = None) -> list[dict[str, Any]]:
        """All events to the last one."""
        query = "?stream=true" + ("" if after is None else f"&starting_after={after}")
        async with self.session.get(f"{self.url}/{id_}{query}") as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "text/event-stream"
            return events(await answer.text())


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


@contextlib.asynccontextmanager
async def behind(
    home: pathlib.Path, *replies: Reply, format_: str = "openai_chat", **config: object
) -> AsyncIterator[Client]:
    kinds = {"openai_chat": "openai-compatible", "openai_responses": "openai"}
    async with FakeUpstream() as upstream:
        upstream.on(PATHS[format_], *replies)
        provider = {"type": kinds[format_], "id": "lab", "base-url": f"{upstream.url}/v1", "api-key": "k"}
        made = {"providers": [{**provider, "models": ["m"]}], "request-retry": 0, **config}
        async with daemon(home, made) as mux, aiohttp.ClientSession() as session:
            yield Client(mux, upstream, session, PATHS[format_])


@pytest.mark.parametrize("format_", PATHS)
async def test_a_background_response_runs_on_and_is_there_when_somebody_asks(
    tmp_path: pathlib.Path, format_: str
) -> None:
    gate = asyncio.Event()
    async with behind(tmp_path, sse_reply(*steps(format_, gate)), format_=format_) as client:
        made = await client.create(metadata={"a": "b"})
        assert (made["status"], made["background"], made["output"]) == ("queued", True, [])
        await client.asked()
        sent = client.upstream.last.json()
        assert (sent["stream"], "background" in sent) == (True, False), "the provider is asked as usual"
        async with client.session.get(f"{client.url}/{made['id']}?stream=true") as following:
            while b'"Hello"' not in await following.content.readline():
                pass
            now = await client.get(made["id"])
            assert (now["id"], now["status"], now["background"]) == (made["id"], "in_progress", True)
        async with client.session.get(f"{client.url}/{made['id']}/input_items") as answer:
            assert (await answer.json())["data"][0]["content"][0]["text"] == "hi"
        gate.set()
        last = (await client.follow(made["id"]))[-1]
        assert last["type"] == "response.completed"
        done = await client.get(made["id"])
        assert done == last["response"]
        assert (done["id"], done["status"], done["background"]) == (made["id"], "completed", True)
        assert done["output"][0]["content"][0]["text"] == "Hello there"
        assert client.mux.app[DAEMON].parts.drain.__len__() == 0


@pytest.mark.parametrize("format_", PATHS)
async def test_a_stream_that_broke_goes_on_where_it_was(tmp_path: pathlib.Path, format_: str) -> None:
    gate = asyncio.Event()
    async with behind(tmp_path, sse_reply(*steps(format_, gate)), format_=format_) as client:
        body = {"model": "m", "input": "hi", "background": True, "stream": True}
        async with client.session.post(client.url, json=body) as answer:
            head = ""
            while '"Hello"' not in head:
                head += (await answer.content.readline()).decode()
            answer.close()
        seen = events(head)
        assert [event["type"] for event in seen[:3]] == [
            "response.created",
            "response.queued",
            "response.in_progress",
        ]
        assert [event["response"]["status"] for event in seen[:3]] == ["queued", "queued", "in_progress"]
        made = seen[0]["response"]
        gate.set()
        rest = await client.follow(made["id"], after=seen[-1]["sequence_number"])
        numbers = [event["sequence_number"] for event in [*seen, *rest]]
        assert numbers == list(range(len(numbers)))
        whole = await client.follow(made["id"])
        assert whole == [*seen, *rest], "what is told once is told again as it was"
        assert "".join(event["delta"] for event in whole if event["type"].endswith("text.delta")) == "Hello there"
        assert {event["response"]["id"] for event in whole if "response" in event} == {made["id"]}
        assert [event["type"] for event in whole].count("response.in_progress") == 1


async def test_a_cancelled_response_closes_the_provider_and_keeps_what_it_had(tmp_path: pathlib.Path) -> None:
    async with behind(
        tmp_path, sse_reply(*steps("openai_responses", asyncio.Event())), format_="openai_responses"
    ) as c:
        made = await c.create()
        await c.asked()
        following = asyncio.create_task(c.follow(made["id"]))
        ended = await c.cancel(made["id"])
        assert (ended["id"], ended["status"]) == (made["id"], "cancelled")
        await asyncio.wait_for(c.upstream.closed.wait(), 5)
        last = (await following)[-1]
        assert (last["type"], last["response"]["status"]) == ("response.incomplete", "cancelled")
        assert await c.get(made["id"]) == ended
        assert await c.cancel(made["id"]) == ended, "twice is as good as once"


async def test_only_background_responses_are_cancelled_and_streamed_again(tmp_path: pathlib.Path) -> None:
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    async with behind(tmp_path, json_reply({**whole, "choices": [choice]})) as client:
        made = await client.create(background=False)
        assert "background=true" in (await client.cancel(made["id"], 400))["error"]["message"]
        await client.cancel("resp_nobody", 404)
        async with client.session.get(f"{client.url}/{made['id']}?stream=true") as answer:
            assert answer.status == 400


async def test_a_deleted_response_ends_and_is_gone(tmp_path: pathlib.Path) -> None:
    async with behind(tmp_path, sse_reply(*steps("openai_chat", asyncio.Event()))) as client:
        made = await client.create()
        await client.asked()
        async with client.session.delete(f"{client.url}/{made['id']}") as answer:
            assert (await answer.json())["deleted"] is True
        await asyncio.wait_for(client.upstream.closed.wait(), 5)
        await client.get(made["id"], 404)


FAILURES = [
    pytest.param(json_reply({"error": {"message": "broken", "type": "server_error"}}, 500), "server_error", id="500"),
    pytest.param(json_reply({"error": {"message": "slow down"}}, 429), "rate_limit_exceeded", id="429"),
    pytest.param(json_reply({"error": {"message": "no such field", "type": "x"}}, 400), "invalid_prompt", id="400"),
    pytest.param(sse_reply(_chunk("Hel")), "server_error", id="cut"),
]


@pytest.mark.parametrize(("reply", "code"), FAILURES)
async def test_what_fails_later_is_a_failed_response(tmp_path: pathlib.Path, reply: Reply, code: str) -> None:
    async with behind(tmp_path, reply) as client:
        made = await client.create()
        last = (await client.follow(made["id"]))[-1]
        assert last["type"] == "response.failed"
        failed = await client.get(made["id"])
        assert failed == last["response"]
        assert (failed["status"], failed["error"]["code"]) == ("failed", code)
        assert failed["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "config", "status"),
    [
        ({"store": False}, {}, 400),
        ({}, {"store-responses": False}, 400),
        ({"model": "nobody-has-it"}, {}, 404),
        ({"input": 7}, {}, 400),
        ({"previous_response_id": "resp_nobody"}, {}, 400),
    ],
    ids=["not stored", "nothing is stored", "unknown model", "no input", "unknown response"],
)
async def test_what_cannot_run_is_refused_at_once(
    tmp_path: pathlib.Path, fields: dict[str, object], config: dict[str, object], status: int
) -> None:
    async with behind(tmp_path, json_reply({}), **config) as client:
        assert (await client.create(status, **fields))["error"]["message"]
        assert client.upstream.seen(CHAT) == []


async def test_nothing_goes_on_from_a_response_that_is_not_finished(tmp_path: pathlib.Path) -> None:
    gate = asyncio.Event()
    async with behind(tmp_path, sse_reply(*steps("openai_chat", gate))) as client:
        made = await client.create()
        refused = await client.create(400, previous_response_id=made["id"], background=False)
        assert "not finished" in refused["error"]["message"]
        gate.set()
        await client.follow(made["id"])
        more = await client.create(previous_response_id=made["id"], input="and?")
        assert (await client.follow(more["id"]))[-1]["response"]["previous_response_id"] == made["id"]
        said = [message["content"] for message in client.upstream.last.json()["messages"]]
        assert said == ["hi", "Hello there", "and?"]


async def test_a_background_response_holds_its_limits_and_stands_in_the_books_at_its_end(
    tmp_path: pathlib.Path,
) -> None:
    gate = asyncio.Event()
    limits = {"rate-limits": {"concurrent": 1}}
    async with behind(tmp_path, sse_reply(*steps("openai_chat", gate)), **limits) as client:
        made = await client.create()
        await client.asked()
        assert (await client.create(429))["error"]["code"] == "rate_limit_exceeded"
        gate.set()
        await client.follow(made["id"])
        again = await client.create()
        assert (await client.follow(again["id"]))[-1]["type"] == "response.completed"
        parts = client.mux.app[DAEMON].parts
        await parts.writer.close()
        async with parts.database.read() as connection:
            found = (await connection.execute(select(exchanges).order_by(exchanges.c.id))).all()
        assert [(row.status, row.provider) for row in found] == [(429, None), (200, "lab"), (200, "lab")]


async def test_they_are_bounded_in_number_and_in_time(tmp_path: pathlib.Path) -> None:
    async with behind(tmp_path, sse_reply(*steps("openai_chat", asyncio.Event()))) as client:
        client.background.bounds = Bounds(most=1, longest_s=0.2)
        made = await client.create()
        assert (await client.create(429))["error"]["code"] == "rate_limit_exceeded"
        last = (await client.follow(made["id"]))[-1]
        assert last["type"] == "response.failed"
        assert "minutes" in last["response"]["error"]["message"]
        await asyncio.wait_for(client.upstream.closed.wait(), 5)


async def test_events_that_are_no_longer_kept_are_not_made_up(tmp_path: pathlib.Path) -> None:
    gate = asyncio.Event()
    async with behind(tmp_path, sse_reply(*steps("openai_chat", gate))) as client:
        client.background.bounds = Bounds(most_bytes=1500, kept_s=0.01)
        gate.set()
        made = await client.create()
        running = client.background.get("local", made["id"])
        await running.task
        async with client.session.get(f"{client.url}/{made['id']}?stream=true") as answer:
            assert answer.status == 400
            assert "no longer kept" in await answer.text() or "ten minutes" in await answer.text()
        assert (await client.get(made["id"]))["status"] == "completed"


async def test_a_stop_lets_it_finish_and_says_so_when_it_did_not(tmp_path: pathlib.Path) -> None:
    replies = sse_reply(*steps("openai_chat", asyncio.Event()))
    async with behind(tmp_path, replies) as client:
        made = await client.create()
        await client.asked()
        client.mux.app[DAEMON].parts.drain.end()
        running = client.background.get("local", made["id"])
        await running.task
    async with behind(tmp_path, replies) as client:
        failed = await client.get(made["id"])
        assert failed["status"] == "failed"
        assert "stopped" in failed["error"]["message"]


async def test_one_that_a_killed_daemon_left_behind_is_said_to_have_failed(tmp_path: pathlib.Path) -> None:
    left = {"id": "resp_left", "object": "response", "status": "in_progress", "background": True, "output": []}
    async with behind(tmp_path, json_reply({})) as client:
        table = client.mux.app[DAEMON].parts.responses
        body = json.dumps(left).encode()
        table.put("local", "resp_left", model="m", body=body, items=b"[]", previous_id=None, now=time.time())
    async with behind(tmp_path, json_reply({})) as client:
        failed = await client.get("resp_left")
        assert failed["status"] == "failed"
        assert "llm-mux was stopped" in failed["error"]["message"]
        assert await client.cancel("resp_left") == failed


async def test_nobody_sees_anothers_background_response(tmp_path: pathlib.Path) -> None:
    gate = asyncio.Event()
    keys = {"api-keys": ["one-key-of-a-client", "another-key-of-a-client"]}
    async with behind(tmp_path, sse_reply(*steps("openai_chat", gate)), **keys) as client:
        client.session.headers["Authorization"] = "Bearer one-key-of-a-client"
        made = await client.create()
        stranger = {"Authorization": "Bearer another-key-of-a-client"}
        for method, path in (("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("DELETE", "")):
            url = f"{client.url}/{made['id']}{path}"
            async with client.session.request(method, url, headers=stranger) as answer:
                assert answer.status == 404, (method, path)
        gate.set()
        assert (await client.follow(made["id"]))[-1]["type"] == "response.completed"
