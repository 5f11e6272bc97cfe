"""Events to a client's stream: the order the SDK enforces, what coding tools need, and honest endings."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import envelope, registry
from llm_mux.translators.base import Hints
from llm_mux.translators.openai_responses.errors import told_in_stream
from llm_mux.translators.openai_responses.stream_encode import ResponsesStreamEncoder
from llm_mux.translators.openai_responses.summary import opened
from llm_mux.translators.openai_responses.translator import TRANSLATOR
from tests.translators.openai_responses.kit import (
    CODEX,
    MODEL,
    TARGET,
    client_for,
    completed,
    decode,
    events_of,
    fold,
    plain,
    raw,
    records_of,
    sent,
    stream,
    unfold,
)

TOOLS_USED = ir.Finish("tool_calls")
STOP = ir.Finish("stop")
SEAL = ir.Native("anthropic", raw({"signature": "s"}), "claude")


def kinds(records: list[dict[str, Any]]) -> list[str]:
    return [record["type"].removeprefix("response.") for record in records]


def final(records: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = records[-1]["response"]
    return found


def answer_of(*parts: ir.Part) -> ir.Response:
    return ir.Response("abc", MODEL, (ir.Choice(parts, STOP),))


def without_id(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "id"}


@pytest.mark.covers("PF-80", "PF-81", "FB-113", "FB-12")
def test_an_answer_with_reasoning_text_and_a_call_has_the_whole_sequence() -> None:
    parts = (ir.Reasoning("h", native=SEAL), ir.Text("x"), ir.ToolCall("c1", "f", "{}"))
    records = sent(unfold(parts, TOOLS_USED, ir.Usage(input=3, output=4, cache_read=2, reasoning=1)))
    assert kinds(records) == [
        "created",
        "in_progress",
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.done"),
        *("content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
        "completed",
    ]
    assert [record["sequence_number"] for record in records] == list(range(len(records)))
    ids: dict[int, set[str]] = {}
    for record in records:
        if "output_index" in record:
            ids.setdefault(record["output_index"], set()).add(record.get("item_id") or record["item"]["id"])
    assert {index: len(found) for index, found in ids.items()} == {0: 1, 1: 1, 2: 1}
    assert [min(found)[:3] for found in ids.values()] == ["rs_", "msg", "fc_"]


@pytest.mark.covers("FB-89", "PF-91", "FB-87")
def test_usage_is_told_with_all_its_details_even_when_it_is_late_or_unknown() -> None:
    events = unfold((ir.Text("x"),), STOP)
    late = [*events[:-1], ir.UsageReport(ir.Usage(5, 6, cache_read=1, cache_write=2)), events[-1]]
    assert final(sent(late))["usage"] == {
        "input_tokens": 8,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 14,
    }
    assert final(sent(events))["usage"]["total_tokens"] == 0


@pytest.mark.covers("FB-114")
def test_the_terminal_record_holds_every_item_that_was_done() -> None:
    records = sent(unfold((ir.Reasoning("h"), ir.Text("x"), ir.ToolCall("c1", "f", "")), TOOLS_USED))
    told = [record["item"] for record in records if record["type"] == "response.output_item.done"]
    assert final(records)["output"] == told
    assert told[-1]["arguments"] == "{}"
    assert final(records)["status"] == "completed"


def test_the_response_object_repeats_the_request() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}]
    asked = {
        "instructions": "Be kind.",
        "tools": tools,
        "tool_choice": "required",
        "temperature": 0.2,
        "text": {"verbosity": "low"},
        "reasoning": {"effort": "high"},
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "store": False,
        "truncation": "auto",
        "max_output_tokens": 99,
    }
    expected = asked | {
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "reasoning": {"effort": "high", "summary": None},
    }
    for record in sent(unfold((ir.Text("x"),), STOP), decode(**asked)):
        if "response" in record:
            assert {name: record["response"][name] for name in asked} == expected
            assert record["response"]["id"] == "resp_abc"
            assert record["response"]["created_at"] == 1795000000


@pytest.mark.covers("FB-102")
def test_pretty_printed_requests_do_not_break_the_records() -> None:
    sent_ = b'{"model":"m","input":"x","tools":[\n {"type":"function",\r\n  "name":"f","parameters":null}\n]}'
    request = TRANSLATOR.decode_request(sent_, Hints())
    assert kinds(sent(unfold((ir.Text("x"),), STOP), request))[-1] == "completed"


def test_texts_in_a_row_are_one_message_unless_their_phase_differs() -> None:
    def said(text: str, phase: str | None) -> ir.Text:
        return ir.Text(text, native=ir.Native("openai_responses", raw({"phase": phase})) if phase else None)

    output = final(sent(unfold((said("a", None), said("b", None)), STOP)))["output"]
    assert [[part["text"] for part in item["content"]] for item in output] == [["a", "b"]]
    output = final(sent(unfold((said("a", "commentary"), said("b", "final_answer")), STOP)))["output"]
    assert [item["phase"] for item in output] == ["commentary", "final_answer"]


@pytest.mark.parametrize("native", [SEAL, None])
def test_foreign_seals_travel_in_an_envelope(native: ir.Native | None) -> None:
    item = final(sent(unfold((ir.Reasoning("h", native=native), ir.Text("x")), STOP)))["output"][0]
    if native is None:
        assert "encrypted_content" not in item
    else:
        found = envelope.unseal(item["encrypted_content"])
        assert found is not None
        assert (found.owner, bytes(found.data)) == ("anthropic", bytes(native.data))


@pytest.mark.covers("FB-58")
def test_a_calls_foreign_seal_goes_before_the_call_and_comes_back_on_it() -> None:
    native = ir.Native("gemini", raw({"thoughtSignature": "c2ln"}), "gemini")
    signed = ir.ToolCall("call_1", "f", '{"a":1}', native=native)
    said = (ir.Text("x"), signed, ir.ToolCall("call_2", "f", "{}"))
    whole = ir.Response("abc", MODEL, (ir.Choice(said, TOOLS_USED),), created=1795000000)
    records = sent(unfold(said, TOOLS_USED))
    output = final(records)["output"]
    assert [item["type"] for item in output] == ["message", "reasoning", "function_call", "function_call"]
    assert json.loads(TRANSLATOR.encode_response(whole, decode()))["output"] == output
    done = [r["output_index"] for r in records if r["type"] == "response.output_item.done"]
    assert done == [0, 1, 2, 3]
    results = [{"type": "function_call_output", "call_id": id_, "output": "ok"} for id_ in ("call_1", "call_2")]
    turn = decode(input=[*output, *results]).messages[0]
    assert not any(isinstance(part, ir.Reasoning) for part in turn.parts)
    assert [plain(part.native) for part in turn.parts if isinstance(part, ir.ToolCall)] == [plain(native), None]


def test_our_own_seals_fit_the_id_they_are_given_under() -> None:
    native = ir.Native("openai_responses", raw({"id": "rs_up", "encrypted_content": "E"}), "gpt")
    whole = ir.Response("resp_1", MODEL, (ir.Choice((ir.Reasoning("h", native=native), ir.Text("x")), STOP),))
    item = json.loads(TRANSLATOR.encode_response(whole, decode()))["output"][0]
    assert (item["id"], item["encrypted_content"]) == ("rs_up", "E")
    streamed = final(sent(unfold((ir.Reasoning("h", native=native), ir.Text("x")), STOP)))["output"][0]
    assert streamed["id"] != "rs_up"
    back = decode(input=[streamed, {"role": "assistant", "content": "x"}]).messages[0].parts[0]
    assert isinstance(back, ir.Reasoning)
    assert back.native is not None
    assert json.loads(bytes(back.native.data)) == {"id": "rs_up", "encrypted_content": "E"}


def test_another_formats_chain_is_told_as_a_summary_since_that_is_what_clients_show() -> None:
    item = final(sent(unfold((ir.Reasoning("hm", raw=True),), STOP)))["output"][0]
    assert item["summary"] == [{"type": "summary_text", "text": "hm"}]


def test_a_whole_answers_own_chain_is_told_as_reasoning_text() -> None:
    native = ir.Native("openai_responses", raw({"id": None, "encrypted_content": "E"}), "gpt")
    whole = ir.Response("resp_1", MODEL, (ir.Choice((ir.Reasoning("hm", native=native, raw=True),), STOP),))
    item = json.loads(TRANSLATOR.encode_response(whole, decode()))["output"][0]
    assert item["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert item["summary"] == []


@pytest.mark.covers("FB-39")
def test_another_vendors_search_is_told_as_one_and_nobody_gets_it_back() -> None:
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "who won"}}
    searched = ir.Opaque(ir.Native("anthropic", raw(use)), "server_tool_use", hint=True)
    parts: list[ir.Part] = [ir.Text("Wait."), searched, ir.Text("The reds.")]
    whole = json.loads(TRANSLATOR.encode_response(answer_of(*parts), decode()))["output"]
    assert [item["type"] for item in whole] == ["message", "web_search_call", "message"]
    assert whole[1]["action"] == {"type": "search", "query": "who won"}
    streamed = final(sent(unfold(parts, STOP)))["output"]
    assert [without_id(item) for item in streamed] == [without_id(item) for item in whole]
    listed = [{"role": "user", "content": "x"}, *whole, {"role": "user", "content": "y"}]
    again = json.dumps({"model": "m", "input": listed}).encode()
    assert TRANSLATOR.adapt(again, TARGET, False) is None
    back = json.loads(TRANSLATOR.encode_request(TRANSLATOR.decode_request(again, Hints()), TARGET).body)
    assert {item["type"] for item in back["input"]} == {"message"}


@pytest.mark.parametrize(
    "data", [b"[]", b'{"name":"web_fetch","input":{"url":"x"}}', b'{"name":"web_search","input":3}']
)
def test_what_other_servers_tools_did_besides_leaves_no_trace(data: bytes) -> None:
    part = ir.Opaque(ir.Native("anthropic", msgspec.Raw(data)), "server_tool_use", hint=True)
    assert [item["type"] for item in final(sent(unfold([part, ir.Text("x")], STOP)))["output"]] == ["message"]


def test_what_another_vendor_made_and_can_be_said_is_said_whole_and_streamed() -> None:
    code = ir.Opaque(ir.Native("gemini", raw({"executableCode": {"code": "1"}})), "executableCode", text="`1`")
    parts: list[ir.Part] = [ir.Text("Look."), code, ir.Text("Done.")]
    whole = json.loads(TRANSLATOR.encode_response(answer_of(*parts), decode()))["output"]
    assert [part["text"] for part in whole[0]["content"]] == ["Look.", "`1`", "Done."]
    (item,) = final(sent(unfold(parts, STOP)))["output"]
    assert item["content"] == whole[0]["content"]


@pytest.mark.covers("PF-139")
def test_which_program_called_comes_back_whole_and_streamed() -> None:
    program = {"type": "program", "caller_id": "cm_1"}
    item = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{}", "caller": program}
    body = json.dumps({"id": "resp_1", "status": "completed", "output": [item]})
    whole = TRANSLATOR.decode_response(body.encode(), TARGET)
    (call,) = whole.choices[0].parts
    records = sent(unfold([call], TOOLS_USED))
    told = [record["item"] for record in records if "item" in record] + records[-1]["response"]["output"]
    assert [one["caller"] for one in told] == [program] * 3
    assert fold(events_of(stream(completed([item]))))[0] == call
    for name in ("anthropic", "openai_chat", "gemini", "ollama"):
        assert b"cm_1" not in registry.get(name).encode_response(whole, decode())


def test_namespaces_and_client_searches_come_back_as_the_client_knows_them() -> None:
    search = {"type": "tool_search", "execution": "client", "description": "d", "parameters": {"type": "object"}}
    request = decode(tools=[search])
    calls = (ir.ToolCall("c1", "tool_search", '{"query":"q"}'), ir.ToolCall("c2", "f", "{}", namespace="ns"))
    first, second = final(sent(unfold(calls, TOOLS_USED), request))["output"]
    assert first == {
        "type": "tool_search_call",
        "id": first["id"],
        "call_id": "c1",
        "execution": "client",
        "arguments": {"query": "q"},
        "status": "completed",
    }
    assert (second["type"], second["namespace"]) == ("function_call", "ns")
    plain_ = final(sent(unfold(calls[:1], TOOLS_USED)))["output"][0]
    assert plain_["type"] == "function_call"


@pytest.mark.covers("FB-95", "PF-89")
@pytest.mark.parametrize(
    ("finish", "status", "reason", "item"),
    [
        (ir.Finish("length"), "incomplete", "max_output_tokens", "incomplete"),
        (ir.Finish("context"), "incomplete", "max_output_tokens", "incomplete"),
        (ir.Finish("filtered"), "incomplete", "content_filter", "incomplete"),
        (ir.Finish("stop_sequence", stop_sequence="x"), "completed", None, "completed"),
        (STOP, "completed", None, "completed"),
    ],
)
def test_endings(finish: ir.Finish, status: str, reason: str | None, item: str) -> None:
    events = unfold((ir.Text("x"),), finish)
    response = final(sent(events))
    assert (response["status"], response["output"][-1]["status"]) == (status, item)
    assert (response["incomplete_details"] or {}).get("reason") == reason
    whole = ir.Response("abc", MODEL, (ir.Choice((ir.Text("x"),), finish),))
    once = json.loads(TRANSLATOR.encode_response(whole, decode()))
    assert (once["status"], once["output"][-1]["status"]) == (status, item)
    assert final(sent(events, decode(CODEX)))["status"] == "completed"


@pytest.mark.covers("FB-95")
def test_a_call_that_was_cut_is_not_told_done() -> None:
    for headers in ({}, CODEX):
        records = sent(unfold((ir.ToolCall("c1", "f", '{"a'),), ir.Finish("length")), decode(headers))
        assert "function_call_arguments.done" not in kinds(records)
        assert final(records)["output"][0]["status"] == "incomplete"
        assert final(records)["output"][0]["arguments"] == '{"a'


def test_a_broken_answer_is_a_failed_one() -> None:
    response = final(sent(unfold((ir.Text("x"),), ir.Finish("broken"))))
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")


@pytest.mark.parametrize("headers", [{}, CODEX], ids=["any", "codex"])
@pytest.mark.parametrize(
    ("parts", "finish", "words"),
    [
        ((ir.Refusal("No."),), ir.Finish("refusal"), "No."),
        ((), ir.Finish("refusal", detail="Not allowed."), "Not allowed."),
        ((), ir.Finish("refusal"), "The model refused to answer."),
    ],
)
def test_refusals_are_refusals_and_for_codex_text(
    parts: tuple[ir.Part, ...], finish: ir.Finish, words: str, headers: dict[str, str]
) -> None:
    response = final(sent(unfold(parts, finish), decode(headers)))
    content = response["output"][0]["content"][0]
    assert response["status"] == "completed"
    assert content == (
        {"type": "output_text", "text": words, "annotations": [], "logprobs": []}
        if headers
        else {"type": "refusal", "refusal": words}
    )


FAILURES = [
    (MuxError(Kind.CONTEXT_LENGTH, "too long"), "context_length_exceeded", "too long"),
    (
        MuxError(Kind.RATE_LIMIT, "Slow down.", retry_after=1.2),
        "rate_limit_exceeded",
        "Slow down. Please try again in 2s.",
    ),
    (MuxError(Kind.RATE_LIMIT, "try again in 3s", retry_after=3), "rate_limit_exceeded", "try again in 3s"),
    (MuxError(Kind.QUOTA, "no money"), "insufficient_quota", "no money"),
    (MuxError(Kind.BAD_REQUEST, "bad"), "invalid_prompt", "bad"),
    (MuxError(Kind.UPSTREAM_AUTH, "key sk-1 is wrong"), "server_error", "Provider refused its credentials"),
    (MuxError(Kind.UPSTREAM_CUT, "cut"), "server_error", "cut"),
]


@pytest.mark.covers("PF-90", "FB-105", "RC-7", "RC-8", "PF-88")
@pytest.mark.parametrize(("error", "code", "message"), FAILURES)
def test_a_failure_before_the_start_is_created_then_failed(error: MuxError, code: str, message: str) -> None:
    records = sent([ir.Failed(error)], decode(CODEX))
    assert kinds(records) == ["created", "failed"]
    assert final(records)["error"] == {"code": code, "message": message}
    assert records[0]["response"]["id"] == final(records)["id"]


@pytest.mark.covers("PF-11", "FB-104")
def test_a_failure_in_the_middle_ends_the_stream_without_a_clean_end() -> None:
    events = [*unfold((ir.Text("x"), ir.Text("yz")), STOP)[:8], ir.Failed(MuxError(Kind.UPSTREAM_CUT, "cut"))]
    records = sent(events)
    assert kinds(records)[-1] == "failed"
    assert final(records)["status"] == "failed"
    with client_for(TRANSLATOR.stream_encoder(decode()).encode(events)).responses.stream(
        model=MODEL, input="x"
    ) as stream:
        with pytest.raises(RuntimeError):
            stream.get_final_response()


@pytest.mark.covers("PF-90")
@pytest.mark.parametrize(
    ("headers", "stream", "kind", "told"),
    [
        (CODEX, True, Kind.CONTEXT_LENGTH, True),
        (CODEX, True, Kind.RATE_LIMIT, True),
        (CODEX, True, Kind.UPSTREAM_ERROR, False),
        (CODEX, False, Kind.CONTEXT_LENGTH, False),
        ({}, True, Kind.CONTEXT_LENGTH, False),
    ],
)
def test_which_failures_codex_reads_in_the_stream(
    headers: dict[str, str], stream: bool, kind: Kind, told: bool
) -> None:
    assert told_in_stream(MuxError(kind, "x"), decode(headers, stream=stream)) is told


@pytest.mark.covers("PF-18", "FB-119")
def test_a_keep_alive_is_a_record_and_comes_only_after_the_start() -> None:
    encoder = TRANSLATOR.stream_encoder(decode())
    assert encoder.keepalive() == b""
    events = unfold((ir.Text("xy"),), STOP)
    stream = encoder.encode(events[:3]) + encoder.keepalive() + encoder.encode(events[3:])
    records = records_of(stream)
    assert [record["sequence_number"] for record in records] == list(range(len(records)))
    with client_for(stream).responses.stream(model=MODEL, input="x") as sdk:
        assert sdk.get_final_response().output_text == "xy"


def test_a_websocket_gets_the_same_records() -> None:
    events = unfold((ir.Text("xy"),), STOP)
    encoder = ResponsesStreamEncoder(decode())
    assert [json.loads(one) for one in encoder.events(events)] == sent(events)


def test_an_answer_to_a_compaction_trigger_is_a_compaction_item() -> None:
    request = decode(input=[{"role": "user", "content": "x"}, {"type": "compaction_trigger"}])
    records = sent(unfold((ir.Reasoning("h"), ir.Text("The note.")), STOP), request)
    item = final(records)["output"][-1]
    assert item["type"] == "compaction"
    assert "The note." in (opened(item["encrypted_content"]) or "")
    assert "output_text.delta" not in kinds(records)


def test_citations_and_log_probabilities_are_told() -> None:
    token = [{"token": "x", "logprob": -0.1, "bytes": [120], "top_logprobs": []}]
    citation = ir.Citation(url="https://a.org", title="A")
    events = [
        ir.Start("abc", MODEL),
        ir.PartStart(0, ir.Text("")),
        ir.TextDelta(0, "x", logprobs=raw(token)),
        ir.Cite(0, citation),
        ir.PartEnd(0),
        STOP,
        ir.Done(),
    ]
    part = final(sent(events))["output"][0]["content"][0]
    assert part["logprobs"] == token
    assert part["annotations"] == [
        {"type": "url_citation", "url": "https://a.org", "title": "A", "start_index": 0, "end_index": 1}
    ]


@pytest.mark.parametrize("native", [None, ir.Native("anthropic", raw({}))])
def test_a_source_that_comes_before_its_text_is_of_all_of_it(native: ir.Native | None) -> None:
    cite = ir.Cite(0, ir.Citation(url="https://a.org", title="A", native=native))
    words = ir.TextDelta(0, "cold")
    records = sent([ir.Start("abc", MODEL), ir.PartStart(0, ir.Text("")), cite, words, ir.PartEnd(0), STOP, ir.Done()])
    (note,) = final(records)["output"][0]["content"][0]["annotations"]
    assert (note["start_index"], note["end_index"]) == (0, 4)
    names = kinds(records)
    told = names.index("output_text.annotation.added")
    assert names.index("output_text.delta") < told < names.index("output_text.done")


PARTS = st.one_of(
    st.builds(ir.Text, st.text(max_size=5)),
    st.builds(ir.Refusal, st.text(max_size=5)),
    st.builds(ir.Reasoning, st.text(max_size=5), native=st.sampled_from([None, SEAL])),
    st.builds(ir.ToolCall, st.uuids().map(str), st.just("f"), st.sampled_from(["", "{}", '{"a":1}'])),
    st.builds(ir.ToolCall, st.uuids().map(str), st.just("p"), st.text(max_size=5), custom=st.just(True)),
    st.just(ir.Opaque(ir.Native("gemini", raw({})), label="x", hint=True)),
)


@pytest.mark.covers("PF-80", "PF-81", "FB-98", "FB-99")
@settings(max_examples=60, deadline=None)
@given(st.lists(PARTS, max_size=6), st.sampled_from([STOP, TOOLS_USED, ir.Finish("refusal")]))
def test_the_sdk_accumulates_any_answer(parts: list[ir.Part], finish: ir.Finish) -> None:
    made = TRANSLATOR.stream_encoder(decode()).encode(unfold(parts, finish))
    with client_for(made).responses.stream(model=MODEL, input="x") as stream:
        response = stream.get_final_response()
    assert response.output_text == "".join(part.text for part in parts if isinstance(part, ir.Text))
    whole = ir.Response("abc", MODEL, (ir.Choice(tuple(parts), finish),), created=1795000000)
    once = json.loads(TRANSLATOR.encode_response(whole, decode()))["output"]
    streamed = records_of(made)[-1]["response"]["output"]
    assert once == streamed
