"""The official SDK reads what clients of this format get, and its requests are understood."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import Hints
from llm_mux.translators.gemini.translator import TRANSLATOR
from tests.translators.gemini.shorthand import NEW

ANSWER = (
    ir.Reasoning("First, then.", ir.Native("anthropic", Raw(b'{"signature":"s"}'), "claude")),
    ir.Text("Café"),
    ir.ToolCall("c1", "f", '{"a":1}', native=ir.Native("gemini", Raw(b'{"thoughtSignature":"QUJD"}'))),
    ir.ToolCall("c2", "f", ""),
)
USAGE = ir.Usage(input=6, output=9, cache_read=4, reasoning=3)
EVENTS: list[ir.Event] = [
    ir.Start("r1", "m"),
    ir.PartStart(0, ir.Reasoning("")),
    ir.ReasoningDelta(0, "First, "),
    ir.ReasoningDelta(0, "then."),
    ir.Seal(0, ir.Native("anthropic", Raw(b'{"signature":"s"}'), "claude")),
    ir.PartEnd(0),
    ir.PartStart(1, ir.Text("")),
    ir.TextDelta(1, "Ca"),
    ir.TextDelta(1, "fé"),
    ir.PartEnd(1),
    ir.PartStart(2, ir.ToolCall("c1", "f", "")),
    ir.ArgumentsDelta(2, '{"a":'),
    ir.ArgumentsDelta(2, "1}"),
    ir.PartEnd(2),
    ir.Finish("tool_calls"),
    ir.UsageReport(USAGE),
    ir.Done(),
]
Reply = Callable[[ir.Request], httpx2.Response]


@pytest.fixture
def asked() -> list[ir.Request]:
    """The requests that the SDK made."""
    return []


def client(asked: list[ir.Request], reply: Reply) -> genai.Client:
    def answer(request: httpx2.Request) -> httpx2.Response:
        operation = request.url.path.rsplit(":", 1)[-1]
        hints = Hints(model=NEW, stream=operation == "streamGenerateContent")
        asked.append(TRANSLATOR.decode_request(request.content, hints))
        return reply(asked[-1])

    web = httpx2.Client(transport=httpx2.MockTransport(answer))
    retries = types.HttpRetryOptions(attempts=1)
    return genai.Client(api_key="k", http_options=types.HttpOptions(httpx_client=web, retry_options=retries))


def whole(request: ir.Request) -> httpx2.Response:
    response = ir.Response("r1", "m", (ir.Choice(ANSWER, ir.Finish("tool_calls")),), usage=USAGE)
    return httpx2.Response(200, content=TRANSLATOR.encode_response(response, request))


def in_pieces(events: list[ir.Event]) -> Reply:
    """Every event by itself, with a blank line to keep the connection alive."""

    def reply(request: ir.Request) -> httpx2.Response:
        encoder = TRANSLATOR.stream_encoder(request)
        data = [piece for event in events for piece in (encoder.encode([event]), encoder.keepalive())]
        return httpx2.Response(200, content=b"".join(data), headers={"content-type": "text/event-stream"})

    return reply


FUNCTION = types.FunctionDeclaration(
    name="f",
    description="Does.",
    parameters=types.Schema(type=types.Type.OBJECT, properties={"a": {"type": "INTEGER"}}),
)
CONFIG = types.GenerateContentConfig(
    system_instruction="Be brief.",
    temperature=0.5,
    max_output_tokens=100,
    stop_sequences=["END"],
    tools=[types.Tool(function_declarations=[FUNCTION])],
    tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY")),
    thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level="LOW"),
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    response_mime_type="application/json",
    response_json_schema={"type": "object", "properties": {"a": {"type": "string"}}},
)


def test_a_whole_answer_is_read(asked: list[ir.Request]) -> None:
    answer = client(asked, whole).models.generate_content(model=NEW, contents="Hi.", config=CONFIG)
    parts = answer.candidates[0].content.parts
    assert [part.text for part in parts] == ["First, then.", "Café", None, None]
    assert [call.args for call in answer.function_calls] == [{"a": 1}, {}]
    assert (parts[0].thought, parts[2].thought_signature) == (True, b"ABC")
    usage = answer.usage_metadata
    assert (usage.prompt_token_count, usage.cached_content_token_count, usage.thoughts_token_count) == (10, 4, 3)
    assert (usage.candidates_token_count, usage.total_token_count) == (6, 19)
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP


def test_its_request_is_understood(asked: list[ir.Request]) -> None:
    picture = types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")
    client(asked, whole).models.generate_content(model=NEW, contents=["Look.", picture], config=CONFIG)
    request = asked[0]
    assert request.messages[0] == ir.Message("system", (ir.Text("Be brief."),))
    assert isinstance(request.messages[1].parts[1], ir.Image)
    assert (request.max_tokens, request.stop, request.sampling.temperature) == (100, ("END",), 0.5)
    assert request.thinking == ir.Thinking(effort="low", show=True)
    assert request.tool_choice == ir.ToolChoice("any")
    tool = request.tools[0]
    assert isinstance(tool, ir.Tool) and tool.schema is not None
    assert json.loads(bytes(tool.schema)) == {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert request.output.kind == "schema"


@pytest.mark.covers("FB-37", "FB-31")
def test_its_mixed_spelling_and_url_safe_base64_are_understood(asked: list[ir.Request]) -> None:
    picture = b"\xff\xfe\xfb\xef"
    blob = types.FunctionResponseBlob(data=picture, mime_type="image/png")
    parts = [types.FunctionResponsePart(inline_data=blob)]
    result = types.FunctionResponse(id="c", name="f", response={"output": "see"}, parts=parts)
    contents = [types.Part(function_response=result), types.Part.from_bytes(data=picture, mime_type="image/png")]
    client(asked, whole).models.generate_content(model=NEW, contents=contents)
    image = ir.Image(ir.Inline("image/png", "//777w=="))
    returned, beside = asked[0].messages[0].parts
    assert isinstance(returned, ir.ToolResult)
    assert (returned.content, beside) == ((ir.Text("see"), image), image)


@pytest.mark.covers("PF-5", "RC-4", "PF-7")
def test_a_stream_is_read_record_by_record(asked: list[ir.Request]) -> None:
    chunks = list(
        client(asked, in_pieces(EVENTS)).models.generate_content_stream(model=NEW, contents="Hi.", config=CONFIG)
    )
    assert asked[0].stream
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
    assert "".join(part.text or "" for part in parts if not part.thought) == "Café"
    assert "".join(part.text or "" for part in parts if part.thought) == "First, then."
    assert [part.function_call.args for part in parts if part.function_call] == [{"a": 1}]
    assert [chunk.candidates[0].finish_reason for chunk in chunks][-1] is types.FinishReason.STOP
    assert chunks[-1].usage_metadata.total_token_count == 19


@pytest.mark.covers("RC-7")
def test_a_chat_keeps_its_history_and_brings_the_seals_back(asked: list[ir.Request]) -> None:
    chat = client(asked, in_pieces(EVENTS)).chats.create(model=NEW, config=CONFIG)
    list(chat.send_message_stream("Hi."))
    list(chat.send_message_stream(types.Part.from_function_response(name="f", response={"output": "ok"})))
    history = [message for message in asked[1].messages if message.role != "system"]
    assert [message.role for message in history] == ["user", "assistant", "user"]
    thought = history[1].parts[0]
    assert isinstance(thought, ir.Reasoning) and thought.text == "First, then."
    assert thought.native is not None and (thought.native.owner, thought.native.family) == ("anthropic", "claude")
    assert ir.joined(history[1].parts) == "Café"
    result = history[2].parts[0]
    assert isinstance(result, ir.ToolResult) and result.call_id == "c1"


def failing(error: MuxError) -> Reply:
    def reply(request: ir.Request) -> httpx2.Response:
        return httpx2.Response(TRANSLATOR.error_status(error), content=TRANSLATOR.encode_error(error, "id"))

    return reply


def test_errors_are_read(asked: list[ir.Request]) -> None:
    error = MuxError(Kind.RATE_LIMIT, "Slow down.", retry_after=3)
    with pytest.raises(errors.ClientError) as caught:
        client(asked, failing(error)).models.generate_content(model=NEW, contents="Hi.")
    assert (caught.value.code, caught.value.status, caught.value.message) == (429, "RESOURCE_EXHAUSTED", "Slow down.")


@pytest.mark.covers("PF-11", "FB-105")
def test_an_error_in_mid_stream_is_raised(asked: list[ir.Request]) -> None:
    events = [*EVENTS[:8], ir.Failed(MuxError(Kind.OVERLOADED, "Busy."))]
    stream: Iterator[Any] = client(asked, in_pieces(events)).models.generate_content_stream(model=NEW, contents="Hi.")
    with pytest.raises(errors.ServerError) as caught:
        list(stream)
    assert (caught.value.code, caught.value.message) == (503, "Busy.")


@pytest.mark.parametrize("reason", ["refusal", "filtered", "length", "broken", "context", "paused"])
def test_every_end_is_read(asked: list[ir.Request], reason: Any) -> None:
    events = [EVENTS[0], ir.Finish(reason), ir.Done()]
    chunks = list(client(asked, in_pieces(events)).models.generate_content_stream(model=NEW, contents="Hi."))
    assert chunks[-1].candidates[0].finish_reason in types.FinishReason
