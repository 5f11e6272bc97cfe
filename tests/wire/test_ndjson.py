"""Newline-delimited JSON: lines in any cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.wire import ndjson


def split(*chunks: bytes) -> list[bytes]:
    splitter = ndjson.Splitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return lines + splitter.finish()


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n\r\n\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'\xef\xbb\xbf{"a":1}\n', [b'{"a":1}']),
        ('{"a":"x\u2028y"}\n'.encode(), ['{"a":"x\u2028y"}'.encode()]),
        (b"", []),
        (b"\n\n", []),
    ],
)
def test_lines_come_out_whole_and_blank_ones_not_at_all(body: bytes, lines: list[bytes]) -> None:
    assert split(body) == lines


@given(st.lists(st.sampled_from([b"{}", b'{"a":"', "é".encode(), b"\n", b"\r\n", b'"}']), max_size=20).map(b"".join))
def test_any_cut_gives_the_same_lines(body: bytes) -> None:
    assert split(*(body[at : at + 1] for at in range(len(body)))) == split(body)


def test_a_line_past_the_limit_is_refused() -> None:
    splitter = ndjson.Splitter(limit=10)
    with pytest.raises(ndjson.TooLong):
        splitter.feed(b"x" * 11)


def test_a_written_line_ends_with_one_line_feed() -> None:
    assert ndjson.line(b"{}") == b"{}\n"
