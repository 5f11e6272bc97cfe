"""What is made or read by the mould of earlier records is what the long way makes and reads."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.translators import moulds, registry
from llm_mux.wire import jsonx
from tests.translators.transcripts import TEXTUAL, Transcript, target, transcripts

ODD = ("a", "é \U0001f600", '"}\n\n\r\\', "\x00\x7f\u2028", "half \ud83d", "")
PARTS = {
    "text": (ir.Text(""), ir.TextDelta),
    "refusal": (ir.Refusal(""), ir.TextDelta),
    "chain": (ir.Reasoning("", raw=True), ir.ReasoningDelta),
    "summary": (ir.Reasoning(""), ir.ReasoningDelta),
    "call": (ir.ToolCall("c1", "tool", ""), ir.ArgumentsDelta),
    "custom": (ir.ToolCall("c1", "tool", "", custom=True), ir.ArgumentsDelta),
}


@pytest.mark.parametrize("format_", TEXTUAL)
@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("model", ["m", "\x00"])
def test_pieces_are_written_as_whole_records_would_be(
    format_: str, kind: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Callable[[str], bytes]] = []
    cut = moulds.around

    def watched(make: Callable[[str], bytes]) -> tuple[bytes, bytes]:
        made.append(make)
        return cut(make)

    monkeypatch.setattr(moulds, "around", watched)
    part, delta = PARTS[kind]
    thinking = ir.Thinking(show=True)
    encoder = registry.get(format_).stream_encoder(
        ir.Request(model="m", messages=(), stream=True, protocol=format_, thinking=thinking)
    )
    encoder.encode([ir.Start("id", model, 1), ir.PartStart(0, part)])
    encoder.encode([delta(0, "first")])
    for text in ODD:
        out = encoder.encode([delta(0, text)])
        if not made or not text:
            continue
        record = made[-1](text).removeprefix(b"event: content_block_delta\n").removeprefix(b"data: ")
        shown = out.partition(b"data: ")[2]
        assert unnumbered(record) == unnumbered(shown)


# Ollama's records tell the time that has passed.
@pytest.mark.parametrize("format_", [name for name in TEXTUAL if name != "ollama"])
@pytest.mark.parametrize("part", [ir.Text(""), ir.Refusal("")])
@example(['x",', "y"])
@example([",", ",", '"', '","'])
@example(["half \ud83d", "b"])
@given(st.lists(st.text(), min_size=2, max_size=8))
def test_pieces_of_one_read_are_written_as_one_after_the_other(format_: str, part: ir.Part, texts: list[str]) -> None:
    request = ir.Request(model="m", messages=(), stream=True, protocol=format_)
    deltas = [ir.TextDelta(0, text) for text in texts]
    end: list[ir.Event] = [ir.PartEnd(0), ir.Finish("stop"), ir.Done()]
    ways: list[list[list[ir.Event]]] = [[list(deltas)], [[delta] for delta in deltas]]
    written = []
    for way in ways:
        encoder = registry.get(format_).stream_encoder(request)
        written.append(
            b"".join(encoder.encode(events) for events in ([ir.Start("id", "m", 1), ir.PartStart(0, part)], *way, end))
        )
    assert written[0] == written[1]


ROWED = [name for name in TEXTUAL if hasattr(registry.get(name).stream_encoder(ir.Request("m", ())), "row")]


@pytest.mark.parametrize("format_", ROWED)
@pytest.mark.parametrize("part", [ir.Text(""), ir.Refusal(""), ir.Reasoning("")])
@pytest.mark.parametrize("begun", [0, 1, 2])
@example(['x",', "y"])
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=8))
def test_a_row_of_pieces_is_written_as_one_after_the_other(
    format_: str, part: ir.Part, begun: int, texts: list[str]
) -> None:
    request = ir.Request(model="m", messages=(), stream=True, protocol=format_)
    row = ir.Row(0, texts, [jsonx.encode(text) for text in texts], sum(map(len, texts)))
    end: list[ir.Event] = [ir.PartEnd(0), ir.Finish("stop"), ir.Done()]
    written = []
    for as_row in (True, False):
        encoder = registry.get(format_).stream_encoder(request)
        start: list[ir.Event] = [ir.Start("id", "m", 1), ir.PartStart(0, part)]
        out = [encoder.encode([*start, *[ir.TextDelta(0, "begun")] * begun])]
        out.append(encoder.row(row) if as_row else b"".join([encoder.encode([delta]) for delta in row.deltas]))
        written.append(b"".join([*out, encoder.encode(end)]))
    assert written[0] == written[1]


def unnumbered(record: bytes) -> bytes:
    """A record without its place in the stream, which is all that the second of two equal pieces may change."""
    found = msgspec.json.decode(record)
    number = found.get("sequence_number")
    return record.strip().replace(b'"sequence_number":%d' % number, b"") if number is not None else record.strip()


STREAMS = transcripts("stream", lambda t: t.format in TEXTUAL)


def decoded(format_: str, pieces: list[bytes]) -> list[ir.Event]:
    decoder = registry.get(format_).stream_decoder(target(format_))
    events = [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()
    return [plain(event) for event in events]


def plain(event: ir.Event) -> ir.Event:
    if isinstance(event, ir.Failed):
        return ir.Failed((event.error.kind, event.error.message))  # type: ignore[arg-type]  # errors are not comparable
    return event


@pytest.mark.parametrize("transcript", STREAMS, ids=str)
@settings(max_examples=30)
@given(data=st.data())
def test_streams_are_read_the_same_by_the_last_record_or_without(transcript: Transcript, data: st.DataObject) -> None:
    """Also where records are repeated, left out or put elsewhere."""
    end = b"\n" if transcript.format == "ollama" else b"\n\n"
    pieces = [piece + end for piece in transcript.body("stream").removesuffix(end).split(end)]
    shuffled = data.draw(st.lists(st.sampled_from(pieces), max_size=20), label="more")
    at = data.draw(st.integers(0, len(pieces)), label="at")
    stream = [*pieces[:at], *shuffled, *pieces[at:]]
    learnt = decoded(transcript.format, stream)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moulds.Known, "text", lambda self, data: None)
        patch.setattr(moulds.Known, "row", lambda self, index, records: None)
        assert learnt == decoded(transcript.format, stream)
    several = data.draw(st.integers(2, 6), label="records in one read")
    reads = [b"".join(stream[at : at + several]) for at in range(0, len(stream), several)]
    assert learnt == decoded(transcript.format, reads)


CHUNK = '{"id":"c","model":"m","choices":[{"index":%d,"delta":%s}]}'
DELTAS = (
    '{"content":"a"}',
    '{"content":"b"}',
    '{"content":""}',
    '{"reasoning_content":"x","content":null}',
    '{"reasoning":"\\ud83d","content":""}',
    '{"content":"\\ude00"}',
    '{"content":"a","reasoning":"a"}',
    '{"refusal":"no"}',
    '{"tool_calls":[{"index":0,"id":"1","type":"function","function":{"name":"f","arguments":""}}]}',
    '{"tool_calls":[{"index":0,"function":{"arguments":"{\\"a\\""}}]}',
    '{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}',
    '{"tool_calls":[{"index":0,"id":"2","function":{"name":"g","arguments":"{"}}]}',
    '{"tool_calls":[{"index":1,"id":"3","function":{"name":"h","arguments":"{}"}}]}',
    '{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]}',
)


@example(
    [
        (1, '{"content":"a"}'),
        (1, '{"content":"a"}'),
        (1, '{"reasoning":"\\ud83d","content":""}'),
        (1, '{"reasoning_content":"x","content":null}'),
        (1, '{"content":"a"}'),
    ],
    3,
)
@given(
    st.lists(st.tuples(st.sampled_from((0, 0, 0, 1)), st.sampled_from(DELTAS)), max_size=30),
    st.integers(2, 6),
)
def test_any_order_of_pieces_is_read_the_same(said: list[tuple[int, str]], several: int) -> None:
    stream = [f"data: {CHUNK % one}\n\n".encode() for one in said]
    learnt = decoded("openai_chat", stream)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moulds.Known, "text", lambda self, data: None)
        patch.setattr(moulds.Known, "row", lambda self, index, records: None)
        assert learnt == decoded("openai_chat", stream)
    assert learnt == decoded(
        "openai_chat", [b"".join(stream[at : at + several]) for at in range(0, len(stream), several)]
    )
