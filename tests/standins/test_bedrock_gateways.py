"""Clients of the two gateways to Bedrock (documents 000 and 002), unchanged."""

from __future__ import annotations

import pathlib

import httpx
import pytest

from llm_mux.wire import eventstream
from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, Reply, json_reply
from tests.standins.scripted import HAIKU, HELLO, SONNET, Mux

meets = pytest.mark.stands_in
CHAT = "/v1/chat/completions"
STREAM = (
    eventstream.event("messageStart", b'{"role":"assistant"}'),
    eventstream.event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"Hello!"}}'),
    eventstream.event("messageStop", b'{"stopReason":"end_turn"}'),
    eventstream.event("metadata", b'{"usage":{"inputTokens":5,"outputTokens":10,"totalTokens":15}}'),
)


@meets("000-no-auth", "000-health")
async def test_health_says_that_aws_is_connected(bedrock: Mux) -> None:
    body = (await bedrock.get("/health")).json()
    assert (body["status"], body["aws"]) == ("healthy", "connected")


@meets("000-models", "002-models")
async def test_models_are_listed_as_openai_lists_them_and_say_their_provider(bedrock: Mux) -> None:
    body = (await bedrock.get("/v1/models")).json()
    assert body["object"] == "list"
    model = next(one for one in body["data"] if one["id"] == SONNET)
    assert model["object"] == "model"
    assert isinstance(model["created"], int)
    assert model["owned_by"]
    assert model["provider"] == "bedrock"
    assert "capabilities" in model


@meets("000-chat", "000-usage", "000-names", "002-compatible", "002-header-model", "002-header-tokens")
async def test_a_completion_is_whole_and_its_headers_say_who_answered(bedrock: Mux) -> None:
    body = {"model": "claude-sonnet-4.5", "messages": HELLO, "temperature": 1.0, "max_tokens": 4096, "stream": False}
    answer = await bedrock.post(CHAT, body, Authorization="Bearer any")
    found = answer.json()
    assert found["id"].startswith("chatcmpl-")
    assert found["object"] == "chat.completion"
    assert isinstance(found["created"], int)
    assert found["model"] == "claude-sonnet-4.5"
    assert found["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello! How can I help you?", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ]
    usage = found["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (5, 10, 15)
    assert answer.headers["X-Bedrock-Model"] == SONNET
    assert (answer.headers["X-Token-Usage-Input"], answer.headers["X-Token-Usage-Output"]) == ("5", "10")
    assert bedrock.upstream.last.json()["inferenceConfig"] == {"maxTokens": 4096, "temperature": 1.0}


@meets("000-names", "000-ids")
@pytest.mark.parametrize(
    ("asked", "reached"),
    [("claude-haiku-4.5", HAIKU), (SONNET, SONNET), ("amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0")],
)
async def test_short_names_and_full_ids_both_reach_their_model(bedrock: Mux, asked: str, reached: str) -> None:
    answer = await bedrock.post(CHAT, {"model": asked, "messages": HELLO})
    assert answer.headers["X-Bedrock-Model"] == reached


@meets("000-stream", "002-chat", "002-long")
async def test_a_stream_is_chunks_and_an_end_mark_and_has_no_time_limit(bedrock: Mux) -> None:
    bedrock.upstream.on("*", Reply(body=STREAM, content_type=eventstream.MEDIA_TYPE))
    answer = await bedrock.post(CHAT, {"model": "claude-sonnet-4.5", "messages": HELLO, "stream": True})
    assert answer.records[-1] == "[DONE]"
    assert '"object":"chat.completion.chunk"' in answer.records[0]
    assert "Hello!" in answer.text


@meets("000-errors", "002-errors")
@pytest.mark.parametrize(
    ("upstream", "status", "code"),
    [
        (
            Reply(b'{"message":"temperature is wrong"}', 400, {"x-amzn-ErrorType": "ValidationException"}),
            400,
            "ValidationException",
        ),
        (
            Reply(b'{"message":"broken"}', 500, {"x-amzn-ErrorType": "InternalServerException"}),
            502,
            "InternalServerException",
        ),
    ],
)
async def test_errors_have_a_detail_and_awss_own_code(bedrock: Mux, upstream: Reply, status: int, code: str) -> None:
    bedrock.upstream.on("*", upstream)
    answer = await bedrock.post(CHAT, {"model": SONNET, "messages": HELLO})
    assert answer.status == status
    body = answer.json()
    assert body["detail"] == body["error"]["message"]
    assert body["error"]["code"] == code


@meets("000-errors")
async def test_a_request_that_cannot_be_read_is_a_400_with_a_detail(bedrock: Mux) -> None:
    answer = await bedrock.post(CHAT, {"messages": HELLO})
    assert answer.status == 400
    assert "model" in answer.json()["detail"]


@meets("000-python")
async def test_the_example_in_python(bedrock: Mux) -> None:
    async with httpx.AsyncClient() as client:
        body = {"model": "claude-sonnet-4.5", "messages": [{"role": "user", "content": "Hello!"}]}
        found = (await client.post(f"{bedrock.url}{CHAT}", json=body)).json()
    assert found["choices"][0]["message"]["content"] == "Hello! How can I help you?"


@meets("000-curl", "000-javascript")
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
async def test_the_examples_with_curl_and_fetch(bedrock: Mux, content_type: str) -> None:
    answer = await bedrock.post(CHAT, {"model": "claude-sonnet-4.5", "messages": HELLO}, Content_Type=content_type)
    assert answer.status == 200


@meets("002-chat")
async def test_tools_reach_bedrock_and_its_calls_come_back(bedrock: Mux) -> None:
    call = {"toolUse": {"toolUseId": "t1", "name": "now", "input": {"zone": "UTC"}}}
    bedrock.upstream.on(
        "*", json_reply({"output": {"message": {"role": "assistant", "content": [call]}}, "stopReason": "tool_use"})
    )
    tool = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
    answer = await bedrock.post(CHAT, {"model": SONNET, "messages": HELLO, "tools": [tool]})
    choice = answer.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "now", "arguments": '{"zone":"UTC"}'}


@meets("002-bedrock-model", "002-model-provider")
@pytest.mark.parametrize(
    ("more", "reached"),
    [
        ({"bedrock_model": HAIKU}, HAIKU),
        ({"model": "claude-haiku-4.5", "model_provider": "anthropic"}, HAIKU),
        ({"model": "nova-pro", "model_provider": "amazon"}, "amazon.nova-pro-v1:0"),
    ],
)
async def test_requests_direct_themselves(bedrock: Mux, more: dict[str, str], reached: str) -> None:
    answer = await bedrock.post(CHAT, {"model": "gpt-4", "messages": HELLO, **more})
    assert answer.headers["X-Bedrock-Model"] == reached


@meets("002-completions")
async def test_legacy_completions_are_answered_by_chat_models(bedrock: Mux) -> None:
    answer = await bedrock.post("/v1/completions", {"model": SONNET, "prompt": "Say hello."})
    body = answer.json()
    assert body["object"] == "text_completion"
    assert body["choices"][0]["text"] == "Hello! How can I help you?"


@meets("002-header-request")
async def test_a_request_keeps_its_name(bedrock: Mux) -> None:
    assert (await bedrock.get("/health", X_Request_ID="mine-1")).headers["X-Request-ID"] == "mine-1"
    assert (await bedrock.post(CHAT, {"model": SONNET, "messages": HELLO})).headers["X-Request-ID"]


@meets("002-providers", "002-mappings", "002-usage")
async def test_metadata_says_who_what_and_how_much(bedrock: Mux) -> None:
    await bedrock.post(CHAT, {"model": "claude-sonnet-4.5", "messages": HELLO})
    providers = (await bedrock.get("/v1/providers")).json()["data"]
    assert [(one["id"], one["object"]) for one in providers] == [("bedrock", "provider")]
    mappings = (await bedrock.get("/v1/mappings")).json()
    assert mappings["object"] == "list"
    usage = (await bedrock.get("/v1/usage")).json()
    assert usage["object"] == "usage"


@meets("002-auth", "002-rate-limits")
async def test_tenants_have_keys_and_limits_of_their_own(tmp_path: pathlib.Path, session: object) -> None:
    async with FakeUpstream().on(
        "*", json_reply({"output": {"message": {"content": [{"text": "x"}]}}, "stopReason": "end_turn"})
    ) as upstream:
        entry = {"type": "bedrock", "base-url": upstream.url, "api-key": "aws", "models": [SONNET]}
        config = {"providers": [entry], "api-keys": ["tenant-a", "tenant-b"], "rate-limits": {"requests-per-minute": 1}}
        async with daemon(tmp_path, config) as running, httpx.AsyncClient(base_url=running.url) as client:
            body = {"model": SONNET, "messages": HELLO}
            statuses = []
            for key in ("tenant-a", "tenant-a", "tenant-b", "nobody"):
                answer = await client.post(CHAT, json=body, headers={"Authorization": f"Bearer {key}"})
                statuses.append(answer.status_code)
                if answer.status_code == 429:
                    assert int(answer.headers["Retry-After"]) > 0
                    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert statuses == [200, 429, 200, 401]
