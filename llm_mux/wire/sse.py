"""Server-sent events, read from bytes in any cut and written (WHATWG HTML, section 9.2).

Rules. Lines end with LF, CR or CRLF and nothing else; a record ends with a blank line or with the stream. Records
without data (comments, keep-alives) are dropped. Two liberties, because real servers take them: text that is no SSE
at all (a JSON or HTML error under an SSE content type, where a record would begin) comes out as a record without an
event, and an `event:` line glued to the record before it begins a new one. The work grows with the bytes alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from llm_mux.wire.carry import MAX_RECORD, Carry, TooLong
from llm_mux.wire.nesting import Nesting

__all__ = ["Frame", "Splitter", "TooLong", "comment", "frame"]

_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"\n\n|\n\r\n?|\r\r\n?")
# `.` stops at LF and is several times faster than [^\r\n], so bytes without any CR have a pattern of their own.
_USUAL = re.compile(rb"(?:event: (.++)\n)?data: (\{.*+(?<=\})|\[DONE\])\n\n")
# Only from the start of a line: a search inside of a long record would take the square of its length.
_ALL_USUAL = re.compile(rb"^((?:event: (.++)\n)?data: (\{.*+(?<=\})|\[DONE\])\n\n)", re.MULTILINE)
_USUAL_ENDS = (b"}\n\n", b"]\n\n")
_USUAL_CRLF = re.compile(rb"(?:event: ([^\r\n]++)\r\n)?data: (\{[^\r\n]*+)(?<=\})\r\n\r\n")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_EVENT_LINE = re.compile(rb"event: ?[\w.\-]+")
_LINE_ENDS = frozenset(b"\r\n")
_FOREIGN = frozenset(b"{[<")
_CR, _HTML = 0x0D, 0x3C


class Frame(Struct, frozen=True):
    """One record. `data` has its lines joined with LF; `raw` is the record's own bytes with the blank line after it."""

    event: str | None
    data: bytes
    raw: bytes


class Splitter:
    """Bytes in any cut to frames; `finish` gives a last record that came without its blank line. `between`: the next
    byte begins a record, and nothing of an earlier one is held."""

    __slots__ = ("_carry", "_foreign", "_fresh", "_held", "_nesting", "between")

    def __init__(self, limit: int = MAX_RECORD) -> None:
        self._carry = Carry(limit)
        self._held = b""
        self._fresh = True
        self._foreign = False
        self._nesting: Nesting | None = None
        self.between = False

    def whole(self, data: bytes) -> bool:
        """Whether `data` is records from its first byte to its last: then it need not be fed."""
        if self._held or self._foreign or self._carry.size or not data.endswith(b"\n\n"):
            return False
        return not self._fresh or data.startswith((b"data:", b"event:"))

    def feed(self, chunk: bytes) -> list[Frame]:
        buffer = self._held + chunk if self._held else chunk
        self._held = b""
        if self._fresh:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._held = buffer
                return []
            self._fresh = False
            buffer = buffer.removeprefix(_BOM)
        self.between = True
        if not (self._foreign or self._carry.size) and (whole := _only_usual(buffer)):
            return whole
        frames: list[Frame] = []
        at, usual = 0, _usual_in(buffer)
        while 0 <= at < len(buffer):
            at = self._text(buffer, at, frames) if self._foreign else self._record(buffer, at, frames, usual)
        self.between = not (self._held or self._foreign or self._carry.size)
        return frames

    def finish(self) -> list[Frame]:
        rest = self._carry.take() + self._held
        self._held = b""
        if not self._foreign:
            return _records(rest)
        self._foreign = False
        return [Frame(None, rest.strip(), rest)]

    def _record(self, buffer: bytes, at: int, frames: list[Frame], usual: re.Pattern[bytes]) -> int:
        """Takes the record at `at`; where the next one begins, or -1 when the rest was kept for the next read."""
        if not self._carry.size:
            at = _past_line_ends(buffer, _usual(buffer, at, frames, usual))
            if at == len(buffer):
                return -1
            if buffer[at] in _FOREIGN:
                self._foreign = True
                self._nesting = None if buffer[at] == _HTML else Nesting()
                return at
        end = _past_blank_line(buffer, at)
        if end < 0:
            self._keep(buffer[at:])
            return -1
        self._carry.add(buffer[at:end])
        block = self._carry.take()
        if _usual(block, 0, frames, _usual_in(block)) == 0:
            frames.extend(_records(block))
        return end

    def _keep(self, rest: bytes) -> None:
        """Stores the start of a record; its last line ends wait beside it, for they may be half of a blank line."""
        body = rest.rstrip(b"\r\n")
        self._carry.add(body)
        self._held = rest[len(body) :]

    def _text(self, buffer: bytes, at: int, frames: list[Frame]) -> int:
        """Takes text that is no SSE: to where its brackets balance, or (HTML) to the end of the stream."""
        end = self._nesting.close(buffer, at) if self._nesting else -1
        self._carry.add(buffer[at:end] if end >= 0 else buffer[at:])
        if end >= 0:
            text = self._carry.take()
            frames.append(Frame(None, text, text))
            self._foreign = False
        return end


def _past_line_ends(buffer: bytes, at: int) -> int:
    while at < len(buffer) and buffer[at] in _LINE_ENDS:
        at += 1
    return at


def _past_blank_line(buffer: bytes, at: int) -> int:
    """Where the record's blank line ends, or -1 when that is not known yet."""
    match = _BLANK.search(buffer, at)
    return -1 if match is None or (match.end() == len(buffer) and buffer[-1] == _CR) else match.end()


def _usual_in(buffer: bytes) -> re.Pattern[bytes]:
    return _USUAL_CRLF if b"\r" in buffer else _USUAL


def _usual(buffer: bytes, at: int, frames: list[Frame], pattern: re.Pattern[bytes]) -> int:
    """Takes records of the usual shapes, `data: {...}` with or without an `event:` before, and OpenAI's end mark; where
    others begin."""
    while match := pattern.match(buffer, at):
        event, data = match.groups()
        frames.append(Frame(event.decode("utf-8", "replace") if event else None, data, match[0]))
        at = match.end()
    return at


def _only_usual(buffer: bytes) -> list[Frame]:
    """The records of a buffer that is made of usual ones alone, read in one go; none for any other buffer."""
    if buffer[-3:] not in _USUAL_ENDS or b"\r" in buffer:
        return []
    found = _ALL_USUAL.findall(buffer)
    if sum([len(raw) for raw, _, _ in found]) != len(buffer):
        return []
    return [Frame(event.decode("utf-8", "replace") if event else None, data, raw) for raw, event, data in found]


def _records(block: bytes) -> list[Frame]:
    """The records of one block: one, or none without data, or more when an `event:` line was glued in between."""
    frames: list[Frame] = []
    event: bytes | None = None
    late: bytes | None = None
    data: list[bytes] = []
    start = cut = 0
    for at, name, value in _fields(block):
        if name == b"event" and data:
            late, cut = value, at
        elif name == b"event":
            event = value
        elif name == b"data":
            if late is not None:
                frames.extend(_joined(event, data, block[start:cut]))
                event, late, data, start = late, None, [], cut
            data.append(value)
    return [*frames, *_joined(late if event is None else event, data, block[start:])]


def _joined(event: bytes | None, lines: list[bytes], raw: bytes) -> list[Frame]:
    data = b"\n".join(lines)
    return [Frame(_name(event or b""), data, raw)] if data.strip() else []


def _name(event: bytes) -> str | None:
    return event.decode("utf-8", "replace") or None


def _fields(block: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(offset, name, value) of each line; comments are left out, `data: {...}event: x` counts as two lines."""
    at = 0
    for end_of_line in _LINE_END.finditer(block):
        yield from _field(at, block[at : end_of_line.start()])
        at = end_of_line.end()
    yield from _field(at, block[at:])


def _field(at: int, line: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    name, _, value = line.partition(b":")
    if not name:
        return
    value = value.removeprefix(b" ")
    if name == b"data" and value.startswith(b"{"):
        glue = value.rfind(b"}event:") + 1
        if glue and _EVENT_LINE.fullmatch(value, glue):
            yield at, name, value[:glue]
            yield from _field(at + len(line) - len(value) + glue, value[glue:])
            return
    yield at, name, value


def frame(data: bytes, event: str | None = None) -> bytes:
    """A record. The space after `data:` stays: google-genai reads nothing else."""
    head = b"event: %b\n" % event.encode() if event else b""
    if b"\n" in data or b"\r" in data:
        lines = _LINE_END.split(data)
        return head + b"".join(b"data: %b\n" % line for line in lines) + b"\n"
    return b"%bdata: %b\n\n" % (head, data)


def comment(text: str) -> bytes:
    """A record that clients ignore (not for Gemini clients, which raise on one)."""
    return b": %b\n\n" % " ".join(text.split()).encode()
