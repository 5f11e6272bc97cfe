"""The scripted model: what `serve --demo` can be asked to do, through the whole daemon."""

import base64
import json
import struct
from typing import Any

import aiohttp
import pytest

from tests.server.conftest import Run

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 40, 30)).decode()
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": CITY}}


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


async def chat(mux_url: str, content: Any, **more: Any) -> dict[str, Any]:
    body = {"model": "demo", "messages": user(content), **more}
    async with aiohttp.ClientSession() as client, client.post(f"{mux_url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = (await answer.json())["choices"][0]
        return found


async def test_it_echoes(demo: Run) -> None:
    async with demo() as mux:
        choice = await chat(mux.url, "good day")
    assert choice["message"]["content"] == "You said: good day"


async def test_it_calls_the_tools_that_are_named_several_at_once_and_reads_their_results(demo: Run) -> None:
    async with demo() as mux:
        asked = 'weather {"city": "Oslo"} and clock {"city": "Rome"}'
        choice = await chat(mux.url, asked, tools=[WEATHER, CLOCK])
        calls = choice["message"]["tool_calls"]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": f"{n} o'clock"} for n, call in enumerate(calls)
        ]
        history = [*user(asked), {"role": "assistant", "tool_calls": calls}, *results]
        after = await chat(mux.url, asked, tools=[WEATHER, CLOCK], messages=history)
        one = await chat(mux.url, asked, tools=[WEATHER, CLOCK], parallel_tool_calls=False)
    assert choice["finish_reason"] == "tool_calls"
    assert [call["function"]["name"] for call in calls] == ["weather", "clock"]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert after["message"]["content"] == "weather answered: 0 o'clock\n\nclock answered: 1 o'clock"
    assert len(one["message"]["tool_calls"]) == 1


async def test_a_forced_tool_is_called_with_arguments_that_follow_its_schema(demo: Run) -> None:
    async with demo() as mux:
        forced = {"type": "function", "function": {"name": "clock"}}
        choice = await chat(mux.url, "hello", tools=[WEATHER, CLOCK], tool_choice=forced)
    (call,) = choice["message"]["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("clock", {"city": "hello"})


async def test_it_follows_a_json_schema(demo: Run) -> None:
    fields = {"name": {"type": "string"}, "size": {"enum": ["S", "M"]}, "tags": {"type": "array", "items": CITY}}
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    wanted = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema}}
    async with demo() as mux:
        choice = await chat(mux.url, "x", response_format=wanted)
    assert json.loads(choice["message"]["content"]) == {"name": "x", "size": "S", "tags": [{"city": "x"}]}


async def test_it_describes_an_image_by_its_size(demo: Run) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    async with demo() as mux:
        choice = await chat(mux.url, [image, {"type": "text", "text": "and?"}])
    assert "an image (image/png) of 40 x 30 pixels" in choice["message"]["content"]


@pytest.mark.parametrize("more", [{"model": "demo-thinking"}, {"model": "demo(high)"}, {"reasoning_effort": "low"}])
async def test_it_thinks_when_it_is_asked_to(demo: Run, more: dict[str, str]) -> None:
    async with demo() as mux:
        choice = await chat(mux.url, "hi", **more)
    assert choice["message"]["reasoning_content"].startswith("The user wrote 2 characters.")


async def test_it_stops_at_the_token_limit(demo: Run) -> None:
    async with demo() as mux:
        choice = await chat(mux.url, "a long story " * 9, max_tokens=4)
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", "You said: a long")


async def test_a_cut_stream_never_ends_cleanly(demo: Run) -> None:
    body = {"model": "demo-cut", "stream": True, "messages": user("hello there")}
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(f"{mux.url}/v1/chat/completions", json=body) as answer:
            text = await answer.text()
    assert '"error"' in text
    assert '"finish_reason":"stop"' not in text


async def test_the_same_text_has_the_same_vector(demo: Run) -> None:
    body = {"model": "demo-embed", "input": ["a", "b", "a"], "dimensions": 5}
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(f"{mux.url}/v1/embeddings", json=body) as answer:
            first, second, third = (each["embedding"] for each in (await answer.json())["data"])
    assert len(first) == 5
    assert first == third != second
