"""Amazon's event stream: our frames read by botocore, its kinds of headers read by us, and damage never passed over."""

import struct
from binascii import crc32
from itertools import pairwise

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.wire import eventstream
from llm_mux.wire.eventstream import Damaged, Frame, Splitter

EVENTS = [
    eventstream.event("messageStart", b'{"role":"assistant"}'),
    eventstream.event("contentBlockDelta", '{"delta":{"text":"gr\u00fc\u00df dich \U0001f600"}}'.encode()),
    eventstream.exception("throttlingException", b'{"message":"slow down"}'),
]


def split(*pieces: bytes) -> list[Frame]:
    splitter = Splitter()
    return [frame for piece in pieces for frame in splitter.feed(piece)] + splitter.finish()


def test_botocore_reads_what_we_write() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(EVENTS))
    read = [message.to_response_dict() for message in buffer]
    assert [one["headers"].get(":event-type") for one in read] == ["messageStart", "contentBlockDelta", None]
    assert [one["headers"][":message-type"] for one in read] == ["event", "event", "exception"]
    assert [one["body"] for one in read] == [frame.payload for frame in split(*EVENTS)]


@pytest.mark.covers("PF-20")
@given(st.lists(st.integers(0, sum(map(len, EVENTS))), max_size=12))
def test_any_cut_gives_the_same_frames(cuts: list[int]) -> None:
    whole = b"".join(EVENTS)
    borders = [0, *sorted(cuts), len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(borders)]
    assert split(*pieces) == split(whole)
    assert b"".join(frame.raw for frame in split(*pieces)) == whole


@given(st.integers(0, len(EVENTS[1]) - 1), st.integers(1, 255))
def test_one_wrong_byte_anywhere_is_noticed(at: int, change: int) -> None:
    wrong = bytearray(EVENTS[1])
    wrong[at] ^= change
    splitter = Splitter()
    with pytest.raises(Damaged):
        splitter.feed(bytes(wrong))
        splitter.finish()


def test_the_frames_before_the_damage_are_given_first() -> None:
    splitter = Splitter()
    assert len(splitter.feed(EVENTS[0] + b"\x00" * 20)) == 1
    with pytest.raises(Damaged, match="prelude"):
        splitter.feed(b"")


def test_a_missing_end_is_noticed() -> None:
    splitter = Splitter()
    assert splitter.feed(EVENTS[0][:-1]) == []
    with pytest.raises(Damaged, match="not complete"):
        splitter.finish()


def _typed(kind: int, value: bytes) -> bytes:
    headers = b"\x01a" + bytes([kind]) + value
    prelude = struct.pack(">II", 16 + len(headers), len(headers))
    body = prelude + struct.pack(">I", crc32(prelude)) + headers
    return body + struct.pack(">I", crc32(body))


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (0, b"", True),
        (1, b"", False),
        (2, b"\xff", -1),
        (3, b"\x01\x00", 256),
        (4, b"\x00\x00\x00\x07", 7),
        (5, b"\x00" * 7 + b"\x09", 9),
        (6, b"\x00\x02hi", b"hi"),
        (7, b"\x00\x02hi", "hi"),
        (8, b"\x00" * 7 + b"\x01", 1),
        (9, b"u" * 16, b"u" * 16),
    ],
)
def test_every_type_of_header_is_read(kind: int, value: bytes, read: eventstream.Value) -> None:
    assert split(_typed(kind, value))[0].headers == {"a": read}


@pytest.mark.parametrize("frame", [_typed(12, b""), _typed(7, b"\x00\x09hi"), _typed(4, b"\x00")])
def test_headers_that_cannot_be_read_are_damage(frame: bytes) -> None:
    with pytest.raises(Damaged):
        split(frame)


@pytest.mark.parametrize(("total", "headers"), [(30 << 20, 0), (200 << 10, 190 << 10), (20, 8)])
def test_a_length_that_the_format_does_not_allow_is_refused_at_once(total: int, headers: int) -> None:
    prelude = struct.pack(">II", total, headers)
    with pytest.raises(Damaged):
        Splitter().feed(prelude + struct.pack(">I", crc32(prelude)))
