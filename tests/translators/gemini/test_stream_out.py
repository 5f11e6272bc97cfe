"""Events to a client's stream: records and arrays, the last record, calls whole, seals, errors."""

import json
from typing import Any

import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import envelope
from llm_mux.translators.gemini.translator import TRANSLATOR
from tests.translators.gemini.shorthand import asked, conversation, record, records_of, shown, sse, streamed, user

START = ir.Start("r1", "m")
SEEN = asked(thinking=ir.Thinking(show=True))
ARRAY = asked(extras={"__framing": Raw(b'"array"')})


def text(index: int, *pieces: str, choice: int = 0) -> list[ir.Event]:
    start: ir.Event = ir.PartStart(index, ir.Text(""), choice)
    return [start, *(ir.TextDelta(index, piece) for piece in pieces), ir.PartEnd(index)]


def ended(*finishes: ir.Finish) -> list[ir.Event]:
    return [*(finishes or (ir.Finish("stop"),)), ir.UsageReport(ir.Usage(input=4, output=2)), ir.Done()]


def parts(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for one in records for c in one["candidates"] for part in c.get("content", {}).get("parts", [])]


@pytest.mark.covers("PF-5", "RC-4", "PF-7", "PF-18")
def test_clients_get_data_records_and_nothing_else() -> None:
    encoder = TRANSLATOR.stream_encoder(asked())
    out = encoder.encode([START, *text(0, "Hel", "lo")]) + encoder.keepalive() + encoder.encode(ended())
    lines = out.split(b"\n")
    assert all(line == b"" or line.startswith(b"data: {") for line in lines)
    assert encoder.keepalive() == b""


@pytest.mark.covers("FB-94", "RC-7", "FB-91")
def test_finish_and_usage_come_once_with_the_last_record() -> None:
    encoder = TRANSLATOR.stream_encoder(asked())
    out = [encoder.encode([event]) for event in [START, *text(0, "Hel", "lo"), *ended()]]
    records = records_of(b"".join(out))
    assert [c.get("finishReason") for one in records for c in one["candidates"]] == [None, None, "STOP"]
    assert ["usageMetadata" in one for one in records] == [False, False, True]
    assert parts(records) == [{"text": "Hel"}, {"text": "lo"}, {"text": ""}]


def test_the_last_text_carries_the_finish_when_both_come_together() -> None:
    records = records_of(shown([START, *text(0, "Hel", "lo"), *ended()]))
    assert parts(records) == [{"text": "Hel"}, {"text": "lo"}]
    assert records[-1]["candidates"][0]["finishReason"] == "STOP"


def test_calls_go_out_whole() -> None:
    events = [
        START,
        ir.PartStart(0, ir.ToolCall("c", "f", "")),
        ir.ArgumentsDelta(0, '{"a"'),
        ir.ArgumentsDelta(0, ":1}"),
        ir.PartEnd(0),
        ir.PartStart(1, ir.ToolCall("d", "g", "")),
        ir.PartEnd(1),
        *ended(ir.Finish("tool_calls")),
    ]
    records = records_of(shown(events))
    assert parts(records) == [
        {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}},
        {"functionCall": {"id": "d", "name": "g", "args": {}}},
    ]
    assert records[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize(("reason", "args"), [("length", None), ("tool_calls", {"_raw": '{"a":'})])
def test_a_call_that_the_token_limit_cut_off_is_left_out(reason: Any, args: object) -> None:
    cut = [ir.PartStart(0, ir.ToolCall("c", "f", "")), ir.ArgumentsDelta(0, '{"a":'), ir.PartEnd(0)]
    given = parts(records_of(shown([START, *cut, *ended(ir.Finish(reason))])))
    assert given == ([] if args is None else [{"functionCall": {"id": "c", "name": "f", "args": args}}])
    choice = ir.Choice((ir.ToolCall("c", "f", '{"a":'),), ir.Finish(reason))
    whole = json.loads(TRANSLATOR.encode_response(ir.Response("r", "m", (choice,)), asked()))
    assert parts([whole]) == given


@pytest.mark.covers("PF-12", "PF-11")
def test_without_alt_sse_the_stream_is_one_array() -> None:
    encoder = TRANSLATOR.stream_encoder(ARRAY)
    out = [encoder.encode([event]) for event in [START, *text(0, "Hel", "lo"), *ended()]]
    assert parts(json.loads(b"".join(out))) == [{"text": "Hel"}, {"text": "lo"}, {"text": ""}]
    assert out[2].startswith(b"[{") and out[3].startswith(b",\n{")
    assert json.loads(b"".join([*out[:3], encoder.keepalive(), *out[3:]]))


FAILURE = MuxError(Kind.OVERLOADED, "Busy.", retry_after=2.0)


@pytest.mark.covers("FB-105", "PF-11", "FB-104")
@pytest.mark.parametrize("begun", [True, False])
def test_a_failure_is_an_error_record_and_no_clean_end(begun: bool) -> None:
    events = [START, *text(0, "x")] if begun else []
    last = records_of(shown([*events, ir.Failed(FAILURE), ir.Done()]))[-1]
    assert last["error"]["code"] == 503 and last["error"]["status"] == "UNAVAILABLE"
    listed = json.loads(shown([*events, ir.Failed(FAILURE)], ARRAY))
    assert listed[-1] == last and len(listed) == 1 + begun


def test_an_upstreams_own_error_stays_one_record() -> None:
    body = json.dumps({"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}, indent=2).encode()
    error = MuxError(Kind.OVERLOADED, "m", status=503, owner="gemini", upstream=body)
    assert shown([ir.Failed(error)]) == b'data: {"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}\n\n'


NATIVE = ir.Native("anthropic", Raw(b'{"signature":"s"}'), "claude")


def thought(native: ir.Native | None) -> list[ir.Event]:
    seal: list[ir.Event] = [ir.Seal(0, native)] if native is not None else []
    deltas: list[ir.Event] = [ir.ReasoningDelta(0, "First, "), ir.ReasoningDelta(0, "then.")]
    return [START, ir.PartStart(0, ir.Reasoning("")), *deltas, *seal, ir.PartEnd(0), *text(1, "Yes."), *ended()]


@pytest.mark.parametrize(
    ("native", "request_", "texts"),
    [
        (None, SEEN, ["First, ", "then.", "Yes."]),
        (None, asked(), ["Yes."]),
        (NATIVE, SEEN, ["First, ", "then.", "", "Yes."]),
        (NATIVE, asked(), ["First, then.", "Yes."]),
    ],
)
def test_thoughts_are_shown_when_asked_and_kept_with_their_seal(
    native: ir.Native | None, request_: ir.Request, texts: list[str]
) -> None:
    given = parts(records_of(shown(thought(native), request_)))
    assert [part["text"] for part in given] == texts
    seals = [envelope.unseal_base64(part["thoughtSignature"]) for part in given if "thoughtSignature" in part]
    assert seals == ([native] if native is not None else [])


def test_a_streamed_seal_comes_back_with_its_whole_thought() -> None:
    contents = [one["candidates"][0]["content"] for one in records_of(shown(thought(NATIVE), SEEN))]
    returned = conversation(user("Go."), *contents).messages[1].parts
    assert returned[0] == ir.Reasoning("First, then.", NATIVE)
    assert returned[1] == ir.Text("Yes.")


@pytest.mark.covers("PF-99", "PF-100", "FB-101")
def test_an_upstreams_parts_keep_their_boundaries_and_signatures() -> None:
    given = [
        {"text": "a"},
        {"text": "b", "thoughtSignature": "AAAA"},
        {"text": "", "thoughtSignature": "BBBB"},
        {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "CCCC"},
    ]
    data = sse(*(record(part) for part in given), record("", finish="STOP"))
    assert parts(records_of(shown(streamed(data)))) == given


def test_a_seal_that_follows_whole_text_goes_with_it() -> None:
    native = ir.Native("gemini", Raw(b'{"thoughtSignature":"AAAA"}'))
    whole = [START, ir.PartStart(0, ir.Text("")), ir.TextDelta(0, "x"), ir.Seal(0, native), ir.PartEnd(0), *ended()]
    assert parts(records_of(shown(whole))) == [{"text": "x", "thoughtSignature": "AAAA"}]
    pieces = [START, ir.PartStart(0, ir.Text("")), ir.TextDelta(0, "x"), ir.TextDelta(0, "y"), ir.Seal(0, native)]
    assert parts(records_of(shown([*pieces, ir.PartEnd(0), *ended()])))[-1] == {"text": "", "thoughtSignature": "AAAA"}


def test_sources_are_in_the_last_record_in_bytes() -> None:
    cite = ir.Cite(1, ir.Citation("https://a.example", "A", start=0, end=4))
    events = [
        START,
        *text(0, "é"),
        ir.PartStart(1, ir.Text("")),
        ir.TextDelta(1, "Café"),
        cite,
        ir.PartEnd(1),
        *ended(),
    ]
    grounding = records_of(shown(events))[-1]["candidates"][0]["groundingMetadata"]
    assert grounding["groundingSupports"][0]["segment"] == {"startIndex": 2, "endIndex": 7}


def test_a_source_that_comes_before_its_text_is_of_all_of_it() -> None:
    cite = ir.Cite(0, ir.Citation("https://a.example", "A"))
    events = [START, ir.PartStart(0, ir.Text("")), cite, ir.TextDelta(0, "Café"), ir.PartEnd(0), *ended()]
    grounding = records_of(shown(events))[-1]["candidates"][0]["groundingMetadata"]
    assert grounding["groundingSupports"][0]["segment"] == {"startIndex": 0, "endIndex": 5}


def test_every_choice_gets_its_finish() -> None:
    events = [START, *text(0, "a"), *text(1, "b", choice=1), *ended(ir.Finish("stop"), ir.Finish("length", 1))]
    last = records_of(shown(events))[-1]["candidates"]
    assert [(c["index"], c["finishReason"]) for c in last] == [(0, "STOP"), (1, "MAX_TOKENS")]


def test_an_empty_answer_still_gives_a_reason() -> None:
    records = records_of(shown([START, *ended(ir.Finish("refusal"))]))
    assert records[-1]["candidates"] == [{"finishReason": "SAFETY", "index": 0}]


def test_a_blocked_prompt_stays_one_for_clients_of_this_format() -> None:
    feedback = {"promptFeedback": {"blockReason": "SAFETY"}}
    last = records_of(shown(streamed(sse(feedback))))[-1]
    assert last["promptFeedback"] == feedback["promptFeedback"] and "candidates" not in last


def test_refusals_images_and_log_probabilities_have_a_form() -> None:
    logprobs = Raw(b'[{"token":"x","logprob":-0.5}]')
    events = [
        START,
        ir.PartStart(0, ir.Refusal("")),
        ir.TextDelta(0, "No."),
        ir.PartEnd(0),
        ir.PartStart(1, ir.Image(ir.Inline("image/png", "AA"))),
        ir.PartEnd(1),
        ir.PartStart(2, ir.Text("")),
        ir.TextDelta(2, "x", logprobs),
        ir.PartEnd(2),
        *ended(),
    ]
    records = records_of(shown(events))
    assert parts(records) == [{"text": "No."}, {"inlineData": {"mimeType": "image/png", "data": "AA"}}, {"text": "x"}]
    chosen = records[-1]["candidates"][0]["logprobsResult"]["chosenCandidates"]
    assert chosen == [{"token": "x", "logProbability": -0.5}]
