"""A stream's events and a whole answer say the same."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.fold import Fold, unfold
from tests.gateway.generated import natives, parts, responses


def folded(events: list[ir.Event]) -> ir.Response:
    fold = Fold()
    fold.feed(events)
    return fold.response()


@given(responses)
def test_a_whole_answer_survives_being_a_stream(response: ir.Response) -> None:
    events = unfold(response)
    assert ir.violations(events) == []
    assert folded(events) == response


@given(responses, st.data())
def test_any_cut_of_the_deltas_folds_to_the_same(response: ir.Response, data: st.DataObject) -> None:
    pieces: list[ir.Event] = []
    for event in unfold(response):
        if isinstance(event, ir.ReasoningDelta | ir.ArgumentsDelta) or (
            isinstance(event, ir.TextDelta) and event.logprobs is None
        ):
            at = data.draw(st.integers(0, len(event.text)))
            first, second = event.text[:at], event.text[at:]
            pieces += [msgspec.structs.replace(event, text=text) for text in (first, second)]
        else:
            pieces.append(event)
    assert folded(pieces) == response


@given(parts, natives)
def test_a_late_seal_replaces_nothing_but_the_seal(part: ir.Part, native: ir.Native) -> None:
    if not isinstance(part, ir.Text | ir.Reasoning | ir.ToolCall):
        return
    whole = ir.Response("r", "m", (ir.Choice((part,), ir.Finish("stop")),))
    events = unfold(whole)
    events.insert(-3, ir.Seal(0, native))
    assert folded(events).choices[0].parts == (msgspec.structs.replace(part, native=native),)


def test_logprobs_of_the_pieces_are_joined() -> None:
    events: list[ir.Event] = [
        ir.Start("r", "m"),
        ir.PartStart(0, ir.Text("")),
        ir.TextDelta(0, "a", Raw(b'[{"token":"a"}]')),
        ir.TextDelta(0, "b", Raw(b'[{"token":"b"}]')),
        ir.PartEnd(0),
        ir.Finish("stop"),
        ir.Done(),
    ]
    assert folded(events).choices[0].logprobs == Raw(b'[{"token":"a"},{"token":"b"}]')


def test_choices_come_back_in_order_with_their_own_parts() -> None:
    events: list[ir.Event] = [
        ir.Start("r", "m", usage=ir.Usage(input=3)),
        ir.PartStart(0, ir.Text(""), choice=1),
        ir.PartStart(1, ir.Text(""), choice=0),
        ir.TextDelta(0, "one"),
        ir.TextDelta(1, "zero"),
        ir.PartEnd(0),
        ir.PartEnd(1),
        ir.Finish("stop", choice=1),
        ir.Finish("length", choice=0),
        ir.UsageReport(ir.Usage(input=3, output=2)),
        ir.Done(),
    ]
    response = folded(events)
    assert [(ir.joined(choice.parts), choice.finish.reason) for choice in response.choices] == [
        ("zero", "length"),
        ("one", "stop"),
    ]
    assert response.usage == ir.Usage(input=3, output=2)


def test_a_stream_without_an_end_is_no_answer() -> None:
    events = unfold(ir.Response("r", "m", (ir.Choice((ir.Text("half"),), ir.Finish("stop")),)))
    with pytest.raises(MuxError) as caught:
        folded(events[:-1])
    assert caught.value.kind is Kind.UPSTREAM_CUT
    with pytest.raises(MuxError, match="mine"):
        folded([*events[:3], ir.Failed(MuxError(Kind.OVERLOADED, "mine"))])
