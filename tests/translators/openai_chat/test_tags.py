"""Thoughts between tags at the beginning of the content."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translators.openai_chat import chat
from tests.translators.openai_chat.chat import DONE, chunk, events, text

STOP = chunk(finish="stop")


@pytest.mark.covers("PF-71")
def test_think_tags_are_parsed_only_where_configured() -> None:
    records = [chunk({"content": piece}) for piece in ("<th", "ink>\nhm", "m</thi", "nk>\n\n", "yes <think>")] + [
        STOP,
        DONE,
    ]
    tagged = events(*records, to=chat.target(think_tags=True))
    assert (chat.reasoning(tagged), text(tagged)) == ("hmm", "yes <think>")
    assert text(events(*records)) == "<think>\nhmm</think>\n\nyes <think>"


@pytest.mark.parametrize(
    ("pieces", "thought", "said"),
    [
        (["plain"], "", "plain"),
        (["<", "b>"], "", "<b>"),
        (["  <think>", "a</think>b"], "a", "b"),
        (["<think></think>b"], "", "b"),
        (["<think>never closed"], "never closed", ""),
        (["<think>a < b", "</think>", "c"], "a < b", "c"),
        (["<thi"], "", "<thi"),
    ],
)
def test_think_tags_in_pieces(pieces: list[str], thought: str, said: str) -> None:
    found = events(*(chunk({"content": p}) for p in pieces), STOP, DONE, to=chat.target(think_tags=True))
    assert (chat.reasoning(found), text(found)) == (thought, said)


@given(st.lists(st.integers(0, 40), max_size=5))
def test_think_tags_may_be_cut_anywhere(cuts: list[int]) -> None:
    content = "<think>first\n\nthen </b> x</think>\n\nyes"
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    found = events(*(chunk({"content": content[a:b]}) for a, b in itertools.pairwise(edges)), STOP, DONE,
                   to=chat.target(think_tags=True))  # fmt: skip
    assert (chat.reasoning(found), text(found)) == ("first\n\nthen </b> x", "yes")
