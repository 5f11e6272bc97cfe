"""Amazon's binary event stream (`application/vnd.amazon.eventstream`): frames in and out, both checksums verified.

Rules. A frame's length is believed only after its prelude's checksum; a frame is given only when its own checksum is
right. Frames are not aligned to the pieces that arrive. All integers are big endian, the checksum is CRC-32 of IEEE.
Spec: the Bedrock Runtime page, section 8.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Mapping
from typing import Final, NamedTuple

MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"
MOST_HEADERS: Final = 128 << 10
MOST_PAYLOAD: Final = 24 << 20
_PRELUDE: Final = 12
_LEAST: Final = 16
_PRELUDE_OF: Final = struct.Struct(">II")
_CRC: Final = struct.Struct(">I")
_STRING: Final = 7
_LONGEST_STRING: Final = 0xFFFF

_FIXED: Final[dict[int, tuple[int, str]]] = {
    2: (1, ">b"),
    3: (2, ">h"),
    4: (4, ">i"),
    5: (8, ">q"),
    8: (8, ">q"),
    9: (16, "16s"),
}

Value = str | int | bool | bytes


class Damaged(ValueError):
    """Bytes that are no event stream, or whose checksum is wrong. The message says which and is safe to show."""


class Frame(NamedTuple):
    """One frame; `raw` are its exact bytes."""

    headers: dict[str, Value]
    payload: bytes
    raw: bytes

    def text(self, name: str) -> str:
        """A header as text, "" when it is missing or of another type."""
        value = self.headers.get(name, "")
        return value if isinstance(value, str) else ""


class Splitter:
    """Whole frames out of pieces of any size. After `Damaged` nothing more can be read: the borders are lost."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._length = 0
        self._damage: Damaged | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now. Raises Damaged, once those before the damage were given."""
        if self._damage is not None:
            raise self._damage
        held = self._held
        held += data
        frames: list[Frame] = []
        at = 0
        try:
            while len(held) - at >= _PRELUDE:
                self._length = self._length or _checked_length(held, at)
                if len(held) - at < self._length:
                    break
                frames.append(_frame(bytes(held[at : at + self._length])))
                at, self._length = at + self._length, 0
        except Damaged as error:
            if not frames:
                raise
            self._damage = error
        del held[:at]
        return frames

    def finish(self) -> list[Frame]:
        """Nothing more comes. Raises Damaged when the end of a frame is missing."""
        if self._damage is not None:
            raise self._damage
        if self._held:
            raise Damaged("its last frame is not complete")
        return []


def _checked_length(held: bytearray, at: int) -> int:
    total, headers = _PRELUDE_OF.unpack_from(held, at)
    if _CRC.unpack_from(held, at + 8)[0] != crc32(held[at : at + 8]):
        raise Damaged("the checksum of a frame's prelude is wrong")
    if headers > MOST_HEADERS or total - headers - _LEAST > MOST_PAYLOAD:
        raise Damaged("a frame is larger than the format allows")
    if total < headers + _LEAST:
        raise Damaged("a frame is shorter than its headers")
    return int(total)


def _frame(raw: bytes) -> Frame:
    if _CRC.unpack_from(raw, len(raw) - 4)[0] != crc32(raw[:-4]):
        raise Damaged("the checksum of a frame is wrong")
    end = _PRELUDE + _PRELUDE_OF.unpack_from(raw)[1]
    return Frame(_headers(raw[_PRELUDE:end]), raw[end:-4], raw)


def _headers(data: bytes) -> dict[str, Value]:
    found: dict[str, Value] = {}
    at = 0
    try:
        while at < len(data):
            size = data[at]
            name = data[at + 1 : at + 1 + size].decode()
            kind = data[at + 1 + size]
            found[name], at = _value(kind, data, at + 2 + size)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise Damaged("the headers of a frame cannot be read") from error
    return found


def _value(kind: int, data: bytes, at: int) -> tuple[Value, int]:
    if kind in (0, 1):
        return kind == 0, at
    if kind in _FIXED:
        size, form = _FIXED[kind]
        return struct.unpack_from(form, data, at)[0], at + size
    if kind not in (6, _STRING):
        raise Damaged(f"a header has a value of the unknown type {kind}")
    (size,) = struct.unpack_from(">H", data, at)
    value = data[at + 2 : at + 2 + size]
    if len(value) != size:
        raise Damaged("the headers of a frame cannot be read")
    return (value.decode() if kind == _STRING else value), at + 2 + size


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One frame with text headers."""
    packed = b"".join(_header(name, value) for name, value in headers.items())
    prelude = _PRELUDE_OF.pack(_LEAST + len(packed) + len(payload), len(packed))
    body = b"".join((prelude, _CRC.pack(crc32(prelude)), packed, payload))
    return body + _CRC.pack(crc32(body))


def _header(name: str, value: str) -> bytes:
    text = value.encode()[:_LONGEST_STRING]
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _STRING, len(text)) + text


def event(kind: str, payload: bytes) -> bytes:
    """A modelled event with a JSON payload."""
    named = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(named, payload)


def exception(kind: str, payload: bytes) -> bytes:
    """A modelled exception with a JSON payload: the last frame of its stream."""
    named = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(named, payload)
