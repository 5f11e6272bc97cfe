"""Whole answers, and what a chat client is streamed."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from openai import APIError
from openai.types.chat import ChatCompletion

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import envelope
from llm_mux.translators.openai_chat.translator import TRANSLATOR
from tests.translators.openai_chat import chat

STOPPED = ir.Finish("stop")


def whole(message: Any, finish: str | None = "stop", **fields: Any) -> ir.Response:
    body = {
        "id": "c",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    return TRANSLATOR.decode_response(json.dumps(body | fields).encode(), chat.PLAIN)


def answer(*parts: ir.Part, finish: ir.Finish = STOPPED, request: ir.Request | None = None, **fields: Any) -> Any:
    """The body a client gets, checked by the SDK's own strict types."""
    response = ir.Response("c", "m", (ir.Choice(parts, finish),), created=7, **fields)
    body = TRANSLATOR.encode_response(response, request or chat.decode())
    ChatCompletion.model_validate_json(body, strict=True)
    return json.loads(body)


def message(*parts: ir.Part, **fields: Any) -> Any:
    return answer(*parts, **fields)["choices"][0]["message"]


def stream(*events: ir.Event, request: ir.Request | None = None) -> list[Any]:
    encoder = TRANSLATOR.stream_encoder(request or chat.decode(stream=True))
    return chat.frames(encoder.encode([ir.Start("c", "m", 7), *events]))


def deltas(records: list[Any]) -> list[Any]:
    return [record["choices"][0]["delta"] for record in records if isinstance(record, dict) and record.get("choices")]


def reason(records: list[Any]) -> Any:
    return [r["choices"][0]["finish_reason"] for r in records if isinstance(r, dict) and r.get("choices")][-1]


CALL = ir.ToolCall("call_1", "f", '{"x":1}')


@pytest.mark.parametrize(
    ("usage", "wanted"),
    [
        pytest.param({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, ir.Usage(10, 5), id="plain"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
                      "completion_tokens_details": {"reasoning_tokens": 2}}, ir.Usage(3, 5, 4, 3, reasoning=2), id="details"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 22, "completion_tokens_details": {"reasoning_tokens": 7}},
                     ir.Usage(10, 12, reasoning=7), id="reasoning beside the completion"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4},
                     ir.Usage(4, 5, 6), id="DeepSeek"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 6}, ir.Usage(4, 5, 6), id="Kimi"),
        pytest.param({"prompt_tokens": 3, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}}, ir.Usage(0, 5, 6), id="never negative"),
        pytest.param({"prompt_tokens": 3, "completion_tokens": None, "prompt_tokens_details": None}, ir.Usage(3, 0), id="nulls"),
        pytest.param({"prompt_tokens": 3, "completion_tokens": 1, "num_search_queries": 2}, ir.Usage(3, 1, searches=2), id="searches"),
        pytest.param({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None, id="placeholder"),
        pytest.param(None, None, id="null"),
    ],
)  # fmt: skip
@pytest.mark.covers("FB-82", "FB-88")
def test_usage_is_split_as_the_books_count(usage: Any, wanted: ir.Usage | None) -> None:
    assert whole({"content": "x"}, usage=usage).usage == wanted


@pytest.mark.covers("FB-83", "FB-85", "FB-89", "PF-46")
def test_a_client_gets_the_whole_prompt_and_all_details() -> None:
    usage = ir.Usage(input=10, output=20, cache_read=5, cache_write=3, reasoning=None)
    assert answer(ir.Text("x"), usage=usage)["usage"] == {
        "prompt_tokens": 18,
        "completion_tokens": 20,
        "total_tokens": 38,
        "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


@pytest.mark.covers("FB-134")
def test_a_whole_answer_holds_its_parts_in_order() -> None:
    found = whole({
        "content": "Hi", "reasoning": "hm", "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
        "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"x": 1}}}, {"function": {"name": "g"}}],
    })  # fmt: skip
    kinds = [type(part).__name__ for part in found.choices[0].parts]
    assert kinds == ["Reasoning", "Text", "Image", "ToolCall", "ToolCall"]
    first, second = [part for part in found.choices[0].parts if isinstance(part, ir.ToolCall)]
    assert (first.arguments, second.arguments) == ('{"x":1}', "") and second.id
    assert found.choices[0].finish.reason == "tool_calls"


@pytest.mark.parametrize(
    "content",
    ["<think>\nhm\n</think>\n\nHi", [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]],
    ids=["tags", "Mistral's chunks"],
)
def test_thoughts_inside_the_content_are_taken_out(content: Any) -> None:
    body = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    found = TRANSLATOR.decode_response(json.dumps(body).encode(), chat.target(think_tags=True)).choices[0].parts
    assert [part.text for part in found if isinstance(part, ir.Reasoning | ir.Text)] == ["hm", "Hi"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error":{"message":"no","code":"rate_limit_exceeded"}}', Kind.RATE_LIMIT),
        (b'{"error":"broken"}', Kind.UPSTREAM_ERROR),
        (b'{"object":"error","message":"no","code":400}', Kind.BAD_REQUEST),
        (b'{"choices":[]}', Kind.UPSTREAM_NONSENSE),
        (b"{}", Kind.UPSTREAM_NONSENSE),
        (b"<html>", Kind.UPSTREAM_NONSENSE),
        (b'{"choices":[{"message":{"content":"x"', Kind.UPSTREAM_NONSENSE),
        (b'{"choices":[{"message":{"content":7}}]}', Kind.UPSTREAM_NONSENSE),
        (b"[]", Kind.UPSTREAM_NONSENSE),
    ],
)
@pytest.mark.covers("PF-23", "FB-112")
def test_a_200_that_is_no_answer_is_an_error(body: bytes, kind: Kind) -> None:
    with pytest.raises(MuxError) as caught:
        TRANSLATOR.decode_response(body, chat.PLAIN)
    assert caught.value.kind is kind


def test_the_form_before_tools_and_nameless_calls_are_read() -> None:
    (old,) = whole({"function_call": {"name": "f", "arguments": "{}"}}, "function_call").choices[0].parts
    assert isinstance(old, ir.ToolCall) and old.name == "f" and old.id
    (nameless,) = whole({"tool_calls": [{"id": "c"}]}).choices[0].parts
    assert isinstance(nameless, ir.ToolCall) and nameless.name == "tool_0"


def test_two_calls_of_a_whole_answer_never_share_an_id() -> None:
    call = {"id": "same", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    parts = whole({"content": None, "tool_calls": [call, call]}, "tool_calls").choices[0].parts
    first, second = (part.id for part in parts if isinstance(part, ir.ToolCall))
    assert first == "same" != second


def test_audio_of_an_answer_reaches_a_client_of_the_same_format() -> None:
    sound = {"id": "a", "data": "AAAA", "expires_at": 9, "transcript": "hi"}
    found = whole({"content": None, "audio": sound})
    assert json.loads(TRANSLATOR.encode_response(found, chat.decode()))["choices"][0]["message"]["audio"] == sound
    (part,) = found.choices[0].parts
    records = stream(ir.PartStart(0, part), ir.PartEnd(0), STOPPED)
    assert {"audio": sound} in deltas(records)


@pytest.mark.parametrize("extra", [{"citations": [{"url": "x"}]}, {"citations": "x"}])
def test_odd_sources_are_left_out(extra: Any) -> None:
    assert whole({"content": "x", "images": [{"type": "image_url"}, {"image_url": {"url": ""}}]}, **extra).choices[
        0
    ].parts == (ir.Text("x"),)


def test_sources_beside_the_choices_speak_for_the_text() -> None:
    (part,) = whole({"content": "x"}, citations=["https://x"]).choices[0].parts
    assert part == ir.Text("x", citations=(ir.Citation("https://x"),))


def test_parts_that_start_with_words_say_them() -> None:
    native = ir.Native("openai_chat", Raw(b'{"system_fingerprint":"fp"}'))
    encoder = TRANSLATOR.stream_encoder(chat.decode(stream=True))
    start = ir.Start("c", "m", 7, native=native)
    records = chat.frames(
        encoder.encode(
            [start, ir.PartStart(0, ir.Reasoning("hm")), ir.PartEnd(0), ir.PartStart(1, ir.Text("x")), ir.PartEnd(1)]
        )
    )
    assert deltas(records) == [{"role": "assistant", "content": ""}, {"reasoning_content": "hm"}, {"content": "x"}]
    assert records[0]["system_fingerprint"] == "fp"


def test_an_image_by_address_keeps_it() -> None:
    assert message(ir.Image(ir.Url("https://x")))["images"][0]["image_url"] == {"url": "https://x"}


@pytest.mark.covers("FB-102")
def test_every_event_is_told_at_once() -> None:
    encoder = TRANSLATOR.stream_encoder(chat.decode(stream=True))
    encoder.encode([ir.Start("c", "m", 7), ir.PartStart(0, ir.Text(""))])
    assert [len(chat.frames(encoder.encode([ir.TextDelta(0, word)]))) for word in ("a", "b")] == [1, 1]


@pytest.mark.covers("PF-68")
def test_a_whole_answer_without_a_reason_has_one() -> None:
    assert whole({"content": "x"}, None).choices[0].finish.reason == "stop"
    assert (
        whole({"tool_calls": [{"id": "c", "function": {"name": "f"}}]}, None).choices[0].finish.reason == "tool_calls"
    )


def test_a_creation_time_that_is_no_number_is_unknown() -> None:
    assert whole({"content": "x"}, created="2026-01-01T00:00:00Z").created == 0
    assert whole({"content": "x"}, created=7.0).created == 7


def test_fields_of_the_server_reach_a_client_of_the_same_format() -> None:
    found = whole({"content": "x"}, system_fingerprint="fp", provider="P", service_tier="default")
    body = json.loads(TRANSLATOR.encode_response(found, chat.decode()))
    assert (body["system_fingerprint"], body["provider"], body["service_tier"]) == ("fp", "P", "default")


REASONS = [
    (ir.Finish("stop"), (ir.Text("x"),), "stop"),
    (ir.Finish("stop"), (CALL,), "tool_calls"),
    (ir.Finish("tool_calls"), (CALL,), "tool_calls"),
    (ir.Finish("tool_calls"), (ir.Text("x"),), "stop"),
    (ir.Finish("stop_sequence", stop_sequence="a"), (ir.Text("x"),), "stop"),
    (ir.Finish("length"), (ir.Text("x"),), "length"),
    (ir.Finish("length"), (CALL,), "length"),
    (ir.Finish("context"), (ir.Text("x"),), "length"),
    (ir.Finish("filtered"), (), "content_filter"),
    (ir.Finish("refusal"), (), "content_filter"),
    (ir.Finish("refusal"), (ir.Refusal("No."),), "stop"),
    (ir.Finish("paused"), (ir.Text("x"),), "stop"),
]


def events_of(parts: tuple[ir.Part, ...], finish: ir.Finish) -> list[ir.Event]:
    found: list[ir.Event] = []
    for index, part in enumerate(parts):
        match part:
            case ir.ToolCall(arguments=arguments):
                found.append(ir.PartStart(index, msgspec.structs.replace(part, arguments="")))
                found.append(ir.ArgumentsDelta(index, arguments))
            case ir.Text(text=text) | ir.Refusal(text=text):
                found += [ir.PartStart(index, type(part)("")), ir.TextDelta(index, text)]
            case _:
                raise AssertionError(part)
        found.append(ir.PartEnd(index))
    return [*found, finish, ir.Done()]


@pytest.mark.parametrize(("finish", "parts", "word"), REASONS)
@pytest.mark.covers("FB-92", "FB-3B")
def test_the_finish_reason_is_one_that_clients_know(finish: ir.Finish, parts: Any, word: str) -> None:
    assert answer(*parts, finish=finish)["choices"][0]["finish_reason"] == word
    assert reason(stream(*events_of(parts, finish))) == word


def test_a_refusal_of_the_vendor_has_words() -> None:
    finish = ir.Finish("refusal", detail="Not this.")
    assert message(finish=finish) == {"role": "assistant", "content": None, "refusal": "Not this."}
    assert {"refusal": "Not this."} in deltas(stream(*events_of((), finish)))


def test_a_broken_call_is_an_error_and_no_answer() -> None:
    with pytest.raises(MuxError) as caught:
        answer(finish=ir.Finish("broken", detail="MALFORMED_FUNCTION_CALL"))
    assert caught.value.kind is Kind.UPSTREAM_NONSENSE
    records = stream(ir.Finish("broken"), ir.Done())
    assert "error" in records[-2] and records[-1] == "[DONE]" and len(records) == 2


@pytest.mark.covers("FB-100", "PF-48")
def test_an_empty_answer_is_still_an_answer() -> None:
    assert message() == {"role": "assistant", "content": "", "refusal": None}
    assert deltas(stream(STOPPED, ir.Done())) == [{"role": "assistant", "content": ""}, {}]


@pytest.mark.covers("FB-78", "FB-64")
def test_reasoning_is_never_inside_the_content() -> None:
    assert message(ir.Reasoning("hm"), ir.Text("x")) | {} == {
        "role": "assistant",
        "content": "x",
        "refusal": None,
        "reasoning_content": "hm",
    }


SEALED = ir.Native("anthropic", Raw(b'{"signature":"s"}'), "claude")


@pytest.mark.covers("FB-62", "FB-66")
def test_seals_of_other_vendors_travel_in_envelopes() -> None:
    (entry,) = message(ir.Reasoning("hm", native=SEALED), ir.Text("x"))["reasoning_details"]
    assert entry["type"] == "reasoning.encrypted"
    assert envelope.unseal(entry["data"]) == SEALED


def test_a_streamed_seal_is_the_same_as_a_whole_one() -> None:
    records = stream(
        ir.PartStart(0, ir.Reasoning("")),
        ir.ReasoningDelta(0, "h"),
        ir.ReasoningDelta(0, "m"),
        ir.Seal(0, SEALED),
        ir.PartEnd(0),
        STOPPED,
    )
    streamed = [d["reasoning_details"] for d in deltas(records) if "reasoning_details" in d]
    assert streamed == [message(ir.Reasoning("hm", native=SEALED))["reasoning_details"]]


def test_geminis_signatures_ride_on_the_call() -> None:
    native = ir.Native("gemini", Raw(b'{"thoughtSignature":"c2ln"}'), "gemini")
    call = msgspec.structs.replace(CALL, native=native)
    extra = {"google": {"thought_signature": "c2ln"}}
    assert message(call)["tool_calls"][0]["extra_content"] == extra
    started = msgspec.structs.replace(CALL, arguments="")
    records = stream(ir.PartStart(0, started), ir.ArgumentsDelta(0, "{}"), ir.Seal(0, native), ir.PartEnd(0), STOPPED)
    assert {"tool_calls": [{"index": 0, "function": {"arguments": ""}, "extra_content": extra}]} in deltas(records)


def test_a_call_that_begins_with_its_seal_says_so_at_once_and_once() -> None:
    native = ir.Native("gemini", Raw(b'{"thoughtSignature":"c2ln"}'), "gemini")
    begun = msgspec.structs.replace(CALL, arguments="", native=native)
    records = stream(ir.PartStart(0, begun), ir.ArgumentsDelta(0, "{}"), ir.PartEnd(0), STOPPED)
    pieces = [piece for delta in deltas(records) for piece in delta.get("tool_calls", ())]
    assert [piece.get("extra_content") for piece in pieces] == [{"google": {"thought_signature": "c2ln"}}, None]


@pytest.mark.covers("PF-67", "RC-6")
def test_a_streamed_call_says_its_id_and_name_once() -> None:
    second = ir.ToolCall("call_2", "g", "{}")
    pieces = [
        d["tool_calls"][0]
        for d in deltas(stream(*events_of((CALL, second), ir.Finish("tool_calls"))))
        if "tool_calls" in d
    ]
    assert pieces == [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x":1}'}},
        {"index": 1, "id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]


def test_a_call_without_arguments_says_so() -> None:
    assert message(ir.ToolCall("c", "f", ""))["tool_calls"][0]["function"]["arguments"] == "{}"
    records = stream(ir.PartStart(0, ir.ToolCall("c", "f", "")), ir.PartEnd(0), ir.Finish("tool_calls"))
    assert {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]} in deltas(records)


def test_custom_calls_are_custom() -> None:
    call = ir.ToolCall("c", "patch", "***", custom=True)
    assert message(call)["tool_calls"] == [{"id": "c", "type": "custom", "custom": {"name": "patch", "input": "***"}}]
    pieces = [d["tool_calls"][0] for d in deltas(stream(*events_of((call,), STOPPED))) if "tool_calls" in d]
    assert [piece["custom"] for piece in pieces] == [{"name": "patch", "input": ""}, {"input": "***"}]


def test_a_client_that_declared_functions_gets_function_call() -> None:
    request = chat.decode(functions=[{"name": "f"}], stream=True)
    body = answer(CALL, request=request)["choices"][0]
    assert body["message"]["function_call"] == {"name": "f", "arguments": '{"x":1}'}
    assert body["finish_reason"] == "function_call" and "tool_calls" not in body["message"]
    records = stream(*events_of((CALL,), STOPPED), request=request)
    assert [d["function_call"] for d in deltas(records) if "function_call" in d] == [
        {"name": "f", "arguments": ""},
        {"arguments": '{"x":1}'},
    ]
    assert reason(records) == "function_call"


CITED = ir.Citation("https://x", "X")


def test_citations_span_their_text() -> None:
    parts = (ir.Text("one "), ir.Text("two", citations=(CITED, ir.Citation("https://y", None, None, 1, 2))))
    notes = [note["url_citation"] for note in message(*parts)["annotations"]]
    assert notes == [
        {"start_index": 4, "end_index": 7, "url": "https://x", "title": "X"},
        {"start_index": 5, "end_index": 6, "url": "https://y", "title": ""},
    ]
    records = stream(ir.PartStart(0, ir.Text("")), ir.TextDelta(0, "one "), ir.PartEnd(0), ir.PartStart(1, ir.Text("")), ir.TextDelta(1, "two"),
                     ir.Cite(1, CITED), ir.PartEnd(1), STOPPED)  # fmt: skip
    assert [d["annotations"][0]["url_citation"] for d in deltas(records) if "annotations" in d] == notes[:1]


@pytest.mark.covers("FB-133")
def test_images_of_an_answer_have_an_index() -> None:
    picture = ir.Image(ir.Inline("image/png", "AAAA"))
    wanted = [{"type": "image_url", "index": 0, "image_url": {"url": "data:image/png;base64,AAAA"}}]
    assert message(picture)["images"] == wanted
    records = stream(ir.PartStart(0, picture), ir.PartEnd(0), STOPPED)
    assert [d["images"] for d in deltas(records) if "images" in d] == [wanted]


def test_opaque_parts_show_their_words() -> None:
    part = ir.Opaque(ir.Native("anthropic", Raw(b"{}")), "search", text="[searched]")
    assert message(part)["content"] == "[searched]"
    assert {"content": "[searched]"} in deltas(stream(ir.PartStart(0, part), ir.PartEnd(0), STOPPED))


def test_logprobs_are_streamed_beside_their_tokens() -> None:
    log = Raw(b'[{"token":"x","logprob":-0.1,"bytes":null,"top_logprobs":[]}]')
    records = stream(ir.PartStart(0, ir.Text("")), ir.TextDelta(0, "x", log), ir.PartEnd(0), STOPPED)
    assert records[1]["choices"][0]["logprobs"] == {"content": json.loads(bytes(log)), "refusal": None}


@pytest.mark.parametrize(
    ("field", "said"), [("content", {"content": "x"}), ("refusal", {"content": None, "refusal": "x"})]
)
def test_logprobs_of_a_whole_answer_are_the_list_that_streams_give(field: str, said: Any) -> None:
    log = [{"token": "x", "logprob": -0.1, "bytes": None, "top_logprobs": []}]
    choice = {"index": 0, "message": said, "finish_reason": "stop", "logprobs": {field: log}}
    found = TRANSLATOR.decode_response(json.dumps({"choices": [choice]}).encode(), chat.PLAIN)
    assert found.choices[0].logprobs is not None and json.loads(bytes(found.choices[0].logprobs)) == log
    body = TRANSLATOR.encode_response(found, chat.decode())
    ChatCompletion.model_validate_json(body, strict=True)
    assert json.loads(body)["choices"][0]["logprobs"][field] == log


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.covers("FB-86")
def test_only_a_client_that_asked_gets_the_usage_record(asked: bool) -> None:
    request = chat.decode(stream=True, stream_options={"include_usage": asked})
    records = stream(ir.UsageReport(ir.Usage(1, 2)), STOPPED, ir.Done(), request=request)
    counted = [
        record["usage"]["total_tokens"] for record in records if isinstance(record, dict) and record.get("usage")
    ]
    assert counted == ([3] if asked else [])
    assert all(("usage" in record) is asked for record in records if isinstance(record, dict))
    assert records[-1] == "[DONE]"


def test_each_choice_says_its_role_first() -> None:
    events: list[ir.Event] = [ir.PartStart(n, ir.Text(""), choice=n) for n in range(2)]
    events += (
        [ir.TextDelta(n, "x") for n in range(2)]
        + [ir.PartEnd(n) for n in range(2)]
        + [ir.Finish("stop", n) for n in range(2)]
    )
    records = stream(*events)
    for number in range(2):
        said = [r["choices"][0]["delta"] for r in records if r["choices"][0]["index"] == number]
        assert said == [{"role": "assistant", "content": ""}, {"content": "x"}, {}]


@pytest.mark.covers("FB-105", "PF-11", "RC-7")
def test_a_failure_is_an_error_record_and_no_clean_end() -> None:
    failed = ir.Failed(MuxError(Kind.UPSTREAM_CUT, "The provider's stream ended early."))
    data = TRANSLATOR.stream_encoder(chat.decode(stream=True)).encode(
        [
            ir.Start("c", "m", 7),
            ir.PartStart(0, ir.Text("")),
            ir.TextDelta(0, "x"),
            failed,
            ir.Finish("stop"),
            ir.Done(),
        ]
    )
    records = chat.frames(data)
    assert records[-1] == "[DONE]"
    assert records[-2]["error"]["message"] == "The provider's stream ended early."
    assert all(choice["finish_reason"] is None for record in records[:-2] for choice in record["choices"])
    with pytest.raises(APIError, match="ended early"):
        list(chat.client(data, "text/event-stream").chat.completions.create(model="m", messages=[], stream=True))


@pytest.mark.covers("FB-119", "PF-18", "RC-4")
def test_the_keepalive_is_a_comment_that_the_sdk_ignores() -> None:
    encoder = TRANSLATOR.stream_encoder(chat.decode(stream=True))
    data = (
        encoder.keepalive()
        + encoder.encode([ir.Start("c", "m", 7), STOPPED])
        + encoder.keepalive()
        + encoder.encode([ir.Done()])
    )
    assert data.startswith(b":")
    chunks = list(chat.client(data, "text/event-stream").chat.completions.create(model="m", messages=[], stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("given", "told"), [("msg_1", "chatcmpl-msg_1"), ("chatcmpl-1", "chatcmpl-1"), ("gen-1", "gen-1")]
)
def test_an_answers_id_has_the_known_prefix(given: str, told: str) -> None:
    body = TRANSLATOR.encode_response(ir.Response(given, "m", (ir.Choice((), STOPPED),)), chat.decode())
    assert json.loads(body)["id"] == told
