"""Stop strings that the backend does not honour: whole, in streams, and in several choices."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux import ir
from llm_mux.gateway.enforce import Enforcer, cut_whole
from llm_mux.gateway.fold import Fold, unfold
from tests.gateway.generated import responses

words = st.text("ab<", max_size=30)
stops = st.lists(st.text("ab<", min_size=1, max_size=4), min_size=1, max_size=3)


def naive(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The sequence that is complete first wins, of two that end together the longer."""
    hits = [(text.find(stop) + len(stop), -len(stop), stop) for stop in stops if stop in text]
    if not hits:
        return text, None
    end, _, stop = min(hits)
    return text[: end - len(stop)], stop


def cuts(text: str, at: list[int]) -> list[str]:
    borders = sorted({0, len(text), *(place % (len(text) + 1) for place in at)})
    return [text[a:b] for a, b in itertools.pairwise(borders)]


def answer(events: list[ir.Event]) -> ir.Response:
    fold = Fold()
    fold.feed(events)
    return fold.response()


@given(words, stops, st.lists(st.integers(0, 40), max_size=6))
def test_any_cut_of_the_text_ends_where_the_whole_text_does(text: str, wanted: list[str], at: list[int]) -> None:
    enforcer = Enforcer(wanted)
    events: list[ir.Event] = [ir.Start("r", "m"), ir.PartStart(0, ir.Text(""))]
    events += [ir.TextDelta(0, piece) for piece in cuts(text, at)]
    events += [ir.PartEnd(0), ir.Finish("stop"), ir.UsageReport(ir.Usage(1, 2)), ir.Done()]
    out = [event for one in events for event in enforcer([one])]
    shown, hit = naive(text, wanted)
    assert ir.violations(out) == []
    choice = answer(out).choices[0]
    assert ir.joined(choice.parts) == shown
    assert (choice.finish.stop_sequence, choice.finish.reason) == (hit, "stop_sequence" if hit else "stop")
    assert enforcer.satisfied is (hit is not None)
    whole = ir.Response("r", "m", (ir.Choice((ir.Text(text),), ir.Finish("stop")),))
    assert ir.joined(cut_whole(whole, wanted).choices[0].parts) == shown


@given(responses, stops)
def test_a_stream_of_several_choices_is_cut_like_the_whole_answer(response: ir.Response, wanted: list[str]) -> None:
    enforcer = Enforcer(wanted, len(response.choices))
    events = enforcer(unfold(response))
    assert ir.violations(events) == []
    got, want = answer(events), cut_whole(response, wanted)
    for mine, theirs in zip(got.choices, want.choices, strict=True):
        assert mine.finish == theirs.finish
        assert [part for part in mine.parts if not isinstance(part, ir.Text)] == [
            part for part in theirs.parts if not isinstance(part, ir.Text)
        ]
        assert ir.joined(mine.parts) == ir.joined(theirs.parts)


def test_a_choice_that_has_not_begun_is_waited_for() -> None:
    enforcer = Enforcer(["END"], choices=2)
    first = enforcer([ir.Start("r", "m"), ir.PartStart(0, ir.Text("")), ir.TextDelta(0, "one END two")])
    assert not enforcer.satisfied
    more = enforcer([ir.PartEnd(0), ir.Finish("stop"), ir.PartStart(1, ir.ToolCall("c", "f", ""), choice=0)])
    assert more == []
    rest = enforcer([ir.PartEnd(1), ir.PartStart(2, ir.Text(""), choice=1), ir.TextDelta(2, "three END")])
    assert enforcer.satisfied
    assert ir.violations([*first, *rest]) == []
    assert [ir.joined(choice.parts) for choice in answer([*first, *rest]).choices] == ["one ", "three "]


@pytest.mark.parametrize("pieces", [["x" * 30], ["x"] * 30, ["x" * 8, "x" * 8, "x" * 14]])
def test_a_limit_that_the_backend_cannot_hold_is_held_here(pieces: list[str]) -> None:
    events: list[ir.Event] = [ir.Start("i", "m"), ir.PartStart(0, ir.Text(""))]
    events += [ir.TextDelta(0, piece) for piece in pieces]
    events += [ir.PartEnd(0), ir.Finish("stop"), ir.Done()]
    enforcer = Enforcer((), most=5)
    got = [event for each in events for event in enforcer([each])]
    assert not ir.violations(got)
    assert "".join(event.text for event in got if isinstance(event, ir.TextDelta)) == "x" * 20
    assert [event.reason for event in got if isinstance(event, ir.Finish)] == ["length"]
    whole = ir.Response("i", "m", (ir.Choice((ir.Text("x" * 30),), ir.Finish("stop")),))
    cut = cut_whole(whole, (), 5).choices[0]
    assert (ir.joined(cut.parts), cut.finish.reason) == ("x" * 20, "length")


def test_an_answer_within_its_limit_is_left_alone() -> None:
    whole = ir.Response("i", "m", (ir.Choice((ir.Text("x" * 20),), ir.Finish("stop")),))
    assert cut_whole(whole, (), 5) == whole


def test_log_probabilities_stay_with_the_text_that_is_watched_for_stop_strings() -> None:
    tokens = [msgspec.Raw(msgspec.json.encode([{"token": word, "logprob": -0.5}])) for word in ("one<", "two", "END")]
    enforcer = Enforcer(["<end>", "END"])
    events: list[ir.Event] = [ir.Start("r", "m"), ir.PartStart(0, ir.Text(""))]
    events += [ir.TextDelta(0, *piece) for piece in zip(("one<", "two", "END"), tokens, strict=True)]
    got = answer([event for one in events for event in enforcer([one])]).choices[0]
    assert ir.joined(got.parts) == "one<two"
    assert [one["token"] for one in msgspec.json.decode(got.logprobs or b"[]")] == ["one<", "two"]
