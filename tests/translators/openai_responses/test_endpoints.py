"""What serves the rest of the API: splicing, stored responses, compaction, counting, websocket frames, model lists."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators import envelope
from llm_mux.translators.base import Hints, Target
from llm_mux.translators.openai_responses.compact import compact_request, compact_response
from llm_mux.translators.openai_responses.quirks import Quirks
from llm_mux.translators.openai_responses.store import items_of, prepend_items
from llm_mux.translators.openai_responses.translator import TRANSLATOR
from llm_mux.translators.openai_responses.websocket import Create, Steer, on_lane, split_ws, steer_failed
from llm_mux.wire import jsonx
from tests.translators.openai_responses.kit import MODEL, TARGET, body, client_for, decode, encode, raw

SIMPLE = Quirks(stateless=True, unsupported=frozenset({"temperature"}), custom_tools=False, hosted_tools=frozenset())


@pytest.mark.covers("FB-101", "FB-138", "PF-132")
def test_a_request_of_the_same_format_needs_a_new_model_only() -> None:
    sent = body(input=[{"role": "user", "content": "x"}], temperature=1e0, unknown={"b": 1, "a": 2}, stream=True)
    edits = TRANSLATOR.adapt(sent, Target("real-model"), True)
    assert edits is not None
    assert edits.top == {"model": b'"real-model"'}
    assert TRANSLATOR.adapt(sent, Target("m"), False) is not None


@pytest.mark.parametrize(
    ("model", "effort", "dropped"),
    [
        ("gpt-5.6", None, ("temperature", "top_p")),
        ("o3", "low", ("temperature", "top_p")),
        ("gpt-5.6", "none", ()),
        ("gpt-4.1", None, ()),
        ("grok-4", "high", ()),
    ],
)
def test_sampling_that_the_model_does_not_take_is_cut_out_and_reported(
    model: str, effort: str | None, dropped: tuple[str, ...]
) -> None:
    sent = body(temperature=0.5, top_p=0.9, **({"reasoning": {"effort": effort}} if effort else {}))
    edits = TRANSLATOR.adapt(sent, Target(model), False)
    assert edits is not None
    assert edits.dropped == dropped
    assert edits.top == {"model": json.dumps(model).encode(), **dict.fromkeys(dropped)}
    assert TRANSLATOR.encode_request(decode(**json.loads(sent)), Target(model)).dropped == dropped


def test_a_wish_for_reasoning_that_cannot_be_read_is_left_to_the_translation() -> None:
    assert TRANSLATOR.adapt(body(temperature=0.5, reasoning="high"), Target("gpt-5.6"), False) is None


@pytest.mark.parametrize(
    ("fields", "top", "dropped"),
    [
        (
            {"temperature": 1, "store": True},
            {"model": b'"m"', "store": b"false", "temperature": None},
            ("temperature",),
        ),
        ({"background": True}, {"model": b'"m"', "store": b"false", "background": None}, ("background",)),
        ({"tools": [{"type": "function", "name": "f"}]}, {"model": b'"m"', "store": b"false"}, ()),
    ],
)
def test_a_poorer_server_gets_the_request_without_what_it_refuses(
    fields: dict[str, Any], top: dict[str, bytes | None], dropped: tuple[str, ...]
) -> None:
    edits = TRANSLATOR.adapt(body(**fields), Target("m", quirks=SIMPLE), False)
    assert edits is not None
    assert (edits.top, edits.dropped) == (top, dropped)


@pytest.mark.parametrize(
    ("fields", "quirks"),
    [
        ({"input": [{"type": "reasoning", "encrypted_content": envelope.seal(ir.Native("gemini", raw(1)))}]}, Quirks()),
        (
            {"input": [{"type": "reasoning", "encrypted_content": envelope.seal_of_call(ir.Native("gemini", raw(1)))}]},
            Quirks(),
        ),
        ({"previous_response_id": "resp_1"}, SIMPLE),
        ({"tools": [{"type": "custom", "name": "p"}]}, SIMPLE),
        ({"tools": [{"type": "web_search"}]}, SIMPLE),
        ({"input": [{"type": "additional_tools", "tools": []}]}, SIMPLE),
        ({"input": [{"role": "system", "content": "x"}]}, Quirks(system_role="developer")),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}]},
            Quirks(rich_results=False),
        ),
    ],
)
def test_what_needs_more_than_top_level_edits_is_translated(fields: dict[str, Any], quirks: Quirks) -> None:
    assert TRANSLATOR.adapt(body(**fields), Target("m", quirks=quirks), False) is None


@pytest.mark.parametrize("sent", [b"", b"{", b"[]", b'{"model":"m"}'])
def test_a_bad_body_is_left_to_the_decoder_to_refuse(sent: bytes) -> None:
    assert TRANSLATOR.adapt(sent, TARGET, False) is None


@pytest.mark.covers("FB-143")
def test_a_stored_response_comes_back_in_front_of_the_new_items() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
    first = body(input="Call f.", instructions="old")
    stored = items_of(first, json.dumps({"id": "resp_1", "output": [call], "status": "completed"}).encode())
    assert [item.get("role", item["type"]) for item in json.loads(stored)] == ["user", "function_call"]
    result = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
    joined = prepend_items(body(previous_response_id="resp_1", input=[result], instructions="new"), stored)
    request = TRANSLATOR.decode_request(joined, Hints())
    assert [m.role for m in request.messages] == ["system", "user", "assistant", "user"]
    assert ir.joined(request.messages[0].parts) == "new"
    answer = ir.Response("resp_2", MODEL, (ir.Choice((ir.Text("x"),), ir.Finish("stop")),))
    assert json.loads(TRANSLATOR.encode_response(answer, request))["previous_response_id"] == "resp_1"
    assert "previous_response_id" not in encode(request)
    edits = TRANSLATOR.adapt(joined, TARGET, False)
    assert edits is not None
    spliced = json.loads(jsonx.splice(joined, edits.top))
    assert not [key for key in spliced if "previous" in key]
    again = json.loads(items_of(joined, b'{"output":[]}'))
    assert len(again) == 3


def test_stored_items_meet_a_text_as_well_as_a_list() -> None:
    joined = json.loads(prepend_items(body(input="next"), b'[{"role":"user","content":"first"}]'))
    assert [item["role"] for item in joined["input"]] == ["user", "user"]


def test_compaction_asks_for_a_summary_and_gives_it_back_sealed() -> None:
    sent = body(
        input=[
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ]
    )
    request = compact_request(sent)
    asked = request.messages[-1].parts[-1]
    assert isinstance(asked, ir.Opaque)
    assert "hand-over note" in asked.text
    choice = ir.Choice((ir.Reasoning("h"), ir.Text("They build a boat.")), ir.Finish("stop"))
    made = compact_response(ir.Response("1", MODEL, (choice,), ir.Usage(5, 6), created=7), sent)
    parsed = client_for(made, "application/json").responses.compact(model=MODEL)
    assert [item.type for item in parsed.output] == ["message", "message", "compaction"]
    assert (parsed.object, parsed.created_at, parsed.usage.total_tokens) == ("response.compaction", 7, 11)
    after = decode(input=[*json.loads(made)["output"], {"role": "user", "content": "go on"}])
    assert "They build a boat." in "".join(ir.joined(m.parts) for m in after.messages)


def test_a_model_that_writes_no_summary_compacts_nothing() -> None:
    empty = ir.Response("1", MODEL, (ir.Choice((), ir.Finish("stop")),))
    with pytest.raises(MuxError, match="summary"):
        compact_response(empty, body())


@pytest.mark.covers("FB-140")
def test_counting_asks_without_anything_about_generation() -> None:
    counter = TRANSLATOR.counter
    assert counter is not None
    made = counter.encode_request(
        decode(max_output_tokens=50, temperature=1, store=True, instructions="x", stream=True), TARGET
    )
    assert set(json.loads(made.body)) == {"model", "input", "instructions"}
    assert counter.decode_response(b'{"object":"response.input_tokens","input_tokens":12}') == 12
    assert json.loads(counter.encode_response(12, decode())) == {"object": "response.input_tokens", "input_tokens": 12}
    with pytest.raises(MuxError):
        counter.decode_response(b"{}")


@pytest.mark.covers("RC-1")
def test_a_websocket_message_becomes_a_body() -> None:
    message = {
        "type": "response.create",
        "model": "m",
        "input": "x",
        "generate": False,
        "stream_id": "a",
        "background": True,
    }
    made = split_ws(json.dumps(message).encode())
    assert isinstance(made, Create)
    assert json.loads(made.body) == {"model": "m", "input": "x", "stream": True}
    assert (made.generate, made.stream_id) == (False, "a")
    bare = split_ws(b'{"type":"response.create","model":"m"}')
    assert isinstance(bare, Create) and bare.generate
    assert json.loads(on_lane(b'{"type":"x"}', "a")) == {"type": "x", "stream_id": "a"}
    assert on_lane(b'{"type":"x"}', None) == b'{"type":"x"}'


@pytest.mark.covers("FB-143")
def test_what_is_stored_and_sent_again_is_there_once() -> None:
    calls = [
        {"type": "function_call", "id": "fc_1", "call_id": c, "name": "f", "arguments": "{}"} for c in ("c1", "c2")
    ]
    user = {"type": "message", "role": "user", "content": "x"}
    results = [{"type": "function_call_output", "call_id": c, "output": "ok"} for c in ("c1", "c2")]
    stored = json.dumps([user, calls[0]]).encode()
    joined = prepend_items(body(previous_response_id="resp_1", input=[user, *calls, *results]), stored)
    assert json.loads(joined)["input"] == [user, calls[0], user, calls[1], *results]


BAD_STEERS = [
    b'{"type":"response.steer"}',
    b'{"type":"response.steer","input":"x"}',
    b'{"type":"response.steer","input":"x","previous_response_id":5}',
]


@pytest.mark.parametrize("message", [b"", b"[]", b"{}", b'{"type":5}', *BAD_STEERS])
def test_other_websocket_messages_are_refused(message: bytes) -> None:
    with pytest.raises(MuxError):
        split_ws(message)


def test_a_steering_is_given_back_as_it_came() -> None:
    message = {"type": "response.steer", "previous_response_id": "resp_1", "input": [{"role": "user", "content": "é"}]}
    steer = split_ws(json.dumps(message).encode())
    assert isinstance(steer, Steer)
    event = json.loads(steer_failed(steer, "response_not_found", "No."))
    assert event["steer"] == {name: message[name] for name in ("previous_response_id", "input")}
    assert (event["type"], event["error"]["code"]) == ("response.steer.failed", "response_not_found")


def test_model_lists_are_read() -> None:
    listed = {
        "object": "list",
        "data": [
            {"id": "gpt-6-sol", "object": "model", "created": 5, "owned_by": "openai"},
            {"id": "x", "context_length": 9, "name": "X", "max_output_tokens": 3},
            {"object": "model"},
        ],
    }
    models = TRANSLATOR.decode_models(json.dumps(listed).encode())
    assert [(m.id, m.created, m.display_name, m.context, m.max_output) for m in models] == [
        ("gpt-6-sol", 5, None, None, None),
        ("x", None, "X", 9, 3),
    ]
    for broken in (b"", b"[]", b'{"data":5}', b"<html>"):
        with pytest.raises(MuxError):
            TRANSLATOR.decode_models(broken)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "input_tokens": 100,
                "output_tokens": 20,
                "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            },
            ir.Usage(30, 20, cache_read=60, cache_write=10),
        ),
        (
            {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 50}},
            ir.Usage(0, 5, cache_read=10),
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "total_tokens": 22,
                "output_tokens_details": {"reasoning_tokens": 7},
            },
            ir.Usage(10, 12, reasoning=7),
        ),
        ({"input_tokens": 10, "output_tokens": 5, "input_tokens_details": None}, ir.Usage(10, 5)),
        (None, None),
    ],
)
def test_usage_adds_up_and_is_never_negative(usage: Any, expected: ir.Usage | None) -> None:
    answer = {"id": "r", "status": "completed", "output": [], "usage": usage}
    assert TRANSLATOR.decode_response(json.dumps(answer).encode(), TARGET).usage == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "stream",
        "include",
        "metadata",
        "x",
    ]
)
ITEM = st.dictionaries(
    st.sampled_from(
        ["type", "role", "content", "call_id", "name", "arguments", "output", "summary", "tools", "encrypted_content"]
    ),
    JSON
    | st.sampled_from(["user", "assistant", "message", "function_call", "reasoning", "compaction", "additional_tools"])
    | st.lists(
        st.dictionaries(st.sampled_from(["type", "text"]), st.sampled_from(["input_text", "x"]) | JSON), max_size=3
    ),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, JSON | st.lists(ITEM, max_size=4), max_size=8))
def test_any_json_is_taken_or_refused_and_never_crashes(fields: dict[str, Any]) -> None:
    sent = json.dumps({"model": "m", **fields}).encode()
    with contextlib.suppress(MuxError):
        request = TRANSLATOR.decode_request(sent, Hints())
        TRANSLATOR.stream_encoder(request).encode([ir.Start("a", "m"), ir.Finish("stop"), ir.Done()])
        TRANSLATOR.encode_request(request, TARGET)
        TRANSLATOR.encode_request(request, Target("m", quirks=SIMPLE))
    TRANSLATOR.adapt(sent, TARGET, False)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["id", "status", "output", "usage", "error"]), JSON | st.lists(ITEM, max_size=3))
)
def test_any_answer_is_taken_or_refused_and_never_crashes(fields: dict[str, Any]) -> None:
    sent = json.dumps(fields).encode()
    TRANSLATOR.summary(sent)
    TRANSLATOR.decode_error(500, {}, sent)
    with contextlib.suppress(MuxError):
        TRANSLATOR.encode_response(TRANSLATOR.decode_response(sent, TARGET), decode())
