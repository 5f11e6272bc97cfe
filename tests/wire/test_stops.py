"""Stop sequences cut out of streamed text, compared with the answer found by trying every end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.wire.stops import StopCutter


def cut(text: str, stops: list[str], size: int = 1) -> tuple[str, str | None]:
    cutter = StopCutter(stops)
    shown = "".join(cutter.feed(text[at : at + size])[0] for at in range(0, len(text), size))
    return shown + cutter.flush(), cutter.hit


def naive(text: str, stops: list[str]) -> tuple[str, str | None]:
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if found:
            longest = max(found, key=len)
            return text[: end - len(longest)], longest
    return text, None


letters = st.text(st.sampled_from("ab\n"), max_size=40)


@given(letters, st.lists(st.text(st.sampled_from("ab\n"), max_size=5), max_size=4), st.integers(1, 7))
def test_the_cut_is_where_a_naive_search_finds_it(text: str, stops: list[str], size: int) -> None:
    assert cut(text, stops, size) == naive(text, stops)


def test_nothing_of_a_stop_sequence_is_shown_early_and_nothing_else_is_held() -> None:
    cutter = StopCutter(["\n\nHuman:", "END"])
    assert cutter.feed("Hello") == ("Hello", None)
    assert cutter.feed("\n") == ("", None)
    assert cutter.feed("\nHu") == ("", None)
    assert cutter.feed("ge E") == ("\n\nHuge ", None)
    assert cutter.feed("ND more") == ("", "END")
    assert cutter.feed("more") == ("", "END")
    assert cutter.flush() == ""


def test_what_was_held_back_comes_at_the_end() -> None:
    cutter = StopCutter(["END"])
    assert cutter.feed("the EN") == ("the ", None)
    assert cutter.flush() == "EN"


@pytest.mark.parametrize("stops", [[], [""]])
def test_without_stop_sequences_text_passes(stops: list[str]) -> None:
    assert StopCutter(stops).feed("text") == ("text", None)
