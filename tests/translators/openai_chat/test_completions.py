"""The legacy completions endpoint in front of chat models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw
from openai.types import Completion

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import Hints
from llm_mux.translators.openai_chat.completions import LEGACY
from llm_mux.wire import sse
from tests.translators.openai_chat import chat


def decode(**fields: Any) -> ir.Request:
    return LEGACY.decode_request(json.dumps({"model": "m", "prompt": "Once", **fields}).encode(), Hints())


@pytest.mark.parametrize("prompt", ["Once", ["Once"]])
def test_a_prompt_is_one_user_message(prompt: Any) -> None:
    request = decode(prompt=prompt)
    assert request.messages == (ir.Message("user", (ir.Text("Once"),)),)
    assert request.protocol == "openai_completions"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"model": ""}, "model"),
    ],
)
def test_what_chat_cannot_express_is_refused_by_name(fields: Any, param: str) -> None:
    with pytest.raises(MuxError) as caught:
        decode(**fields)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


def test_a_wrong_type_is_a_bad_request() -> None:
    with pytest.raises(MuxError, match="temperature"):
        decode(temperature="warm")


def test_sampling_is_kept() -> None:
    request = decode(
        temperature=0.5, n=2, logprobs=3, max_tokens=9, stop="x", user="u", seed=4, logit_bias={"1": 2}, top_k=7
    )
    assert request.sampling.n == 2 and request.sampling.logprobs is True and request.sampling.top_logprobs == 3
    assert (request.max_tokens, request.stop, request.user) == (9, ("x",), "u")
    assert set(request.extras) == {"top_k"}


def answer(request: ir.Request, *parts: ir.Part, finish: str = "stop", log: Raw | None = None) -> Any:
    choice = ir.Choice(parts, ir.Finish(finish), log)  # type: ignore[arg-type]  # one of the words of the test
    body = LEGACY.encode_response(ir.Response("c", "m", (choice,), ir.Usage(1, 2), 7), request)
    Completion.model_validate_json(body, strict=True)
    return json.loads(body)


def test_a_whole_answer_is_text() -> None:
    body = answer(decode(), ir.Reasoning("hm"), ir.Text(" upon"), ir.Text(" a time"))
    assert body["id"] == "cmpl-c" and body["object"] == "text_completion"
    assert body["choices"] == [{"text": " upon a time", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"]["total_tokens"] == 3


@pytest.mark.parametrize(
    ("finish", "word"),
    [("length", "length"), ("filtered", "content_filter"), ("tool_calls", "stop"), ("context", "length")],
)
def test_the_finish_reason_is_one_of_three(finish: str, word: str) -> None:
    assert answer(decode(), ir.Text("x"), finish=finish)["choices"][0]["finish_reason"] == word


def test_a_broken_answer_is_an_error() -> None:
    with pytest.raises(MuxError):
        answer(decode(), finish="broken")


def test_an_echo_repeats_the_prompt() -> None:
    assert answer(decode(echo=True), ir.Text(" upon"))["choices"][0]["text"] == "Once upon"


LOG = b'[{"token":"a","logprob":-0.5,"bytes":null,"top_logprobs":[{"token":"a","logprob":-0.5,"bytes":null}]},{"token":"bc","logprob":-1.0,"top_logprobs":[]}]'
TOKENS = {
    "tokens": ["a", "bc"],
    "token_logprobs": [-0.5, -1.0],
    "top_logprobs": [{"a": -0.5}, {}],
    "text_offset": [0, 1],
}


def test_logprobs_have_the_legacy_form() -> None:
    body = answer(decode(logprobs=1), ir.Text("abc"), log=Raw(LOG))
    assert body["choices"][0]["logprobs"] == TOKENS


def streamed(request: ir.Request, *events: ir.Event) -> bytes:
    return LEGACY.stream_encoder(request).encode([ir.Start("c", "m", 7), *events])


SAID = (ir.PartStart(0, ir.Reasoning("")), ir.ReasoningDelta(0, "hm"), ir.PartEnd(0), ir.PartStart(1, ir.Text("")), ir.TextDelta(1, " upon"),
        ir.TextDelta(1, " a time", Raw(LOG)), ir.PartEnd(1), ir.UsageReport(ir.Usage(1, 2)), ir.Finish("stop"), ir.Done())  # fmt: skip


def test_the_sdk_reads_a_stream() -> None:
    data = streamed(decode(stream=True, echo=True, stream_options={"include_usage": True}), *SAID)
    chunks = list(chat.client(data, "text/event-stream").completions.create(model="m", prompt="Once", stream=True))
    assert "".join(choice.text for piece in chunks for choice in piece.choices) == "Once upon a time"
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 3
    assert chunks[-2].choices[0].finish_reason == "stop"
    logs = [choice.logprobs for piece in chunks for choice in piece.choices if choice.logprobs]
    assert logs[0].text_offset == [9, 10]


def test_a_failure_ends_a_stream_with_an_error() -> None:
    failed = ir.Failed(MuxError(Kind.UPSTREAM_CUT, "cut"))
    records = chat.frames(streamed(decode(stream=True), *SAID[:5], failed, ir.Done()))
    assert records[-2]["error"]["message"] == "cut" and records[-1] == "[DONE]"
    broken = chat.frames(streamed(decode(stream=True), ir.Finish("broken"), ir.Done()))
    assert "error" in broken[0] and len(broken) == 2


def test_the_keepalive_is_a_comment() -> None:
    assert LEGACY.stream_encoder(decode(stream=True)).keepalive().startswith(b":")


def test_a_legacy_servers_bytes_go_through_and_are_read_for_the_books() -> None:
    body = json.dumps({"model": "alias", "prompt": [1, 2], "stream": True}).encode()
    edits = LEGACY.adapt(body, chat.PLAIN, True)
    assert edits is not None and edits.hide_usage
    assert {key: json.loads(value or b"null") for key, value in edits.top.items()} == {
        "model": "gpt-4.1",
        "stream_options": {"include_usage": True},
    }
    assert LEGACY.adapt(b"{", chat.PLAIN, True) is None
    decoder = LEGACY.stream_decoder(chat.PLAIN)
    chunk = {
        "id": "c",
        "object": "text_completion",
        "choices": [{"index": 0, "text": "x", "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    found = decoder.feed(sse.frame(json.dumps(chunk).encode())) + decoder.finish()
    assert ir.violations(found) == [] and chat.text(found) == "x" and chat.finishes(found) == ["stop"]
    whole = LEGACY.decode_response(json.dumps(chunk).encode(), chat.PLAIN)
    assert whole.choices[0].parts == (ir.Text("x"),)


def test_nothing_is_translated_for_a_legacy_server() -> None:
    with pytest.raises(MuxError, match="legacy"):
        LEGACY.encode_request(chat.request(), chat.PLAIN)
