"""What the protocols' clients expect beside the model calls: probes, model lists, ids, websockets, stored responses."""

import json

import aiohttp
import pytest

from tests.server.conftest import Run

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.covers("PF-55")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/", 200),
        ("GET", "/", 200),
        ("HEAD", "/api/hello", 200),
        ("GET", "/api/hello", 200),
        ("POST", "/api/event_logging/batch", 200),
        ("GET", "/health", 200),
        ("GET", "/healthz", 200),
        ("GET", "/ready", 200),
        ("GET", "/metrics", 200),
        ("GET", "/api/version", 200),
        ("GET", "/api/ps", 200),
    ],
)
async def test_probes_are_answered(demo: Run, method: str, path: str, status: int) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.request(method, mux.url + path) as answer:
            assert answer.status == status


@pytest.mark.covers("PF-55")
async def test_the_query_of_a_route_does_not_matter(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + "/v1/messages?beta=true", json={**CHAT, "max_tokens": 9}) as answer:
            assert answer.status == 200


@pytest.mark.covers("RC-2", "FB-142")
async def test_the_model_list_has_the_shape_of_the_client_that_asks(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:

        async def get(path: str, **headers: str) -> dict[str, object]:
            async with client.get(
                mux.url + path, headers={k.replace("_", "-"): v for k, v in headers.items()}
            ) as answer:
                assert answer.status == 200
                found: dict[str, object] = await answer.json()
                return found

        openai = await get("/v1/models")
        assert openai["object"] == "list"
        anthropic = await get("/v1/models?limit=1000", anthropic_version="2023-06-01")
        assert set(anthropic) == {"data", "has_more", "first_id", "last_id"}
        assert anthropic["data"][0]["created_at"].endswith("Z")  # type: ignore[index]
        for path, headers in (("/v1/models", {"x_goog_api_key": "k"}), ("/v1beta/models", {})):
            gemini = await get(path, **headers)
            assert gemini["models"][0]["name"] == "models/demo"  # type: ignore[index]
        ollama = await get("/api/tags")
        assert ollama["models"][0]["model"] == "demo"  # type: ignore[index]
        assert isinstance(await get("/v1/models?format=list"), list)
        one = await get("/v1/models/demo")
        assert one["id"] == "demo"
        assert (await get("/v1beta/models/demo"))["name"] == "models/demo"


async def test_pages_of_the_model_list_follow_each_other(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        seen: list[str] = []
        query = "?limit=3&format=anthropic"
        while True:
            async with client.get(f"{mux.url}/v1/models{query}") as answer:
                page = await answer.json()
            seen += [item["id"] for item in page["data"]]
            if not page["has_more"]:
                break
            query = f"?limit=3&format=anthropic&after_id={page['last_id']}"
        assert len(seen) == len(set(seen)) >= 7
        async with client.get(f"{mux.url}/v1beta/models?pageSize=4") as answer:
            first = await answer.json()
        async with client.get(f"{mux.url}/v1beta/models?pageSize=4&pageToken={first['nextPageToken']}") as answer:
            second = await answer.json()
        assert not {m["name"] for m in first["models"]} & {m["name"] for m in second["models"]}


async def test_a_request_id_is_taken_over_or_made(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(
            mux.url + "/v1/chat/completions", json=CHAT, headers={"X-Request-ID": "mine-1"}
        ) as answer:
            assert answer.headers["X-Request-ID"] == "mine-1"
        async with client.post(
            mux.url + "/v1/chat/completions", json=CHAT, headers={"X-Request-ID": "x" * 200}
        ) as answer:
            assert answer.headers["X-Request-ID"].startswith("req_")
        async with client.get(mux.url + "/v1/models") as answer:
            assert answer.headers["X-Request-ID"]


async def test_the_answer_says_who_gave_it_and_what_it_cost(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + "/v1/chat/completions", json=CHAT) as answer:
            headers = answer.headers
        assert (headers["x-llm-mux-provider"], headers["x-llm-mux-account"]) == ("demo", "demo")
        assert (headers["x-llm-mux-model"], headers["x-llm-mux-attempts"]) == ("demo", "1")
        assert int(headers["X-Token-Usage-Input"]) > 0
        assert int(headers["X-Token-Usage-Output"]) > 0


async def test_the_stream_route_streams_without_being_told(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + "/v1/chat/completions/stream", json=CHAT) as answer:
            assert answer.content_type == "text/event-stream"
            assert (await answer.text()).endswith("data: [DONE]\n\n")


@pytest.mark.covers("PF-13", "FB-3B")
async def test_ollama_streams_by_default(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + "/api/chat", data=json.dumps(CHAT)) as answer:
            assert answer.content_type == "application/x-ndjson"
            lines = [json.loads(line) for line in (await answer.text()).splitlines()]
        assert [line["done"] for line in lines].count(True) == 1
        assert lines[-1]["done_reason"] == "stop"


@pytest.mark.covers("PF-12")
async def test_gemini_streams_an_array_unless_sse_is_asked_for(demo: Run) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    async with demo() as mux, aiohttp.ClientSession() as client:
        path = mux.url + "/v1beta/models/demo:streamGenerateContent"
        async with client.post(path, json=body) as answer:
            assert answer.content_type == "application/json"
            chunks = await answer.json()
        text = "".join(p["text"] for c in chunks for p in c["candidates"][0]["content"].get("parts", []))
        assert text == "You said: hi"


@pytest.mark.covers("PF-110", "RC-3", "PF-109")
@pytest.mark.parametrize("prefix", ["/v1", "/v1beta", "/v1beta1", "/v1beta1/projects/p/locations/l/publishers/google"])
async def test_gemini_lives_under_every_version(demo: Run, prefix: str) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(f"{mux.url}{prefix}/models/demo:generateContent", json=body) as answer:
            assert answer.status == 200, await answer.text()


@pytest.mark.covers("RC-1")
async def test_a_plain_get_on_responses_is_a_426(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client, client.get(mux.url + "/v1/responses") as answer:
        assert answer.status == 426


@pytest.mark.covers("RC-1", "FB-143")
async def test_a_websocket_warms_up_and_continues_with_only_new_items(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.ws_connect(mux.url + "/v1/responses") as socket:

            async def ask(**fields: object) -> list[dict[str, object]]:
                await socket.send_json({"type": "response.create", "model": "demo", "store": False, **fields})
                events: list[dict[str, object]] = []
                while not events or events[-1]["type"] not in ("response.completed", "response.failed", "error"):
                    events.append(await socket.receive_json(timeout=5))
                return events

            warm = await ask(generate=False, input=[{"role": "user", "content": "remember me"}])
            assert [event["type"] for event in warm] == ["response.created", "response.completed"]
            first = await ask(previous_response_id=warm[-1]["response"]["id"], input="one")  # type: ignore[index]
            assert first[-1]["type"] == "response.completed", first[-1]
            assert [event["sequence_number"] for event in first] == list(range(len(first)))
            again = await ask(previous_response_id=first[-1]["response"]["id"], input="two")  # type: ignore[index]
            assert again[-1]["type"] == "response.completed"
            lost = await ask(previous_response_id="resp_nobody", input="x")
            assert lost[-1]["error"]["code"] == "previous_response_not_found"  # type: ignore[index]
            await socket.send_str("not json")
            assert (await socket.receive_json())["type"] == "error"


@pytest.mark.covers("PF-92")
async def test_a_stored_response_is_continued_shown_and_deleted(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        url = mux.url + "/v1/responses"
        async with client.post(url, json={"model": "demo", "input": "my name is Ada"}) as answer:
            first = await answer.json()
        body = {"model": "demo", "input": "go on", "previous_response_id": first["id"], "stream": True}
        async with client.post(url, json=body) as answer:
            assert answer.status == 200, await answer.text()
            last = json.loads((await answer.text()).strip().rsplit("data: ", 1)[1])["response"]
        assert last["usage"]["input_tokens"] > first["usage"]["input_tokens"], "the earlier turns went along"
        async with client.get(f"{url}/{last['id']}") as answer:
            assert (await answer.json())["id"] == last["id"]
        async with client.get(f"{url}/{first['id']}/input_items") as answer:
            items = await answer.json()
            assert items["data"][0]["content"] == [{"type": "input_text", "text": "my name is Ada"}]
        async with client.delete(f"{url}/{first['id']}") as answer:
            assert (await answer.json())["deleted"] is True
        async with client.get(f"{url}/{first['id']}") as answer:
            assert answer.status == 404
        async with client.post(
            url, json={"model": "demo", "input": "x", "previous_response_id": first["id"]}
        ) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["code"] == "previous_response_not_found"
        async with client.post(url, json={"model": "demo", "input": "x", "store": False}) as answer:
            unkept = await answer.json()
        async with client.get(f"{url}/{unkept['id']}") as answer:
            assert answer.status == 404


async def test_a_conversation_is_compacted_and_goes_on(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        body = {"model": "demo", "input": [{"role": "user", "content": "a long story"}]}
        async with client.post(mux.url + "/v1/responses/compact", json=body) as answer:
            assert answer.status == 200, await answer.text()
            compacted = await answer.json()
        assert compacted["object"] == "response.compaction"
        assert compacted["output"][-1]["type"] == "compaction"
        more = {"model": "demo", "input": [*compacted["output"], {"role": "user", "content": "and then?"}]}
        async with client.post(mux.url + "/v1/responses", json=more) as answer:
            assert answer.status == 200, await answer.text()


@pytest.mark.covers("FB-140")
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        pytest.param("/v1/messages/count_tokens", CHAT, "input_tokens", id="anthropic"),
        pytest.param("/v1/responses/input_tokens", {"model": "demo", "input": "hi"}, "input_tokens", id="responses"),
        pytest.param(
            "/v1beta/models/demo:countTokens", {"contents": [{"parts": [{"text": "hi"}]}]}, "totalTokens", id="gemini"
        ),
    ],
)
async def test_tokens_are_counted_over_everything_and_said_to_be_an_estimate(
    demo: Run, path: str, body: dict[str, object], field: str
) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + path, json=body) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["x-llm-mux-count"] == "estimate"
            assert (await answer.json())[field] > 0


@pytest.mark.parametrize("model", ["demo-429", "demo-500"])
async def test_the_demo_fails_on_request(demo: Run, model: str) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        async with client.post(mux.url + "/v1/chat/completions", json={**CHAT, "model": model}) as answer:
            assert answer.status == (429 if model == "demo-429" else 502)


async def test_the_demo_never_appears_without_being_asked_for(tmp_path: object) -> None:
    from pathlib import Path

    from tests.daemon import daemon

    async with daemon(Path(str(tmp_path)), {}) as mux, aiohttp.ClientSession() as client:
        async with client.get(mux.url + "/v1/models") as answer:
            assert (await answer.json())["data"] == []
        async with client.post(mux.url + "/v1/chat/completions", json=CHAT) as answer:
            assert answer.status == 503
            assert "llm-mux login" in (await answer.json())["error"]["message"]


async def test_every_exchange_is_counted_in_the_metrics(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession() as client:
        for _ in range(3):
            async with client.post(mux.url + "/v1/chat/completions", json=CHAT):
                pass
        async with client.get(mux.url + "/metrics") as answer:
            page = await answer.text()
        assert 'llm_requests_total{model="demo",status="success"} 3.0' in page
