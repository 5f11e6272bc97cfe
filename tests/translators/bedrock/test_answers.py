"""Converse's answers, streams and errors: the order of events, seals in pieces, damage, and AWS's names for failures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import registry
from llm_mux.translators.base import Target
from llm_mux.wire import eventstream

BEDROCK = registry.get("bedrock")
INVOKE = registry.get("bedrock_invoke")
CLAUDE = Target("us.anthropic.claude-opus-5")
USAGE = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 99}


def event(kind: str, **payload: Any) -> bytes:
    return eventstream.event(kind, json.dumps(payload).encode())


def delta(index: int, **piece: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=piece)


def told(*frames: bytes, target: Target = CLAUDE) -> list[ir.Event]:
    decoder = BEDROCK.stream_decoder(target)
    events = [event for frame in frames for event in decoder.feed(frame)] + decoder.finish()
    assert ir.violations(events) == []
    return events


START = event("messageStart", role="assistant")
STOP = event("messageStop", stopReason="end_turn")
META = event("metadata", usage=USAGE, metrics={"latencyMs": 1})


@pytest.mark.covers("PF-123")
def test_text_and_thoughts_open_with_their_first_piece() -> None:
    events = told(
        START,
        delta(0, reasoningContent={"text": "hm"}),
        event("contentBlockStop", contentBlockIndex=0),
        delta(1, text="so"),
        event("contentBlockStop", contentBlockIndex=1),
        STOP,
        META,
    )
    assert [type(event) for event in events[1:7]] == [
        ir.PartStart,
        ir.ReasoningDelta,
        ir.PartEnd,
        ir.PartStart,
        ir.TextDelta,
        ir.PartEnd,
    ]


@pytest.mark.covers("PF-124")
def test_the_end_waits_for_the_usage() -> None:
    decoder = BEDROCK.stream_decoder(CLAUDE)
    before = decoder.feed(START + delta(0, text="hi") + STOP)
    assert not any(isinstance(event, ir.Finish | ir.Done) for event in before)
    after = decoder.feed(META)
    assert [type(event) for event in after] == [ir.UsageReport, ir.Finish, ir.Done]
    assert after[0] == ir.UsageReport(ir.Usage(input=3, output=2))


def test_a_stop_without_usage_is_an_end_all_the_same() -> None:
    assert isinstance(told(START, delta(0, text="hi"), STOP)[-1], ir.Done)


@pytest.mark.covers("PF-131")
def test_a_seal_in_pieces_is_put_together() -> None:
    events = told(
        START,
        delta(0, reasoningContent={"text": "a"}),
        delta(0, reasoningContent={"signature": "si"}),
        delta(0, reasoningContent={"signature": "gn"}),
        event("contentBlockStop", contentBlockIndex=0),
        delta(1, reasoningContent={"redactedContent": "aGlk"}),
        event("contentBlockStop", contentBlockIndex=1),
        STOP,
        META,
    )
    seals = [event.native for event in events if isinstance(event, ir.Seal)]
    assert seals[0] == ir.Native("anthropic", Raw(b'"sign"'), "claude")
    assert bytes(seals[1].data) == b'{"redacted":"aGlk"}'


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        ((START, delta(0, text="hi")), Kind.UPSTREAM_CUT),
        ((START, delta(0, text="hi")[:-3]), Kind.UPSTREAM_NONSENSE),
        ((START, b"\x00" * 40), Kind.UPSTREAM_NONSENSE),
        ((START, delta(0, toolUse={"input": "{}"})), Kind.UPSTREAM_NONSENSE),
        ((START, event("messageStop"), META), Kind.UPSTREAM_NONSENSE),
        ((START, eventstream.event("contentBlockDelta", b"<html>")), Kind.UPSTREAM_NONSENSE),
        ((b"<html>Bad gateway</html>",), Kind.UPSTREAM_NONSENSE),
        ((START, eventstream.exception("throttlingException", b'{"message":"slow"}')), Kind.RATE_LIMIT),
        ((START, eventstream.exception("modelStreamErrorException", b'{"message":"x"}')), Kind.UPSTREAM_ERROR),
        ((START, eventstream.exception("serviceUnavailableException", b'{"message":"x"}')), Kind.OVERLOADED),
        ((START, eventstream.exception("validationException", b'{"message":"x"}')), Kind.BAD_REQUEST),
        ((eventstream.frame({":message-type": "error", ":error-code": "InternalFailure"}, b""),), Kind.UPSTREAM_ERROR),
    ],
)
def test_a_broken_stream_is_never_a_clean_end(frames: tuple[bytes, ...], kind: Kind) -> None:
    last = told(*frames)[-1]
    assert isinstance(last, ir.Failed)
    assert last.error.kind is kind


def test_unknown_events_and_padding_are_passed_over() -> None:
    events = told(START, event("surprise", x=1), delta(0, text="hi", p="pad"), STOP, META)
    assert isinstance(events[-1], ir.Done)


def test_models_that_count_cached_tokens_twice_are_set_right() -> None:
    usage = {"inputTokens": 120, "outputTokens": 2, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 0}
    frames = (START, delta(0, text="hi"), STOP, event("metadata", usage=usage))
    for model, uncached in (("openai.gpt-oss-120b-1:0", 20), ("us.anthropic.claude-opus-5", 120)):
        report = next(event for event in told(*frames, target=Target(model)) if isinstance(event, ir.UsageReport))
        assert (report.usage.input, report.usage.cache_read) == (uncached, 100)


def error(status: int, name: str, message: str) -> MuxError:
    return BEDROCK.decode_error(
        status, {"x-amzn-errortype": f"{name}:http://x/"}, json.dumps({"message": message}).encode()
    )


@pytest.mark.parametrize(
    ("status", "name", "message", "kind", "advice"),
    [
        (400, "ValidationException", "bad field", Kind.BAD_REQUEST, ""),
        (400, "ValidationException", "Input is too long for requested model.", Kind.CONTEXT_LENGTH, ""),
        (400, "ValidationException", "The provided model identifier is invalid.", Kind.UPSTREAM_MODEL, "region"),
        (
            400,
            "ValidationException",
            "Invocation of model ID x with on-demand throughput isn't supported. Retry with an inference profile.",
            Kind.UPSTREAM_MODEL,
            "`us.` or `global.`",
        ),
        (
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
            Kind.UPSTREAM_MODEL,
            "Bedrock console",
        ),
        (403, "AccessDeniedException", "no", Kind.UPSTREAM_FORBIDDEN, ""),
        (
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
            Kind.UPSTREAM_AUTH,
            "aws sso login",
        ),
        (
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            Kind.UPSTREAM_AUTH,
            "aws sso login",
        ),
        (403, "InvalidSignatureException", "Signature expired", Kind.UPSTREAM_AUTH, "clock"),
        (404, "ResourceNotFoundException", "Could not resolve the foundation model", Kind.UPSTREAM_MODEL, "region"),
        (408, "ModelTimeoutException", "x", Kind.FIRST_BYTE_TIMEOUT, ""),
        (400, "ServiceQuotaExceededException", "x", Kind.QUOTA, ""),
        (429, "ThrottlingException", "Too many requests", Kind.RATE_LIMIT, ""),
        (429, "ModelNotReadyException", "x", Kind.OVERLOADED, ""),
        (424, "ModelErrorException", "x", Kind.UPSTREAM_ERROR, ""),
        (500, "InternalServerException", "x", Kind.UPSTREAM_ERROR, ""),
        (503, "ServiceUnavailableException", "x", Kind.OVERLOADED, ""),
    ],
)
def test_awss_errors_are_told_apart(status: int, name: str, message: str, kind: Kind, advice: str) -> None:
    found = error(status, name, message)
    assert found.kind is kind
    assert found.facts == {"aws_error": name}
    assert message in found.message
    assert advice in found.message
    if kind is not Kind.CONTEXT_LENGTH:
        assert found.code == name, "AWS's own code is kept"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"Message":"capital"}', "capital"),
        (b'{"__type":"com.amazon#ThrottlingException","message":"typed"}', "typed"),
        (b'{"message":"failed","originalMessage":"because"}', "failed (because)"),
        (b"<html>no</html>", "status 502 with a web page and no error message"),
        (b"", "status 502 and no error message"),
        (b"plain words", "plain words"),
    ],
)
def test_errors_of_other_shapes_are_read_too(body: bytes, message: str) -> None:
    assert message in BEDROCK.decode_error(502, {}, body).message


@pytest.mark.parametrize("kind", list(Kind))
def test_every_failure_has_a_name_that_awss_sdks_know(kind: Kind) -> None:
    failure = MuxError(kind, "what happened")
    assert BEDROCK.error_headers is not None
    name = BEDROCK.error_headers(failure)["x-amzn-ErrorType"]
    assert name.endswith("Exception")
    assert json.loads(BEDROCK.encode_error(failure, "r"))["__type"] == name
    assert 400 <= BEDROCK.error_status(failure) < 600


def test_a_failure_in_a_stream_is_an_exception_and_nothing_after_it() -> None:
    request = ir.Request("m", (), protocol="bedrock", stream=True)
    encoder = BEDROCK.stream_encoder(request)
    out = encoder.encode([ir.Start("i", "m"), ir.Failed(MuxError(Kind.RATE_LIMIT, "slow down")), ir.Done()])
    frames = eventstream.Splitter().feed(out)
    assert [frame.text(":message-type") for frame in frames] == ["event", "exception"]
    assert frames[-1].text(":exception-type") == "throttlingException"
    assert encoder.encode([ir.Done()]) == b""


def test_a_keep_alive_is_an_event_that_nobody_minds() -> None:
    for translator in (BEDROCK, INVOKE):
        encoder = translator.stream_encoder(ir.Request("m", (), protocol=translator.name, stream=True))
        decoder = translator.stream_decoder(CLAUDE)
        assert decoder.feed(encoder.keepalive()) == []


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b"<html>",
        b'{"output":{}}',
        b'{"output":{"message":{"content":[]}}}',
        b'{"output":{"message":{"content":[{"text":1}]}},"stopReason":"end_turn"}',
    ],
)
def test_nonsense_is_no_answer(body: bytes) -> None:
    with pytest.raises(MuxError) as wrong:
        BEDROCK.decode_response(body, CLAUDE)
    assert wrong.value.kind is Kind.UPSTREAM_NONSENSE


def test_another_vendors_seal_of_a_call_travels_through_a_client() -> None:
    call = ir.ToolCall("c1", "weather", '{"a":1}', native=ir.Native("gemini", Raw(b'"thought"'), "gemini"))
    answer = ir.Response("r", "m", (ir.Choice((call,), ir.Finish("tool_calls")),))
    request = ir.Request("m", (), protocol="bedrock")
    content = json.loads(BEDROCK.encode_response(answer, request))["output"]["message"]["content"]
    body = json.dumps(
        {"messages": [{"role": "user", "content": [{"text": "x"}]}, {"role": "assistant", "content": content}]}
    )
    from llm_mux.translators.base import Hints

    back = BEDROCK.decode_request(body.encode(), Hints(model="gemini-3-pro"))
    assert back.messages[1].parts == (call,)


def test_the_anthropic_body_has_what_the_path_does_not() -> None:
    request = ir.Request("m", (ir.Message("user", (ir.Text("hi"),)),), protocol="anthropic", stream=True, max_tokens=9)
    for model, version in (
        ("anthropic.claude-opus-5-5", "2026-10-21"),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", "bedrock-2023-05-31"),
    ):
        body = json.loads(INVOKE.encode_request(request, Target(model)).body)
        assert body["anthropic_version"] == version
        assert not {"model", "stream"} & body.keys()
