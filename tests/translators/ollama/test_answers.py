"""Answers for Ollama clients as their official library reads them, and a server's stream read."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import ollama
import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.fold import unfold
from llm_mux.translators.base import Summary
from llm_mux.translators.ollama.lines import Encoder
from llm_mux.translators.ollama.response import Whole
from llm_mux.translators.ollama.translator import TRANSLATOR
from tests.translators.ollama.samples import (
    GENERATE,
    NAMES,
    PNG,
    TARGET,
    answer,
    chat,
    decoded,
    done,
    events,
    folded,
    lines,
    read,
    said,
    user,
)

ASKED = decoded(chat(user()))
GENERATING = decoded(b'{"model":"m","prompt":"x"}', GENERATE)
THOUGHT = ir.Reasoning("hm", native=ir.Native("anthropic", Raw(b'"sig"'), "claude"))
CALLS = (ir.ToolCall("c1", "a", '{\n "x": 1}'), ir.ToolCall("c2", "b", ""))
FULL = answer(THOUGHT, ir.Text("Hello\n"), *CALLS, reason="tool_calls")


def sdk(body: bytes, status: int = 200) -> Any:
    """The official client before a server that always answers with `body`."""
    client = ollama.Client(host="http://ollama.test")
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    client._client = httpx.Client(base_url="http://ollama.test", transport=transport)
    return client


@pytest.fixture
def closing() -> Iterator[list[Any]]:
    clients: list[Any] = []
    yield clients
    for client in clients:
        client._client.close()


def stream(response: ir.Response, asked: ir.Request = ASKED) -> bytes:
    """The stream of `response`, an event at a time."""
    encoder = TRANSLATOR.stream_encoder(asked)
    return b"".join(encoder.encode([event]) for event in unfold(response))


@pytest.mark.covers("FB-3B", "PF-115", "FB-121", "PF-13")
def test_the_official_client_reads_a_stream(closing: list[Any]) -> None:
    closing.append(client := sdk(stream(FULL)))
    found = list(client.chat("m", [], stream=True))
    assert [line.done for line in found] == [False] * (len(found) - 1) + [True]
    assert "".join(line.message.content for line in found) == "Hello\n"
    assert "".join(line.message.thinking or "" for line in found) == "hm"
    calls = [call.function for line in found for call in line.message.tool_calls or ()]
    assert [(call.name, call.arguments) for call in calls] == [("a", {"x": 1}), ("b", {})]
    last = found[-1]
    assert (last.done_reason, last.prompt_eval_count, last.eval_count) == ("stop", 8, 4)
    assert last.total_duration > 0 and last.eval_duration > 0 and last.created_at == "2026-03-01T09:30:00.000000000Z"


@pytest.mark.covers("FB-3B", "PF-119")
def test_the_official_client_reads_a_whole_answer(closing: list[Any]) -> None:
    body = Whole(lambda: 1772357401_500_000_000).encode(FULL, ASKED)
    closing.append(client := sdk(body))
    found = client.chat("m", [])
    assert (found.message.content, found.message.thinking, found.done) == ("Hello\n", "hm", True)
    assert [call.function.arguments for call in found.message.tool_calls] == [{"x": 1}, {}]
    assert (found.total_duration, found.eval_duration) == (1_500_000_000, 1_500_000_000)
    ids = [call["id"] for call in json.loads(body)["message"]["tool_calls"]]
    assert ids == ["c1", "c2"]


def test_the_official_client_reads_what_it_asked_of_generate(closing: list[Any]) -> None:
    response = answer(THOUGHT, ir.Text("Hello"))
    closing.append(client := sdk(TRANSLATOR.encode_response(response, GENERATING)))
    found = client.generate("m", "x")
    assert (found.response, found.thinking, found.done_reason) == ("Hello", "hm", "stop")
    closing.append(client := sdk(stream(response, GENERATING)))
    pieces = list(client.generate("m", "x", stream=True))
    assert "".join(piece.response for piece in pieces) == "Hello"
    assert "".join(piece.thinking or "" for piece in pieces) == "hm"
    assert [piece.done for piece in pieces].count(True) == 1


@pytest.mark.covers("FB-105", "PF-121", "PF-11", "RC-7")
def test_the_official_client_raises_an_error_in_mid_stream(closing: list[Any]) -> None:
    encoder = TRANSLATOR.stream_encoder(ASKED)
    begun: list[ir.Event] = [ir.Start("r", "m", 5), ir.PartStart(0, ir.Text("")), ir.TextDelta(0, "Hel")]
    body = encoder.encode(begun) + encoder.encode([ir.Failed(MuxError(Kind.UPSTREAM_CUT, "It was\ncut."))])
    assert encoder.encode([ir.Finish("stop"), ir.Done()]) == b""
    assert encoder.keepalive() == b""
    closing.append(client := sdk(body))
    with pytest.raises(ollama.ResponseError, match=r"It was\ncut\."):
        list(client.chat("m", [], stream=True))


@pytest.mark.covers("FB-119", "PF-18")
def test_a_keepalive_is_an_empty_piece_before_and_within_the_answer(closing: list[Any]) -> None:
    encoder = TRANSLATOR.stream_encoder(ASKED)
    body = encoder.keepalive() + encoder.encode([ir.Start("r", "m", 5)]) + encoder.keepalive()
    body += encoder.encode(unfold(answer(ir.Text("Hi"))))
    closing.append(client := sdk(body))
    found = list(client.chat("m", [], stream=True))
    assert [line.message.content for line in found] == ["", "", "Hi", ""]
    assert [line.done for line in found] == [False, False, False, True]


@pytest.mark.covers("FB-3B", "FB-14")
@pytest.mark.parametrize("case", [name for name in NAMES if name != "error"])
def test_a_stream_has_one_object_a_line_and_one_end(case: str) -> None:
    encoder = TRANSLATOR.stream_encoder(decoded(read(case, "request.json")))
    written = encoder.encode(events(read(case, "stream.ndjson")))
    found = [json.loads(line) for line in written.removesuffix(b"\n").split(b"\n")]
    assert [line["done"] for line in found].count(True) == 1
    assert found[-1]["done"] is True
    assert found[-1]["done_reason"] == ("length" if case == "length" else "stop")
    assert all(line["model"] and line["created_at"].endswith("Z") for line in found)


def test_durations_are_measured() -> None:
    ticks = iter([1000, 1500, 4000])
    encoder = Encoder(ASKED, clock=lambda: next(ticks))
    last = json.loads(encoder.encode(unfold(answer(ir.Text("Hi"), ir.Text("ho")))).splitlines()[-1])
    names = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
    assert [last[name] for name in names] == [3000, 0, 500, 2500]


CITED = ir.Text("Cold.", citations=(ir.Citation("https://a.org", "A"), ir.Citation("https://a.org", "A")))


@pytest.mark.parametrize(
    ("parts", "output", "shown"),
    [
        pytest.param((CITED, ir.Text(" Yes.")), "text", "Cold. Yes.\n\nSources:\n- [A](https://a.org)", id="below all"),
        pytest.param((ir.Text("{}", citations=CITED.citations),), "json", "{}", id="not below JSON"),
        pytest.param((CITED, CALLS[0]), "text", "Cold.", id="not beside calls"),
    ],
)
def test_sources_are_links_below_the_answer(parts: tuple[ir.Part, ...], output: Any, shown: str) -> None:
    asked = msgspec.structs.replace(ASKED, output=ir.OutputFormat(output))
    made = answer(*parts)
    assert json.loads(Whole().encode(made, asked))["message"]["content"] == shown
    assert "".join(line["message"]["content"] for line in map(json.loads, stream(made, asked).splitlines())) == shown


def test_a_time_that_cannot_be_is_no_duration() -> None:
    for now in (0, 1772357400_000_000_000 + 4000 * 10**9):
        found = json.loads(Whole(lambda now=now: now).encode(FULL, ASKED))  # type: ignore[misc]  # bound per turn
        assert found["total_duration"] == 1


@pytest.mark.covers("FB-3B")
@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("stop_sequence", "stop"),
        ("length", "length"),
        ("context", "length"),
        ("tool_calls", "stop"),
        ("filtered", "stop"),
        ("refusal", "stop"),
        ("paused", "stop"),
    ],
)
def test_there_are_two_reasons_for_an_end(reason: ir.FinishReason, word: str) -> None:
    response = answer(ir.Text("x"), reason=reason)
    assert json.loads(TRANSLATOR.encode_response(response, ASKED))["done_reason"] == word
    assert json.loads(stream(response).splitlines()[-1])["done_reason"] == word


@pytest.mark.parametrize(
    ("parts", "reason", "detail", "shown"),
    [
        ((), "refusal", "Not this.", "Not this."),
        ((), "refusal", None, "The model declined to answer."),
        ((ir.Refusal("No."),), "refusal", "Not this.", "No."),
        ((), "filtered", "SAFETY", "SAFETY"),
        ((), "filtered", None, ""),
        ((ir.Image(ir.Inline("image/png", PNG)),), "refusal", None, ""),
        ((ir.Image(ir.Url("https://x/y")),), "stop", None, "![image](https://x/y)"),
        ((ir.Opaque(ir.Native("gemini", Raw(b"{}")), "code", "ran code"),), "stop", None, "ran code"),
        ((), "stop", None, ""),
    ],
)
def test_a_refusal_is_said_in_words(
    parts: tuple[ir.Part, ...], reason: ir.FinishReason, detail: str | None, shown: str
) -> None:
    response = answer(*parts, reason=reason, detail=detail)
    assert json.loads(TRANSLATOR.encode_response(response, ASKED))["message"]["content"] == shown
    assert "".join(json.loads(line)["message"]["content"] for line in stream(response).splitlines()) == shown


def test_an_image_of_the_answer_stands_beside_its_text() -> None:
    response = answer(ir.Image(ir.Inline("image/png", PNG)))
    assert json.loads(TRANSLATOR.encode_response(response, ASKED))["message"]["images"] == [PNG]
    assert json.loads(TRANSLATOR.encode_response(response, GENERATING))["image"] == PNG
    assert json.loads(stream(response).splitlines()[0])["message"]["images"] == [PNG]
    assert json.loads(stream(response, GENERATING).splitlines()[0])["image"] == PNG


@pytest.mark.covers("FB-28")
@pytest.mark.parametrize(("reason", "kept"), [("length", 1), ("context", 1), ("tool_calls", 2)])
def test_a_call_that_the_limit_cut_off_is_left_out(reason: ir.FinishReason, kept: int) -> None:
    response = answer(ir.ToolCall("1", "a", "{}"), ir.ToolCall("2", "b", '{"x": "y'), reason=reason)
    whole = json.loads(TRANSLATOR.encode_response(response, ASKED))["message"]["tool_calls"]
    streamed = [c for line in stream(response).splitlines() for c in json.loads(line)["message"].get("tool_calls", [])]
    assert whole == streamed
    assert [call["function"]["arguments"] for call in whole] == [{}, {"_raw": '{"x": "y'}][:kept]


def test_a_broken_answer_is_an_error() -> None:
    response = answer(ir.Text("x"), reason="broken", detail="MALFORMED_FUNCTION_CALL")
    with pytest.raises(MuxError, match="MALFORMED_FUNCTION_CALL"):
        TRANSLATOR.encode_response(response, ASKED)
    assert "error" in json.loads(stream(response).splitlines()[-1])


def test_log_probabilities_go_through_in_either_nesting() -> None:
    tokens = b'[{"token":"x",\n"logprob":-0.5}]'
    for given in (Raw(tokens), Raw(b'{"content":' + tokens + b"}")):
        choice = ir.Choice((ir.Text("x"),), ir.Finish("stop"), given)
        response = ir.Response("r", "m", (choice,))
        expected = [{"token": "x", "logprob": -0.5}]
        assert json.loads(TRANSLATOR.encode_response(response, ASKED))["logprobs"] == expected
        assert json.loads(stream(response).splitlines()[0])["logprobs"] == expected


@pytest.mark.covers("FB-13", "PF-68", "FB-9")
def test_calls_make_the_reason_whatever_the_server_says() -> None:
    calls = [{"function": {"name": "a", "arguments": {"x": 1}}}, {"function": {"name": "a", "arguments": {"x": 1}}}]
    whole = folded(events(lines(said(tool_calls=calls[:1]), said(content="x", tool_calls=calls[1:]), done())))
    made = [part for part in whole.choices[0].parts if isinstance(part, ir.ToolCall)]
    assert [call.arguments for call in made] == ['{"x":1}', '{"x":1}']
    assert made[0].id != made[1].id
    assert whole.choices[0].finish.reason == "tool_calls"
    assert (
        folded(events(lines(said(tool_calls=calls), done(done_reason="length")))).choices[0].finish.reason == "length"
    )


@pytest.mark.covers("RC-6", "FB-1")
def test_ids_made_for_two_answers_differ_and_are_the_same_again() -> None:
    call = [{"function": {"name": "a", "arguments": {}}}]
    first, second = said(tool_calls=call), {**said(tool_calls=call), "created_at": "2026-03-01T09:31:00Z"}
    ids = [folded(events(lines(one, done()))).choices[0].parts[0] for one in (first, second, first)]
    assert ids[0] != ids[1]
    assert ids[0] == ids[2]
    assert TRANSLATOR.decode_response(lines({**first, "done": True}), TARGET).choices[0].parts[0] == ids[0]


def test_given_ids_that_repeat_are_made_unique() -> None:
    call = {"id": "c", "function": {"name": "a", "arguments": "{}"}}
    made = folded(events(lines(said(tool_calls=[call, call]), done()))).choices[0].parts
    assert len({part.id for part in made if isinstance(part, ir.ToolCall)}) == 2


@pytest.mark.covers("PF-22")
def test_an_emoji_cut_in_two_is_joined() -> None:
    data = lines(said(content="@1"), said(content="@2!"), done()).replace(b"@1", b"\\ud83d").replace(b"@2", b"\\ude00")
    assert folded(events(data)).choices[0].parts == (ir.Text("😀!"),)
    lone = lines(said(thinking="@1"), said(content="x"), done()).replace(b"@1", b"\\ud83d")
    assert ir.joined(folded(events(lone)).choices[0].parts) == "x"


@pytest.mark.covers("PF-3", "PF-7")
def test_separators_inside_strings_do_not_split_lines() -> None:
    text = "a\u2028b\u0085c"
    raw = json.dumps(said(content=text), ensure_ascii=False).encode()
    assert folded(events(b"\xef\xbb\xbf" + raw + b"\r\n\n" + lines(done()))).choices[0].parts == (ir.Text(text),)


@pytest.mark.covers("PF-119", "FB-103", "FB-117")
def test_counts_left_out_are_zeros_and_nothing_after_the_end_counts() -> None:
    only = {key: value for key, value in done().items() if key != "prompt_eval_count"}
    decoder_input = lines(said(content="x"), only, said(content="y"), {"error": "late"})
    whole = folded(events(decoder_input))
    assert (whole.usage, whole.choices[0].parts) == (ir.Usage(output=2), (ir.Text("x"),))
    bare = {key: value for key, value in only.items() if key != "eval_count"}
    assert folded(events(lines(bare))).usage is None


@pytest.mark.covers("FB-110", "FB-112", "PF-24")
@pytest.mark.parametrize("data", [b"<html>\n", b"{]\n", b'{"done":"perhaps"}\n', b"[]\n", b'"x"\n', b"a" * 100])
def test_nonsense_never_ends_well(data: bytes) -> None:
    found = events(data)
    assert ir.violations(found) == []
    assert isinstance(found[-1], ir.Failed)
    assert found[-1].error.kind in (Kind.UPSTREAM_NONSENSE, Kind.UPSTREAM_CUT)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"message":7}', b'{"model":"m"}'])
def test_a_whole_answer_that_is_none_is_nonsense(body: bytes) -> None:
    with pytest.raises(MuxError) as caught:
        TRANSLATOR.decode_response(body, TARGET)
    assert caught.value.kind is Kind.UPSTREAM_NONSENSE
    assert TRANSLATOR.summary(body).usage is None


def test_an_unfinished_whole_answer_is_cut() -> None:
    with pytest.raises(MuxError) as caught:
        TRANSLATOR.decode_response(lines(said(content="x")), TARGET)
    assert caught.value.kind is Kind.UPSTREAM_CUT


def test_generate_answers_of_a_server_are_read_too() -> None:
    pieces = [{"model": "m", "response": "Hel", "done": False}, {"model": "m", "response": "lo", "done": True}]
    whole = folded(events(lines(*pieces)))
    assert whole.choices[0].parts == (ir.Text("Hello"),)


def test_the_books_read_a_whole_answer() -> None:
    calls = [{"function": {"name": "a", "arguments": {}}}]
    body = lines({**done(), "message": {"role": "assistant", "content": "", "tool_calls": calls}})
    assert TRANSLATOR.summary(body) == Summary(ir.Usage(input=3, output=2), "tool_calls", "m")
    assert TRANSLATOR.summary(lines(said())) == Summary(model="m")
