"""When a client's own bytes go through, and that they then mean what a translation would have meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_mux.translators.base import Edits, Hints, Target
from llm_mux.translators.openai_chat.quirks import COMPATIBLE
from llm_mux.translators.openai_chat.translator import TRANSLATOR
from llm_mux.wire import jsonx, sse
from tests.translators.openai_chat import chat

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
COMPAT = Target("some-model", quirks=COMPATIBLE)


def body_of(**fields: Any) -> bytes:
    return json.dumps({"model": "alias", "messages": [USER], **fields}).encode()


def edits(to: Target = chat.PLAIN, streams: bool = False, **fields: Any) -> Edits | None:
    return TRANSLATOR.adapt(body_of(**fields), to, streams)


def spliced(body: bytes, found: Edits) -> Any:
    return json.loads(jsonx.splice(body, found.top))


def calling(**message: Any) -> list[Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turn = {"role": "assistant", "content": None, "tool_calls": [call], **message}
    return [USER, turn, {"role": "tool", "tool_call_id": "c1", "content": "ok"}]


@pytest.mark.parametrize(
    ("fields", "to", "stream", "top", "dropped"),
    [
        pytest.param({}, chat.PLAIN, False, {"model": "gpt-4.1"}, (), id="model only"),
        pytest.param({"max_tokens": 5}, chat.PLAIN, False, {"model": "gpt-4.1", "max_tokens": None, "max_completion_tokens": 5}, (), id="limit renamed"),
        pytest.param({"max_completion_tokens": 5}, COMPAT, False, {"model": "some-model", "max_completion_tokens": None, "max_tokens": 5}, (), id="limit named the old way"),
        pytest.param({"max_completion_tokens": 50}, Target("gpt-4.1", max_output=9), False, {"model": "gpt-4.1", "max_completion_tokens": 9}, (), id="limit clamped"),
        pytest.param({"max_tokens": -1}, COMPAT, False, {"model": "some-model", "max_tokens": None}, (), id="no limit"),
        pytest.param({"temperature": 1, "n": 1, "logprobs": False}, chat.OPENAI, False, {"model": "gpt-5.5", "temperature": None, "logprobs": None}, (), id="defaults removed"),
        pytest.param({"temperature": 0.5, "tools": [TOOL]}, chat.OPENAI, False, {"model": "gpt-5.5", "temperature": None}, ("temperature",), id="knob removed"),
        pytest.param({"store": True, "metadata": None}, COMPAT, False, {"model": "some-model", "store": None, "metadata": None}, ("store",), id="official fields removed"),
        pytest.param({"stream": True}, chat.PLAIN, True, {"model": "gpt-4.1", "stream_options": {"include_usage": True}}, (), id="usage asked for"),
        pytest.param({}, chat.PLAIN, True, {"model": "gpt-4.1", "stream": True, "stream_options": {"include_usage": True}}, (), id="stream forced"),
        pytest.param({"stream": True, "stream_options": {"include_usage": True}}, chat.PLAIN, True, {"model": "gpt-4.1"}, (), id="usage wanted anyway"),
        pytest.param({"stream": True, "stream_options": {"include_usage": True}}, chat.target(stream_usage=False), True, {"model": "gpt-4.1", "stream_options": None}, (), id="no stream options"),
    ],
)  # fmt: skip
def test_top_level_keys_are_edited(fields: Any, to: Target, stream: bool, top: Any, dropped: Any) -> None:
    found = edits(to, stream, **fields)
    assert found is not None
    assert {key: value if value is None else json.loads(value) for key, value in found.top.items()} == top
    assert found.dropped == dropped


@pytest.mark.parametrize(
    ("asked", "hidden"), [(None, True), ({"include_usage": False}, True), ({"include_usage": True}, False)]
)
@pytest.mark.covers("FB-86")
def test_usage_that_the_client_did_not_ask_for_is_hidden(asked: Any, hidden: bool) -> None:
    found = edits(streams=True, **({"stream_options": asked} if asked else {}))
    assert found is not None and found.hide_usage is hidden


@pytest.mark.covers("FB-101", "FB-138")
def test_all_other_values_keep_their_bytes() -> None:
    body = b'{"model" : "a", "messages":[{"role":"user","content":"x", "later": 1e5}], "brand_new": {"n": 1.0}}'
    found = TRANSLATOR.adapt(body, chat.PLAIN, False)
    assert found is not None
    out = jsonx.splice(body, found.top)
    assert b'[{"role":"user","content":"x", "later": 1e5}]' in out and b'{"n": 1.0}' in out


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        pytest.param({"messages": [{"role": "developer", "content": "x"}, USER]}, COMPAT, id="developer"),
        pytest.param({"messages": [{"role": "function", "name": "f", "content": "x"}]}, chat.PLAIN, id="function role"),
        pytest.param({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://x"}]}]}, chat.PLAIN, id="bare image"),
        pytest.param({"messages": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]}, chat.PLAIN, id="foreign part"),
        pytest.param({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, chat.target(flatten_content=True), id="lists"),
        pytest.param({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]}, chat.target(images=False), id="images"),
        pytest.param({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}]}, chat.PLAIN, id="cache_control"),
        pytest.param({"messages": calling(reasoning_content="t")}, chat.PLAIN, id="reasoning that the server does not want"),
        pytest.param({"messages": calling()}, chat.target(send_back_reasoning="tool_loops"), id="reasoning that is missing"),
        pytest.param({"messages": calling(reasoning_details=[{"data": "gw1.a.b.c"}])}, chat.target(reasoning_details=True), id="envelope"),
        pytest.param({"messages": calling()}, COMPAT, id="null content"),
        pytest.param({"messages": calling()}, chat.target(tool_id_limit=9), id="ids"),
        pytest.param({"messages": calling()}, chat.target(extra_content_signatures=True), id="signature missing"),
        pytest.param({"messages": [{"role": "system", "content": "a"}, USER, {"role": "system", "content": "b"}]}, chat.target(single_system=True), id="systems"),
        pytest.param({"messages": [{**USER, "name": "ada"}]}, chat.target(unsupported=frozenset({"name"})), id="names"),
        pytest.param({"functions": [{"name": "f"}]}, chat.PLAIN, id="functions"),
        pytest.param({"tool_choice": "auto"}, chat.PLAIN, id="choice without tools"),
        pytest.param({"tools": []}, chat.PLAIN, id="empty tools"),
        pytest.param({"tools": [{"type": "function", "function": {"name": "a.b"}}]}, chat.PLAIN, id="illegal name"),
        pytest.param({"tools": [{"type": "custom", "custom": {"name": "a"}}]}, COMPAT, id="custom tool"),
        pytest.param({"tools": [TOOL], "tool_choice": "required"}, chat.target(forced_tools=False), id="forced"),
        pytest.param({"thinking": {"type": "enabled"}}, chat.PLAIN, id="thinking"),
        pytest.param({"enable_thinking": True}, COMPAT, id="enable_thinking"),
        pytest.param({"reasoning_effort": "minimal"}, chat.OPENAI, id="effort the model lacks"),
        pytest.param({"stop": ["a"]}, chat.OPENAI, id="stop the model lacks"),
        pytest.param({"stop": list("abcde")}, chat.PLAIN, id="too many stops"),
        pytest.param({"n": 2}, chat.target(unsupported=frozenset({"n"})), id="n"),
        pytest.param({"response_format": {"type": "json_schema"}}, chat.target(json_schema=False), id="schema"),
        pytest.param({"messages": "x"}, chat.PLAIN, id="no messages"),
        pytest.param({"messages": [USER, {"role": "assistant", "refusal": "No."}]}, COMPAT, id="refusal"),
        pytest.param({"messages": [{**USER, "cache_control": {"type": "ephemeral"}}]}, chat.PLAIN, id="mark on a message"),
        pytest.param({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "prompt_cache_breakpoint": {}}]}]}, chat.PLAIN, id="breakpoint"),
        pytest.param({"messages": [{"role": "user", "content": {"type": "text", "text": "x"}}]}, chat.PLAIN, id="object content"),
        pytest.param({"messages": [*calling()[:2], {"role": "tool", "content": "ok"}]}, chat.PLAIN, id="result without an id"),
        pytest.param({"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]}, chat.target(strict_tools=False), id="strict"),
        pytest.param({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, COMPAT, id="allowed tools"),
        pytest.param({"stop": 5}, chat.PLAIN, id="wrong type"),
    ],
)  # fmt: skip
def test_nested_work_means_translation(fields: Any, to: Target) -> None:
    assert edits(to, **fields) is None


TARGETS = [
    pytest.param(chat.OPENAI, id="reasoning model"),
    pytest.param(Target("gpt-5.6-sol"), id="with breakpoints"),
    pytest.param(chat.PLAIN, id="chat model"),
    pytest.param(COMPAT, id="compatible"),
    pytest.param(
        chat.target("m", openai_models=False, send_back_reasoning="always", reasoning_details=True),
        id="keeps reasoning",
    ),
]


def normal(body: Any) -> Any:
    """A body without the differences that mean nothing: what is empty beside calls, reasoning said twice, lists of texts."""
    for message in body["messages"]:
        if message.get("tool_calls"):
            message["content"] = message.get("content") or None
            message["reasoning_content"] = message.get("reasoning_content") or None
        if "reasoning_details" in message:
            message["reasoning_content"] = None
        if message["role"] == "tool" and isinstance(message["content"], list):
            message["content"] = "\n".join(part["text"] for part in message["content"])
    return body


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("case", chat.CASES)
def test_what_goes_through_means_what_a_translation_means(case: str, to: Target) -> None:
    body = (chat.TRANSCRIPTS / case / "request.json").read_bytes()
    request = TRANSLATOR.decode_request(body, Hints())
    found = TRANSLATOR.adapt(body, to, request.stream)
    if found is not None:
        sent = TRANSLATOR.encode_request(request, to)
        through = spliced(body, found)
        if "tools" in through:
            assert len(through["tools"]) == len(request.tools)
        assert normal(through) == normal(json.loads(sent.body))
        assert found.dropped == tuple(sorted(sent.dropped))


def test_most_plain_requests_go_through() -> None:
    through = [
        case
        for case in chat.CASES
        if TRANSLATOR.adapt((chat.TRANSCRIPTS / case / "request.json").read_bytes(), chat.OPENAI, False)
    ]
    assert {"text", "system_multi_turn", "tool_call", "image", "pdf", "json_schema", "cached_usage"} <= set(through)


@pytest.mark.parametrize(
    ("data", "hidden"),
    [
        (b'{"id":"c","choices":[],"usage":{"prompt_tokens":1}}', True),
        (b'{"id":"c","choices": [ ],"usage":{"prompt_tokens":1}}', True),
        (b'{"id":"c","choices":[],"usage":null}', False),
        (b'{"id":"c","choices":[],"prompt_filter_results":[]}', False),
        (
            b'{"id":"c","choices":[{"index":0,"delta":{"content":"\\"usage\\" \\"choices\\":[]"}}],"usage":{"prompt_tokens":1}}',
            False,
        ),
        (b"[DONE]", False),
        (b'{"usage" "choices":[]', False),
    ],
)
def test_only_the_usage_record_is_hidden(data: bytes, hidden: bool) -> None:
    assert TRANSLATOR.hides is not None
    assert TRANSLATOR.hides(sse.Frame(None, data, b"")) is hidden


@pytest.mark.parametrize(("effort", "spliced"), [(None, False), ("low", False), ("none", True)])
def test_log_probabilities_of_a_model_that_reasons_are_left_to_the_translation_to_refuse(
    effort: str | None, spliced: bool
) -> None:
    fields = {"logprobs": True, **({"reasoning_effort": effort} if effort else {})}
    assert (edits(Target("gpt-5.5"), **fields) is not None) is spliced
