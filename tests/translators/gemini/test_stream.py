"""An upstream's stream to events: framings, parts, honest ends, Vertex's pieces of arguments."""

import json

import pytest

from llm_mux import ir
from llm_mux.errors import Kind
from llm_mux.translators.gemini.translator import TRANSLATOR
from tests.translators.gemini.shorthand import plain, record, sse, streamed, target, whole

CALL = {"functionCall": {"name": "f", "args": {"a": 1}}}


def kinds(events: list[ir.Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def text_of(events: list[ir.Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ir.TextDelta))


def finish_of(events: list[ir.Event]) -> ir.Finish:
    return next(event for event in events if isinstance(event, ir.Finish))


def test_text_pieces_are_one_part() -> None:
    events = streamed(sse(record("Hel"), record("lo"), record(finish="STOP")))
    assert kinds(events) == ["Start", "PartStart", "TextDelta", "TextDelta", "PartEnd", "Finish", "Done"]
    assert text_of(events) == "Hello"


@pytest.mark.covers("PF-12", "FB-108", "PF-4", "PF-5", "PF-6", "PF-8")
@pytest.mark.parametrize(
    "data",
    [
        sse(record("Hi."), record(finish="STOP")),
        sse(record("Hi."), record(finish="STOP")).replace(b"\r\n", b"\n"),
        sse(record("Hi."), record(finish="STOP")).replace(b"data: ", b"data:"),
        b": comment\n\n" + sse(record("Hi."), record(finish="STOP")).rstrip(),
        b"\xef\xbb\xbf" + sse(record("Hi."), record(finish="STOP")) + b"data: [DONE]\n\n",
        json.dumps([record("Hi."), record(finish="STOP")], indent=2).encode(),
        b" \n[" + json.dumps(record("Hi.")).encode() + b",\r\n" + json.dumps(record(finish="STOP")).encode() + b"\n]\n",
        json.dumps(record("Hi.", finish="STOP"), indent=2).encode(),
        b"".join(
            b"data: %s\n" % line for line in json.dumps(record("Hi.", finish="STOP"), indent=1).encode().split(b"\n")
        ),
    ],
)
def test_every_framing_gives_the_same_answer(data: bytes) -> None:
    events = streamed(data)
    assert ir.violations(events) == []
    assert (text_of(events), kinds(events)[-1]) == ("Hi.", "Done")


@pytest.mark.covers("FB-13", "PF-101")
def test_a_call_in_one_record_and_stop_in_the_next_end_with_calls() -> None:
    assert finish_of(streamed(sse(record(CALL), record("", finish="STOP")))).reason == "tool_calls"


@pytest.mark.covers("FB-1")
def test_calls_have_the_same_ids_streamed_and_whole() -> None:
    events = streamed(sse(record(CALL), record(CALL, finish="STOP")))
    ids = [e.part.id for e in events if isinstance(e, ir.PartStart) and isinstance(e.part, ir.ToolCall)]
    parts = whole(record(CALL, CALL, finish="STOP")).choices[0].parts
    assert ids == [part.id for part in parts if isinstance(part, ir.ToolCall)]
    assert [e.text for e in events if isinstance(e, ir.ArgumentsDelta)] == ['{"a":1}', '{"a":1}']


@pytest.mark.covers("PF-99", "PF-100")
def test_signed_parts_stand_alone() -> None:
    events = streamed(
        sse(
            record({"text": "hm", "thought": True}),
            record("a"),
            record({"text": "b", "thoughtSignature": "AAAA"}),
            record("c", {"text": "", "thoughtSignature": "BBBB"}),
            record({**CALL, "thoughtSignature": "CCCC"}, CALL, finish="STOP"),
        )
    )
    assert ir.violations(events) == []
    starts = [plain(event.part) for event in events if isinstance(event, ir.PartStart)]
    assert [(part[""], part["native"] and part["native"]["data"]["thoughtSignature"]) for part in starts] == [
        ("Reasoning", None),
        ("Text", None),
        ("Text", "AAAA"),
        ("Text", None),
        ("Text", "BBBB"),
        ("ToolCall", "CCCC"),
        ("ToolCall", None),
    ]
    assert all(part["native"] is None or part["native"]["family"] == "gemini" for part in starts)


@pytest.mark.covers("FB-91", "PF-69")
def test_the_usage_of_a_trailing_record_counts_and_the_last_one_wins() -> None:
    events = streamed(
        sse(
            record("x", usageMetadata={"promptTokenCount": 4}),
            record(finish="STOP", usageMetadata={"promptTokenCount": 4, "candidatesTokenCount": 1}),
            {"usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2, "thoughtsTokenCount": 3}},
        )
    )
    reports = [event.usage for event in events if isinstance(event, ir.UsageReport)]
    assert reports == [ir.Usage(input=4, output=5, reasoning=3)]
    assert isinstance(events[0], ir.Start) and events[0].usage == ir.Usage(input=4)


@pytest.mark.covers("FB-116")
def test_a_second_finish_and_repeated_text_are_left_out() -> None:
    events = streamed(sse(record("Hello"), record(" there", finish="STOP"), record("Hello there", finish="STOP")))
    assert text_of(events) == "Hello there"
    assert kinds(events).count("Finish") == 1


def test_a_finish_on_every_record_does_not_cut_the_text() -> None:
    assert text_of(streamed(sse(record("a", finish="STOP"), record("b", finish="STOP")))) == "ab"


@pytest.mark.covers("FB-104", "FB-110", "PF-9", "RC-7")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        sse(record("half")),
        sse(record("half"))[:-9],
        sse(record("x", finish="STOP")) + b'data: {"cand',
        b"[",
        b"[]",
    ],
)
def test_a_stream_without_its_end_failed(data: bytes) -> None:
    events = streamed(data)
    assert isinstance(events[-1], ir.Failed)
    assert events[-1].error.kind in (Kind.UPSTREAM_CUT, Kind.UPSTREAM_NONSENSE)
    assert not any(isinstance(event, ir.Finish | ir.Done) for event in events)
    assert ir.violations(events) == []


@pytest.mark.covers("FB-112", "PF-24")
def test_a_page_of_html_failed() -> None:
    events = streamed(b"<html><body>502 Bad Gateway</body></html>")
    assert isinstance(events[-1], ir.Failed)
    assert events[-1].error.kind is Kind.UPSTREAM_NONSENSE and "<" not in events[-1].error.message


ERROR = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.covers("PF-11", "PF-12", "FB-105")
@pytest.mark.parametrize(
    "data",
    [
        sse(record("a")) + json.dumps(ERROR, indent=2).encode(),
        sse(record("a"), ERROR),
        json.dumps([record("a"), ERROR]).encode(),
        json.dumps([ERROR]).encode(),
        json.dumps(ERROR).encode(),
    ],
)
def test_an_error_in_mid_stream_is_the_end(data: bytes) -> None:
    events = streamed(data + b"\n\n" + sse(record("more", finish="STOP")))
    assert isinstance(events[-1], ir.Failed)
    assert (events[-1].error.kind, events[-1].error.message) == (Kind.OVERLOADED, "The model is overloaded.")
    assert text_of(events) in ("", "a")


@pytest.mark.covers("PF-103")
def test_a_blocked_prompt_is_a_clean_filtered_end() -> None:
    events = streamed(sse({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "No."}}))
    assert kinds(events) == ["Start", "Finish", "Done"]
    assert (finish_of(events).reason, finish_of(events).detail) == ("filtered", "No.")


def test_candidates_are_told_apart_by_their_index() -> None:
    def one(index: int, text: str, finish: str | None = None) -> dict[str, object]:
        return record(text, index=index, finish=finish)

    events = streamed(sse(one(0, "a"), one(1, "b"), one(0, "c", "STOP"), one(1, "d", "MAX_TOKENS")))
    assert ir.violations(events) == []
    assert [(e.choice, e.reason) for e in events if isinstance(e, ir.Finish)] == [(0, "stop"), (1, "length")]


def test_one_unfinished_candidate_is_a_cut_stream() -> None:
    events = streamed(sse(record("a", finish="STOP"), record("b", index=1)))
    assert isinstance(events[-1], ir.Failed)


@pytest.mark.covers("PF-22", "PF-1")
def test_an_emoji_cut_into_two_deltas_is_whole_again() -> None:
    one, two = (json.dumps(record("%")).encode().replace(b"%", half) for half in (b"\\ud83d", b"\\ude00!"))
    events = streamed(b"data: " + one + b"\n\ndata: " + two + b"\n\n" + sse(record(finish="STOP")))
    assert text_of(events) == "\U0001f600!"


def test_a_half_emoji_at_the_end_becomes_a_replacement_character() -> None:
    one = json.dumps(record("a%", finish="STOP")).encode().replace(b"%", b"\\ud83d")
    assert text_of(streamed(b"data: " + one + b"\n\n")) == "a\ufffd"


GROUNDING = {
    "webSearchQueries": ["q"],
    "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
    "groundingSupports": [{"segment": {"endIndex": 5}, "groundingChunkIndices": [0]}],
}


@pytest.mark.covers("PF-113")
@pytest.mark.parametrize("last", [[" x"], [{"text": "", "thoughtSignature": "AAAA"}]])
def test_sources_are_cited_once_while_their_text_is_open(last: list[object]) -> None:
    cited = {"groundingMetadata": GROUNDING}
    events = streamed(sse(record("Café", candidate=cited), record(*last, finish="STOP", candidate=cited)))
    assert ir.violations(events) == []
    cites = [event.citation for event in events if isinstance(event, ir.Cite)]
    assert cites == [ir.Citation("https://a.example", "A", start=0, end=4)]


def test_log_probabilities_go_with_their_text() -> None:
    result = {"chosenCandidates": [{"token": "a", "logProbability": -0.1}]}
    events = streamed(sse(record("a", finish="STOP", candidate={"logprobsResult": result})))
    delta = next(event for event in events if isinstance(event, ir.TextDelta))
    assert plain(delta.logprobs)[0]["token"] == "a"


def piece(*args: dict[str, object], more: bool = True, **call: object) -> dict[str, object]:
    return record({"functionCall": {**call, "partialArgs": list(args), **({"willContinue": True} if more else {})}})


def test_pieces_of_arguments_are_put_together() -> None:
    events = streamed(
        sse(
            piece(name="f"),
            piece({"jsonPath": "$.city", "stringValue": "New ", "willContinue": True}),
            piece({"jsonPath": "$.city", "stringValue": "York"}),
            piece({"jsonPath": "$.days[0].n", "numberValue": 12345678901234567890}),
            piece({"jsonPath": "$['odd key']", "boolValue": True}, {"jsonPath": "$.none", "nullValue": "NULL_VALUE"}),
            piece(more=False),
            record("", finish="STOP"),
        )
    )
    arguments = [event.text for event in events if isinstance(event, ir.ArgumentsDelta)]
    assert json.loads(arguments[0]) == {
        "city": "New York",
        "days": [{"n": 12345678901234567890}],
        "odd key": True,
        "none": None,
    }
    assert finish_of(events).reason == "tool_calls"


def test_a_call_whose_pieces_never_end_is_left_out() -> None:
    events = streamed(sse(piece({"jsonPath": "$.a", "stringValue": "x"}, name="f"), record("", finish="MAX_TOKENS")))
    assert finish_of(events).reason == "length"
    assert not any(isinstance(event, ir.PartStart) for event in events)


@pytest.mark.parametrize(("whole", "reason"), [(True, "tool_calls"), (False, "length")])
def test_a_whole_call_wins_over_the_token_limit_and_a_cut_one_does_not(whole: bool, reason: str) -> None:
    last = piece({"jsonPath": "$.a", "stringValue": "x"}, name="f")
    records = [record(CALL), *([] if whole else [last]), record("", finish="MAX_TOKENS")]
    events = streamed(sse(*records))
    assert finish_of(events).reason == reason
    assert len([event for event in events if isinstance(event, ir.PartStart)]) == 1
    assert ir.violations(events) == []


@pytest.mark.parametrize("path", ["", "$", "a", "$[0]", "$.a[0", "$..a", "$.a[99999]"])
def test_pieces_at_impossible_places_are_nonsense(path: str) -> None:
    events = streamed(sse(piece({"jsonPath": path, "stringValue": "x"}, name="f")))
    assert isinstance(events[-1], ir.Failed) and events[-1].error.kind is Kind.UPSTREAM_NONSENSE


def test_pieces_that_contradict_each_other_are_nonsense() -> None:
    data = sse(piece({"jsonPath": "$.a", "stringValue": "x"}, {"jsonPath": "$.a.b", "boolValue": True}, name="f"))
    assert isinstance(streamed(data)[-1], ir.Failed)


def test_media_and_tool_parts_are_whole_parts() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AA"}}
    events = streamed(sse(record("a", image, {"executableCode": {"code": "1"}}, "b", finish="STOP")))
    assert ir.violations(events) == []
    starts = [type(event.part).__name__ for event in events if isinstance(event, ir.PartStart)]
    assert starts == ["Text", "Image", "Opaque", "Text"]


def test_nothing_follows_the_end() -> None:
    decoder = TRANSLATOR.stream_decoder(target())
    decoder.feed(sse(record("a", finish="STOP")))
    assert isinstance(decoder.finish()[-1], ir.Done)
    assert decoder.feed(sse(record("b"))) == [] and decoder.finish() == []


SOURCES = {
    "groundingChunks": [{"web": {"uri": "https://a.test", "title": "A"}}],
    "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 3}, "groundingChunkIndices": [0]}],
}


def test_sources_that_come_with_a_signature_are_on_the_text_they_begin_in() -> None:
    end = record({"text": "two", "thoughtSignature": "c2ln"}, finish="STOP")
    end["candidates"][0]["groundingMetadata"] = SOURCES
    events = streamed(sse(record("one"), end))
    starts = [event.part for event in events if isinstance(event, ir.PartStart)]
    (cite,) = (event for event in events if isinstance(event, ir.Cite))
    assert [type(part) for part in starts] == [ir.Text, ir.Text]
    assert (cite.index, cite.citation.url, cite.citation.start, cite.citation.end) == (0, "https://a.test", 0, 3)


IMAGE = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
SOME_CALL = {"functionCall": {"id": "x", "name": "f", "args": {}}}


@pytest.mark.parametrize("after", [IMAGE, SOME_CALL, {"text": "hm", "thought": True}])
def test_sources_that_come_when_their_text_has_ended_are_still_its(after: dict[str, object]) -> None:
    end = record(finish="STOP")
    end["candidates"][0]["groundingMetadata"] = SOURCES
    events = streamed(sse(record("one", after), end))
    assert ir.violations(events) == []
    (cite,) = (event for event in events if isinstance(event, ir.Cite))
    assert (cite.index, cite.citation) == (0, ir.Citation(url="https://a.test", title="A", start=0, end=3))


def test_sources_that_come_before_any_text_are_on_the_first_one() -> None:
    first = record(SOME_CALL)
    first["candidates"][0]["groundingMetadata"] = {"groundingChunks": SOURCES["groundingChunks"]}
    events = streamed(sse(first, record("one", finish="STOP")))
    assert ir.violations(events) == []
    (cite,) = (event for event in events if isinstance(event, ir.Cite))
    assert (cite.index, cite.citation) == (1, ir.Citation(url="https://a.test", title="A"))


def test_sources_of_a_later_text_are_counted_from_its_beginning() -> None:
    end = record("two", finish="STOP")
    support = {"segment": {"startIndex": 4, "endIndex": 6}, "groundingChunkIndices": [0]}
    end["candidates"][0]["groundingMetadata"] = {**SOURCES, "groundingSupports": [support]}
    events = streamed(sse(record("one", {"inlineData": {"mimeType": "image/png", "data": "aGk="}}), end))
    (cite,) = (event for event in events if isinstance(event, ir.Cite))
    assert (cite.index, cite.citation.start, cite.citation.end) == (2, 1, 3)
