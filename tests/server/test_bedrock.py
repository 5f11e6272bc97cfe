"""Bedrock on both sides of a daemon: AWS's own SDK in front, a scripted host behind, signatures and lists between."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, EventStreamError

from llm_mux.auth.aws import signed
from llm_mux.providers import registry
from llm_mux.providers.placement import placed
from llm_mux.wire import eventstream
from tests.daemon import daemon
from tests.fake_upstream import FakeUpstream, Reply, json_reply

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PATH = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    "metrics": {"latencyMs": 1},
}
ASKED = [{"role": "user", "content": [{"text": "hi"}]}]
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


def event(kind: str, **payload: Any) -> bytes:
    return eventstream.event(kind, json.dumps(payload).encode())


STREAM = (
    event("messageStart", role="assistant"),
    event("contentBlockDelta", contentBlockIndex=0, delta={"text": "Hel"}),
    event("contentBlockDelta", contentBlockIndex=0, delta={"text": "lo."}),
    event("contentBlockStop", contentBlockIndex=0),
    event("messageStop", stopReason="end_turn"),
    event("metadata", usage=ANSWER["usage"], metrics={"latencyMs": 1}),
)


def binary(*steps: bytes) -> Reply:
    return Reply(body=steps, content_type=eventstream.MEDIA_TYPE)


def config(upstream: FakeUpstream, **more: object) -> Mapping[str, Any]:
    entry = {"type": "bedrock", "base-url": upstream.url, "api-key": "bedrock-key", **more}
    return {"request-retry": 0, "providers": [entry]}


def client(url: str, key: str = "any") -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id=key,
        aws_secret_access_key="not checked",
        config=Config(retries={"max_attempts": 0}, read_timeout=20),
    )


async def test_boto3_is_served_whole_by_bytes_that_go_through(tmp_path: pathlib.Path) -> None:
    async with (
        FakeUpstream().on(f"{PATH}/converse", json_reply(ANSWER)) as upstream,
        daemon(tmp_path, config(upstream)) as mux,
    ):
        found = await asyncio.to_thread(client(mux.url).converse, modelId=MODEL, messages=ASKED)
        assert found["output"]["message"]["content"] == [{"text": "Hello."}]
        assert found["ResponseMetadata"]["HTTPHeaders"]["x-bedrock-model"] == MODEL
        assert upstream.last.headers["Authorization"] == "Bearer bedrock-key"
        assert upstream.last.json() == {"messages": ASKED}


async def test_boto3_is_served_a_stream_in_any_cut(tmp_path: pathlib.Path) -> None:
    whole = b"".join(STREAM)
    pieces = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    async with (
        FakeUpstream().on(f"{PATH}/converse-stream", binary(*pieces)) as upstream,
        daemon(tmp_path, config(upstream)) as mux,
    ):
        events = await asyncio.to_thread(
            lambda: list(client(mux.url).converse_stream(modelId=MODEL, messages=ASKED)["stream"])
        )
        texts = [e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e]
        assert "".join(texts) == "Hello."
        assert events[-1]["metadata"]["usage"]["inputTokens"] == 3
        assert upstream.last.headers["Accept"] == eventstream.MEDIA_TYPE


@pytest.mark.parametrize("damage", ["cut", "wrong checksum", "exception"])
async def test_a_damaged_stream_ends_with_the_clients_own_error(tmp_path: pathlib.Path, damage: str) -> None:
    wrong = bytearray(STREAM[2])
    wrong[-1] ^= 1
    ends = {
        "cut": (STREAM[2][:20],),
        "wrong checksum": (bytes(wrong), *STREAM[3:]),
        "exception": (eventstream.exception("throttlingException", b'{"message":"slow down"}'),),
    }
    async with (
        FakeUpstream().on("*", binary(*STREAM[:2], *ends[damage])) as upstream,
        daemon(tmp_path, config(upstream)) as mux,
    ):
        seen: list[str] = []

        def read() -> None:
            with contextlib.closing(client(mux.url)) as aws:
                stream = aws.converse_stream(modelId=MODEL, messages=ASKED)["stream"]
                with contextlib.closing(stream):
                    keep(stream)

        def keep(stream: Any) -> None:
            for one in stream:
                seen.extend(one.get("contentBlockDelta", {}).get("delta", {}).values())

        with pytest.raises(EventStreamError):
            await asyncio.to_thread(read)
        assert seen == ["Hel"]
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{mux.url}/v1/chat/completions", json={**CHAT, "stream": True}) as answer,
        ):
            text = await answer.text()
        assert '"error"' in text
        assert '"finish_reason":"stop"' not in text


async def test_anthropic_clients_reach_claude_by_its_own_body(tmp_path: pathlib.Path) -> None:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "Hello."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    records = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}},
    ]
    chunks = [
        event("chunk", bytes=base64.b64encode(json.dumps(record).encode()).decode(), p="abc") for record in records
    ]
    upstream = (
        FakeUpstream()
        .on(f"{PATH}/invoke", json_reply(message))
        .on(f"{PATH}/invoke-with-response-stream", binary(*chunks))
    )
    body = {
        "model": MODEL,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        "metadata": {"user_id": "u"},
    }
    async with upstream, daemon(tmp_path, config(upstream)) as mux, aiohttp.ClientSession() as session:
        async with session.post(f"{mux.url}/v1/messages", json=body) as answer:
            assert (await answer.json())["content"] == [{"type": "text", "text": "Hello."}]
        sent = upstream.last.json()
        assert sent["anthropic_version"] == "bedrock-2023-05-31"
        assert "model" not in sent
        async with session.post(f"{mux.url}/v1/messages", json={**body, "stream": True}) as answer:
            text = await answer.text()
        assert "event: message_stop" in text
        assert "Hello." in text
        invoke = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": body["messages"]}

        def invoked() -> tuple[dict[str, Any], list[dict[str, Any]]]:
            with contextlib.closing(client(mux.url)) as aws:
                return both(aws)

        def both(aws: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
            whole = json.loads(aws.invoke_model(modelId=MODEL, body=json.dumps(invoke))["body"].read())
            stream = aws.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(invoke))["body"]
            return whole, [json.loads(one["chunk"]["bytes"]) for one in stream]

        whole, streamed = await asyncio.to_thread(invoked)
        assert whole["content"] == [{"type": "text", "text": "Hello."}]
        assert [one["type"] for one in streamed][-1] == "message_stop"


async def test_boto3_reads_failures_by_their_names(tmp_path: pathlib.Path) -> None:
    refused = Reply(b'{"message":"Too many requests"}', 429, {"x-amzn-ErrorType": "ThrottlingException"})
    async with FakeUpstream().on("*", refused) as upstream, daemon(tmp_path, config(upstream, models=[MODEL])) as mux:
        with pytest.raises(ClientError) as failure:
            await asyncio.to_thread(client(mux.url).converse, modelId=MODEL, messages=ASKED)
        assert failure.value.response["Error"] == {"Code": "ThrottlingException", "Message": "Too many requests"}
        assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        with pytest.raises(ClientError) as unknown:
            await asyncio.to_thread(client(mux.url).converse, modelId="nobody-has-this", messages=ASKED)
        assert unknown.value.response["Error"]["Code"] == "ResourceNotFoundException"


async def test_the_access_keys_id_is_the_client_key(tmp_path: pathlib.Path) -> None:
    async with FakeUpstream().on("*", json_reply(ANSWER)) as upstream:
        keyed = {**config(upstream), "api-keys": ["team-key"], "disable-auth": False}
        async with daemon(tmp_path, keyed) as mux:
            found = await asyncio.to_thread(client(mux.url, "team-key").converse, modelId=MODEL, messages=ASKED)
            assert found["stopReason"] == "end_turn"
            code = ""
            async with asyncio.timeout(20):
                # A slow machine may still be opening the database that has the other keys: a 503 that says so.
                while code in ("", "ServiceUnavailableException"):
                    with pytest.raises(ClientError) as failure:
                        await asyncio.to_thread(client(mux.url, "wrong-key").converse, modelId=MODEL, messages=ASKED)
                    code = failure.value.response["Error"]["Code"]
            assert code == "UnrecognizedClientException"


async def test_tokens_are_counted_for_both_forms_of_a_request(tmp_path: pathlib.Path) -> None:
    async with (
        FakeUpstream().on(f"{PATH}/count-tokens", json_reply({"inputTokens": 7})) as upstream,
        daemon(tmp_path, config(upstream)) as mux,
    ):
        aws = client(mux.url)
        inner = json.dumps(
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 1,
                "messages": [{"role": "user", "content": "hi"}],
            }
        )
        for counted in ({"converse": {"messages": ASKED}}, {"invokeModel": {"body": inner}}):
            found = await asyncio.to_thread(aws.count_tokens, modelId=MODEL, input=counted)
            assert found["inputTokens"] == 7
        async with aiohttp.ClientSession() as session:
            body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
            async with session.post(f"{mux.url}/v1/messages/count_tokens", json=body) as answer:
                assert await answer.json() == {"input_tokens": 7}
                assert answer.headers["x-llm-mux-count"] == "native"


TITAN, COHERE = "amazon.titan-embed-text-v2:0", "cohere.embed-multilingual-v3"


async def test_texts_are_embedded_one_by_one_where_a_model_takes_one(tmp_path: pathlib.Path) -> None:
    upstream = FakeUpstream()
    upstream.on(
        f"/model/{quote(TITAN)}/invoke",
        *(json_reply({"embedding": [n, 1], "inputTextTokenCount": 2}) for n in range(3)),
    )
    upstream.on(f"/model/{quote(COHERE)}/invoke", json_reply({"embeddings": [[1, 2], [3, 4]], "texts": []}))
    async with upstream, daemon(tmp_path, config(upstream)) as mux, aiohttp.ClientSession() as session:
        body = {"model": TITAN, "input": ["a", "b", "c"], "dimensions": 256}
        async with session.post(f"{mux.url}/v1/embeddings", json=body) as answer:
            found = await answer.json()
        assert [one["embedding"] for one in found["data"]] == [[0, 1], [1, 1], [2, 1]]
        assert found["usage"]["prompt_tokens"] == 6
        assert upstream.seen(f"/model/{quote(TITAN)}/invoke")[0].json() == {"inputText": "a", "dimensions": 256}
        async with session.post(f"{mux.url}/v1/embeddings", json={"model": COHERE, "input": ["a", "b"]}) as answer:
            assert [one["embedding"] for one in (await answer.json())["data"]] == [[1, 2], [3, 4]]
        assert upstream.last.json() == {"texts": ["a", "b"], "input_type": "search_document"}
        aws = client(mux.url)
        asked = {"modelId": TITAN, "body": json.dumps({"inputText": "a"})}
        read = await asyncio.to_thread(lambda: json.loads(aws.invoke_model(**asked)["body"].read()))
        assert read == {"embedding": [2, 1], "inputTextTokenCount": 2}


LISTS = {
    "/foundation-models": {
        "modelSummaries": [
            {
                "modelId": "anthropic.claude-sonnet-4-5-20250929-v1:0",
                "outputModalities": ["TEXT"],
                "inferenceTypesSupported": ["INFERENCE_PROFILE"],
            },
            {"modelId": "amazon.nova-pro-v1:0", "outputModalities": ["TEXT"], "inferenceTypesSupported": ["ON_DEMAND"]},
            {"modelId": "amazon.titan-image-v1", "outputModalities": ["IMAGE"]},
        ]
    },
    "/inference-profiles": {
        "inferenceProfileSummaries": [
            {"inferenceProfileId": "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "status": "ACTIVE"},
            {"inferenceProfileId": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "status": "ACTIVE"},
            {"inferenceProfileId": "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "status": "ACTIVE"},
        ]
    },
}


@pytest.mark.parametrize(
    ("region", "asked", "reached"),
    [
        ("eu-central-1", "claude-sonnet-4.5", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("eu-central-1", "claude-sonnet-4-5", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("us-west-2", "claude-sonnet-4.5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("ap-south-1", "claude-sonnet-4.5", "global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("us-east-1", "nova-pro", "amazon.nova-pro-v1:0"),
        ("us-east-1", "bedrock://claude-sonnet-4.5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("us-east-1", "mistral.pixtral-large-2502-v1:0", "mistral.pixtral-large-2502-v1:0"),
        (
            "us-east-1",
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/x",
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/x",
        ),
    ],
)
async def test_short_names_stand_for_what_the_region_can_reach(
    tmp_path: pathlib.Path, region: str, asked: str, reached: str
) -> None:
    upstream = FakeUpstream().on("*", json_reply(ANSWER))
    for path, found in LISTS.items():
        upstream.on(path, json_reply(found))
    async with (
        upstream,
        daemon(tmp_path, config(upstream, options={"region": region})) as mux,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"{mux.url}/v1/models") as answer:
            listed = {model["id"] for model in (await answer.json())["data"]}
        assert {
            "claude-sonnet-4.5",
            "amazon.nova-pro-v1:0",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        } <= listed
        assert "amazon.titan-image-v1" not in listed
        async with session.post(f"{mux.url}/v1/chat/completions", json={**CHAT, "model": asked}) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["X-Bedrock-Model"] == reached


CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "session-token")


@pytest.mark.covers("PF-122", "PF-130")
@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-v1%3A0/converse", "bedrock"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3A%2Fx/converse-stream", "bedrock"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/model/a%20b/gr%C3%BCn", "bedrock"),
        ("https://bedrock.us-east-1.amazonaws.com/inference-profiles?type=SYSTEM_DEFINED&maxResults=10", "bedrock"),
        ("https://bedrock-mantle.us-east-1.api.aws/anthropic/v1/messages", "bedrock-mantle"),
    ],
)
def test_a_signature_is_the_one_that_botocore_makes(url: str, service: str) -> None:
    ours = signed(
        "POST",
        url,
        {"content-type": "application/json", "accept-encoding": "identity"},
        b'{"a":1}',
        CREDENTIALS,
        "us-east-1",
    )
    stamp = ours["X-Amz-Date"]
    request = AWSRequest("POST", url, {"content-type": "application/json"}, b'{"a":1}')
    request.context["timestamp"] = stamp
    auth = SigV4Auth(CREDENTIALS, service, "us-east-1")
    request.headers["X-Amz-Date"] = stamp
    request.headers["X-Amz-Security-Token"] = "session-token"
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert f"Signature={signature}" in ours["Authorization"]
    assert f"/us-east-1/{service}/aws4_request" in ours["Authorization"]
    assert ours["accept-encoding"] == "identity"
    assert ours["X-Amz-Security-Token"] == "session-token"


@pytest.fixture
def without_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[pytest.MonkeyPatch]:
    """A process for which AWS knows nothing: no environment, no files, no machine to ask."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield monkeypatch


async def signed_answer(tmp_path: pathlib.Path, **options: str) -> tuple[int, dict[str, Any], FakeUpstream]:
    upstream = FakeUpstream().on("*", json_reply(ANSWER))
    entry = {"type": "bedrock", "base-url": upstream.url, "options": options, "models": [MODEL]}
    async with upstream:
        entry["base-url"] = upstream.url
        async with daemon(tmp_path, {"providers": [entry]}) as mux, aiohttp.ClientSession() as session:
            async with session.post(f"{mux.url}/v1/chat/completions", json=CHAT) as answer:
                return answer.status, await answer.json(), upstream


async def test_a_profile_signs_without_any_key(tmp_path: pathlib.Path, without_aws: pytest.MonkeyPatch) -> None:
    (tmp_path / "aws-credentials").write_text("[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = s3cret\n")
    status, _, upstream = await signed_answer(tmp_path, profile="work", region="eu-west-1")
    assert status == 200
    authorization = upstream.last.headers["Authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIDWORK/")
    assert "/eu-west-1/bedrock/aws4_request" in authorization
    assert "s3cret" not in str(upstream.last.headers)


@pytest.mark.parametrize(
    ("options", "said"), [({}, "No AWS credentials were found"), ({"profile": "nobody"}, "profile `nobody`")]
)
async def test_without_credentials_the_message_says_what_to_do(
    tmp_path: pathlib.Path, without_aws: pytest.MonkeyPatch, options: dict[str, str], said: str
) -> None:
    status, body, _ = await signed_answer(tmp_path, **options)
    assert status == 503
    assert said in body["error"]["message"]
    assert "aws sso login" in body["error"]["message"]


@pytest.mark.parametrize(
    ("body", "reached"),
    [
        ({"model": "gpt-4o", "bedrock_model": MODEL}, MODEL),
        ({"model": "gpt-4o", "bedrock_model": "claude-sonnet-4.5"}, MODEL),
        ({"model": "claude-sonnet-4.5", "model_provider": "anthropic"}, MODEL),
        ({"model": "nova-pro", "model_provider": "amazon"}, "amazon.nova-pro-v1:0"),
        ({"model": "nova-pro", "model_provider": "bedrock"}, "amazon.nova-pro-v1:0"),
    ],
)
async def test_a_request_may_say_itself_which_model_of_bedrock_it_means(
    tmp_path: pathlib.Path, body: dict[str, str], reached: str
) -> None:
    upstream = FakeUpstream().on("*", json_reply(ANSWER))
    for path, found in LISTS.items():
        upstream.on(path, json_reply(found))
    async with upstream, daemon(tmp_path, config(upstream)) as mux, aiohttp.ClientSession() as session:
        async with session.get(f"{mux.url}/v1/models"):
            pass
        async with session.post(f"{mux.url}/v1/chat/completions", json={**CHAT, **body}) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["X-Bedrock-Model"] == reached
            assert "x-llm-mux-dropped" not in answer.headers
        assert not {"bedrock_model", "model_provider"} & upstream.last.json().keys()


GPT = "openai.gpt-oss-120b-1:0"
COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": GPT,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
}
MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


@pytest.mark.parametrize(
    ("host", "model", "path"),
    [
        ("", GPT, "/openai/v1/chat/completions"),
        ("", MODEL, f"{PATH}/converse"),
        ("mantle", GPT, "/openai/v1/chat/completions"),
        ("mantle", MODEL, "/anthropic/v1/messages"),
    ],
)
async def test_each_host_is_spoken_to_in_the_format_that_a_model_has_there(
    tmp_path: pathlib.Path, host: str, model: str, path: str
) -> None:
    upstream = FakeUpstream().on("/openai/v1/chat/completions", json_reply(COMPLETION))
    upstream.on("/anthropic/v1/messages", json_reply(MESSAGE)).on(f"{PATH}/converse", json_reply(ANSWER))
    async with upstream:
        made = config(upstream, options={"host": host}, models=[model])
        async with daemon(tmp_path, made) as mux, aiohttp.ClientSession() as session:
            async with session.post(f"{mux.url}/v1/chat/completions", json={**CHAT, "model": model}) as answer:
                found = await answer.json()
        assert found["choices"][0]["message"]["content"] == "Hello."
        assert upstream.last.path == path


def test_the_newer_host_is_that_of_the_region() -> None:
    moved = placed(registry.get("bedrock"), options={"region": "eu-west-1", "host": "mantle"})
    assert moved.base_url == "https://bedrock-mantle.eu-west-1.api.aws"
    assert moved.models_url == "https://bedrock.eu-west-1.amazonaws.com"
