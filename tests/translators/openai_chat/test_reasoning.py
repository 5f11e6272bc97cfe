"""Opaque reasoning data survives a chat client and never reaches another vendor or family."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.translators.openai_chat.translator import TRANSLATOR
from tests.translators.openai_chat import chat

USER = {"role": "user", "content": "hi"}


def native(mark: str, owner: str = "anthropic") -> ir.Native:
    return ir.Native(owner, Raw(b'{"signature":"%b"}' % mark.encode()), "claude")


A, B = ir.Reasoning("first", native=native("a")), ir.Reasoning("second", native=native("b"))
ONE, TWO = ir.ToolCall("call_1", "f", "{}"), ir.ToolCall("call_2", "g", "{}")
TEXT = ir.Text("words")

CASES: list[Any] = [
    pytest.param((A, TEXT), id="before text"),
    pytest.param((A, B, TEXT), id="two in a row"),
    pytest.param((A, ONE), id="before a call"),
    pytest.param((A, TEXT, ONE, B, TWO), id="between calls"),
    pytest.param((ir.Reasoning("", native=native("a")), TEXT), id="empty with a seal"),
    pytest.param((ir.Reasoning("plain"), A, TEXT), id="unsealed first"),
    pytest.param((A, ir.Reasoning("plain"), TEXT), id="unsealed after"),
    pytest.param((ir.Text("words", native=native("t")),), id="on text"),
    pytest.param((msgspec.structs.replace(ONE, native=native("c")), TWO), id="on a call"),
    pytest.param(
        (msgspec.structs.replace(ONE, native=ir.Native("gemini", Raw(b'{"thoughtSignature":"c2ln"}'))), TWO),
        id="Gemini's on a call",
    ),
]


def plain(parts: tuple[ir.Part, ...]) -> bytes:
    return msgspec.json.encode(parts)


def replayed(message: Any) -> tuple[ir.Part, ...]:
    """What comes back when a client sends the answer's message as history."""
    return chat.decode(messages=[USER, message]).messages[1].parts


@pytest.mark.parametrize("parts", CASES)
@pytest.mark.covers("FB-62", "FB-66", "FB-68", "PF-35", "PF-49")
def test_an_answer_comes_back_as_it_was(parts: tuple[ir.Part, ...]) -> None:
    response = ir.Response("c", "m", (ir.Choice(parts, ir.Finish("stop")),))
    body = json.loads(TRANSLATOR.encode_response(response, chat.decode()))
    assert plain(replayed(body["choices"][0]["message"])) == plain(parts)


def events_of(parts: tuple[ir.Part, ...]) -> list[ir.Event]:
    events: list[ir.Event] = [ir.Start("c", "m", 7)]
    for index, part in enumerate(parts):
        assert isinstance(part, ir.Text | ir.Reasoning | ir.ToolCall)
        match part:
            case ir.Text(text=text):
                events += [ir.PartStart(index, ir.Text("")), *(ir.TextDelta(index, char) for char in text)]
            case ir.Reasoning(text=text):
                events += [ir.PartStart(index, ir.Reasoning("")), *(ir.ReasoningDelta(index, char) for char in text)]
            case ir.ToolCall(id=id_, name=name, arguments=arguments):
                events += [ir.PartStart(index, ir.ToolCall(id_, name, "")), ir.ArgumentsDelta(index, arguments)]
        events += [*([ir.Seal(index, part.native)] if part.native else []), ir.PartEnd(index)]
    return [*events, ir.Finish("stop"), ir.Done()]


@pytest.mark.parametrize("parts", CASES)
@pytest.mark.covers("FB-62", "FB-67")
def test_a_stream_gathered_by_the_sdk_comes_back_as_it_was(parts: tuple[ir.Part, ...]) -> None:
    data = TRANSLATOR.stream_encoder(chat.decode(stream=True)).encode(events_of(parts))
    with chat.client(data, "text/event-stream").chat.completions.stream(model="m", messages=[]) as stream:
        message = stream.get_final_completion().choices[0].message.to_dict()
    assert plain(replayed(message)) == plain(parts)


def test_a_client_that_trimmed_the_text_keeps_the_seal() -> None:
    response = ir.Response("c", "m", (ir.Choice((A, TEXT), ir.Finish("stop")),))
    message = json.loads(TRANSLATOR.encode_response(response, chat.decode()))["choices"][0]["message"]
    message.pop("reasoning_content")
    assert plain(replayed(message)[:1]) == plain((ir.Reasoning("", native=native("a")),))


@pytest.mark.parametrize("data", ["gw1.broken", "gw1.anthropic.claude.!!", "gw1.a.b.c.d"])
@pytest.mark.covers("FB-59")
def test_a_damaged_envelope_is_dropped(data: str) -> None:
    message = {
        "role": "assistant",
        "content": "x",
        "reasoning_content": "t",
        "reasoning_details": [{"type": "reasoning.encrypted", "data": data}],
    }
    parts = replayed(message)
    assert all(part.native is None for part in parts if isinstance(part, ir.Reasoning))


FOREIGN = [{"type": "reasoning.text", "text": "t", "signature": "s", "index": 0, "brand_new": 1e5}]


def test_entries_of_a_server_go_back_to_it_unmodified() -> None:
    message = {"role": "assistant", "content": "x", "reasoning": "t", "reasoning_details": FOREIGN}
    request = chat.decode(messages=[USER, message, USER])
    sent = chat.encode(request, chat.target("claude-x", reasoning_details=True))["messages"][1]
    assert sent["reasoning_details"] == FOREIGN and "reasoning_content" not in sent
    assert "reasoning_details" not in chat.encode(request)["messages"][1]


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "t"},
        {"reasoning": "t"},
        {"thinking": "t"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "t"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}]},
    ],
)
@pytest.mark.covers("PF-71")
def test_reasoning_in_a_history_is_read_in_every_spelling(message: Any) -> None:
    first = replayed({"role": "assistant", "content": "x", **message})[0]
    assert isinstance(first, ir.Reasoning) and first.text == "t"


def history(*reasonings: ir.Reasoning | None) -> ir.Request:
    """Turns that each call a tool, the last one only talks."""
    messages = [ir.Message("user", (ir.Text("go"),))]
    for number, thought in enumerate(reasonings):
        call = ir.ToolCall(f"call_{number}", "f", "{}")
        messages.append(ir.Message("assistant", (*((thought,) if thought else ()), call)))
        messages.append(ir.Message("user", (ir.ToolResult(call.id, (ir.Text("ok"),)),)))
    messages.append(ir.Message("assistant", (ir.Reasoning("end"), ir.Text("done"))))
    return chat.request(*messages, ir.Message("user", (ir.Text("more"),)))


def sent_back(request: ir.Request, field: str = "reasoning_content", **quirks: Any) -> list[Any]:
    body = chat.encode(request, chat.target("deepseek-chat", **quirks))
    return [m.get(field) for m in body["messages"] if m["role"] == "assistant"]


def own(text: str, family: str = "deepseek") -> ir.Reasoning:
    return ir.Reasoning(text, native=ir.Native("openai_chat", Raw(b"[]"), family))


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [("never", [None, None, None]), ("tool_loops", ["a", "", None]), ("always", ["a", "", "end"])],
)
@pytest.mark.covers("PF-72")
def test_reasoning_goes_back_as_the_server_wants(policy: str, wanted: Any) -> None:
    assert sent_back(history(own("a"), None), send_back_reasoning=policy) == wanted


@pytest.mark.covers("FB-77")
def test_the_last_real_reasoning_is_repeated_for_kimi() -> None:
    assert sent_back(history(own("a"), None), send_back_reasoning="tool_loops", repeat_reasoning=True) == [
        "a",
        "a",
        None,
    ]


@pytest.mark.parametrize("foreign", [ir.Reasoning("secret", native=native("a")), own("secret", "qwen")])
@pytest.mark.covers("FB-58", "PF-140")
def test_reasoning_of_another_vendor_or_family_is_dropped_whole(foreign: ir.Reasoning) -> None:
    request = history(foreign)
    assert sent_back(request, send_back_reasoning="tool_loops") == ["", None]
    assert (
        b"secret"
        not in TRANSLATOR.encode_request(request, chat.target("deepseek-chat", send_back_reasoning="always")).body
    )


def test_the_field_has_the_servers_name() -> None:
    assert sent_back(history(own("a")), "reasoning", send_back_reasoning="always", reasoning_field="reasoning") == [
        "a",
        "end",
    ]


def test_content_beside_reasoning_is_never_null() -> None:
    body = chat.encode(history(own("a")), chat.target("deepseek-chat", send_back_reasoning="tool_loops"))
    assert body["messages"][1]["content"] == ""


@pytest.mark.covers("FB-60", "PF-99")
def test_geminis_layer_gets_its_signature_or_the_stand_in() -> None:
    signed = msgspec.structs.replace(ONE, native=ir.Native("gemini", Raw(b'{"thoughtSignature":"c2ln"}'), "gemini"))
    messages = [
        ir.Message("user", (ir.Text("go"),)),
        ir.Message("assistant", (signed, TWO)),
        ir.Message("assistant", (ir.ToolCall("c", "f", ""),)),
    ]
    for last, wanted in ((messages[:2], "c2ln"), ([messages[0], messages[2]], "skip_thought_signature_validator")):
        body = chat.encode(chat.request(*last), chat.target("gemini-3-pro", extra_content_signatures=True))
        call = body["messages"][1]["tool_calls"][0]
        assert call["extra_content"]["google"]["thought_signature"] == wanted
        plain_call = chat.encode(chat.request(*last))["messages"][1]["tool_calls"][0]
        assert "extra_content" not in plain_call
