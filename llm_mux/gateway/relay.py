"""The byte loop of one streamed attempt: upstream pieces in, client pieces out, and a record of what went by.

Two ways with one face. `Translate` decodes, restores names, cuts stop strings and encodes. `Splice` passes the bytes
and watches a copy: the watcher may go blind, the bytes may not stop. Neither makes up a clean end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.complete import Completion
from llm_mux.gateway.enforce import Enforcer
from llm_mux.gateway.seals import Watcher
from llm_mux.translators.base import StreamDecoder, StreamEncoder, Translator
from llm_mux.translators.tools import Names, Raiser
from llm_mux.wire import eventstream, ndjson, sse

_FEW = 512
_MANY = 4096
_FIRST_RECORDS = 5
_LAST_RECORDS = 4
"""The records around the pieces of a text, at most: what comes up to the first piece, and what ends it (Responses)."""
_PIECES = (ir.ReasoningDelta, ir.ArgumentsDelta)


class Record:
    """What the books and the next turn need of a stream, noted as it goes by."""

    __slots__ = ("content", "done", "error", "finish", "model", "usage", "watcher")

    def __init__(self, watcher: Watcher | None) -> None:
        self.usage: ir.Usage | None = None
        self.finish: ir.Finish | None = None
        self.model: str | None = None
        self.error: MuxError | None = None
        self.done = False
        self.content = False
        self.watcher = watcher

    def note(self, events: list[ir.Event]) -> None:
        """Takes note of events in order. `content` turns true with the first that a user would see."""
        for event in events:
            kind = type(event)
            if kind is ir.TextDelta:
                self.content = True
            elif isinstance(event, _PIECES):
                self.content = True
                if self.watcher is not None:
                    self.watcher.piece(event)
            elif kind is not ir.PartEnd:
                self._other(event)

    def _other(self, event: ir.Event) -> None:
        match event:
            case ir.PartStart(part=part):
                self.content = self.content or _visible(part)
                self._watched(event)
            case ir.Seal():
                self.content = True
                self._watched(event)
            case ir.UsageReport(usage=usage):
                self.usage = usage
            case ir.Start(model=model, usage=usage):
                self.model = model
                self.usage = usage or self.usage
            case ir.Finish():
                self.content = True
                self.finish = event
            case ir.Failed(error=error):
                self.error = error
            case ir.Done():
                self.content = self.done = True
            case _:
                pass

    def _watched(self, event: ir.Event) -> None:
        if self.watcher is not None:
            self.watcher.note(event)


def _visible(part: ir.Part) -> bool:
    return not isinstance(part, ir.Text | ir.Reasoning | ir.Refusal)


class Way(Protocol):
    """`feed(b"")` is the upstream's end. After `over` nothing more is wanted of the upstream."""

    record: Record
    over: bool

    def feed(self, data: bytes) -> bytes: ...

    def fail(self, error: MuxError) -> bytes: ...

    def keepalive(self) -> bytes: ...

    def settle(self) -> None:
        """Catches up with what went out before anybody read it. Called when it is out, at the latest by `feed`."""

    @property
    def counts(self) -> bool:
        """Whether the request may yet have to be counted, since nobody has told how much it was."""


class Translate:
    """Another format upstream: events in between. `stamp` completes a Start: id, time, the model name asked for."""

    __slots__ = (
        "_complete",
        "_decoder",
        "_encoder",
        "_enforcer",
        "_raise",
        "_row_in",
        "_row_out",
        "_stamp",
        "over",
        "record",
    )

    def __init__(
        self,
        decoder: StreamDecoder,
        encoder: StreamEncoder,
        *,
        names: Names,
        stops: tuple[str, ...],
        most: int | None = None,
        choices: int = 1,
        record: Record,
        stamp: Callable[[ir.Start], ir.Start],
        complete: Completion | None = None,
    ) -> None:
        self.record = record
        self.over = False
        self._stamp = stamp
        self._complete = complete
        self._decoder = decoder
        self._encoder = encoder
        self._raise = Raiser(names)
        self._enforcer = Enforcer(stops, choices, most) if stops or most is not None else None
        self._row_in: Callable[[bytes], ir.Row | None] | None = None
        self._row_out: Callable[[ir.Row], bytes] | None = getattr(encoder, "row", None)
        if self._enforcer is None and self._row_out is not None:
            self._row_in = getattr(decoder, "row", None)

    def feed(self, data: bytes) -> bytes:
        if self._row_in is not None and self._row_out is not None and (row := self._row_in(data)) is not None:
            return self._said(row, self._row_out)
        if len(data) <= _MANY:
            return self.pass_on(self._decoder.feed(data) if data else self._decoder.finish())
        out = []
        for part in _parted(data):
            out.append(self._fed(part))
            if self.over:
                break
        return b"" if self.record.error is not None and not self.record.content else b"".join(out)

    def _fed(self, data: bytes) -> bytes:
        if self._row_in is not None and self._row_out is not None and (row := self._row_in(data)) is not None:
            return self._said(row, self._row_out)
        return self.pass_on(self._decoder.feed(data) if data else self._decoder.finish())

    def _said(self, row: ir.Row, written: Callable[[ir.Row], bytes]) -> bytes:
        """For nothing but pieces of a text: there is nothing to restore, to finish or to tell the books."""
        self.record.content = True
        if self._complete is not None:
            self._complete.characters += row.size
        return written(row)

    def pass_on(self, events: list[ir.Event]) -> bytes:
        """Client bytes for events of the upstream. A failure before any content is kept for the ladder to see."""
        events = self._raise(events)
        if events and isinstance(events[0], ir.Start):
            events[0] = self._stamp(events[0])
        if self._enforcer is not None:
            events = self._enforcer(events)
            self.over = self._enforcer.satisfied
        if self._complete is not None:
            events = self._complete(events)
        self.record.note(events)
        if self.record.error is not None:
            self.over = True
            if not self.record.content:
                return b""
        self.over = self.over or self.record.done
        return self._encoder.encode(events) if events else b""

    def fail(self, error: MuxError) -> bytes:
        self.over = True
        self.record.error = error
        return self._encoder.encode([ir.Failed(error)])

    def keepalive(self) -> bytes:
        return self._encoder.keepalive()

    def settle(self) -> None:
        """Nothing goes out unread."""

    @property
    def counts(self) -> bool:
        return self._complete is not None and not self._complete.told


def _parted(data: bytes) -> list[bytes]:
    """Many records at once as three reads: the first, from which a decoder knows what the ones like them say, those in
    between, which it then takes together, and the last."""
    at = 0
    for _ in range(_FIRST_RECORDS):
        if (at := data.find(b"\n\n", at) + 2) < 2:
            return [data]
    until = len(data)
    for _ in range(_LAST_RECORDS + 1):
        if (until := data.rfind(b"\n\n", at, until)) < 0:
            return [data]
    return [data[:at], data[at : until + 2], data[until + 2 :]]


class Splice:
    """The client's own format upstream. `encoder` makes what only an error or a silence needs. `edit` changes single
    records (None: bytes as they come); a binary stream needs one, which lets whole frames go by."""

    __slots__ = (
        "_blind",
        "_border",
        "_decoder",
        "_dull",
        "_edit",
        "_encoder_of",
        "_framed",
        "_in_text",
        "_protocol",
        "_tail",
        "_unread",
        "_whole",
        "over",
        "record",
    )

    def __init__(
        self,
        protocol: Translator,
        decoder: StreamDecoder,
        encoder: Callable[[], StreamEncoder],
        record: Record,
        edit: Edit | None,
    ) -> None:
        self.record = record
        self.over = False
        self._protocol = protocol
        self._decoder = decoder
        self._encoder_of = encoder
        self._edit = edit
        self._blind = False
        self._dull = protocol.dull() if protocol.dull is not None else None
        self._framed = protocol.stream_type == eventstream.MEDIA_TYPE
        self._border = b"\n" if protocol.stream_type == "application/x-ndjson" else b"\n\n"
        self._in_text = False
        # Whether the next byte begins a record, and one that may go unread.
        self._whole = False
        self._tail = b""
        self._unread = b""

    def feed(self, data: bytes) -> bytes:
        if self._unread:
            self.settle()
        if not data:
            return self._end()
        if not self.record.content and len(data) <= _FEW and self._opens(data):
            # A client that waits for the first words has them before they are read.
            self.record.content = True
            self._unread, self._tail = data, data[-4:]
            return data if self._edit is None else self._edit.feed(data)
        if self._in_text and self._whole and (judge := self._dull) is not None and judge(data):
            # Whole records after whole ones that only carry on the text: they go as they are, unread.
            return data
        dull = self._watch(data)
        self._tail = data[-4:]
        self._whole = data.endswith(self._border) and not (
            self._blind or (self._edit is not None and self._edit.renames)
        )
        out = data if self._edit is None or (dull and not self._edit.renames) else self._edit.feed(data)
        error = self.record.error
        if error is not None and not self.record.content:
            self.over = True
            return b""
        if error is not None and self._framed and error.upstream is None:
            # After a damaged frame nobody finds the next one.
            return out + self.fail(error)
        return out

    def _opens(self, data: bytes) -> bool:
        """Whether these are records with text of the answer, which may go as they are."""
        opens = self._protocol.opens
        between = not self._tail or self._tail.endswith(self._border)
        return opens is not None and between and opens(data)

    def settle(self) -> None:
        data, self._unread = self._unread, b""
        if data and not self._blind:
            self._read(data)
            self._whole = not (self._blind or (self._edit is not None and self._edit.renames))

    def _watch(self, data: bytes) -> bool:
        """Reads a copy of what goes by. Of many records at once only those are read that do not just carry on a text,
        and the first that does. Whether all of it, whole records, is of that kind."""
        if self._blind:
            return False
        skipped = 0
        if self._dull is not None and len(data) > _FEW and (not self._tail or self._tail.endswith(self._border)):
            start, stop = self._dull.stretch(data)
            if start or not self._in_text:
                begun = data.find(self._border, start) + len(self._border) if stop > start else 0
                if begun:
                    self._read(data[:begun])
                skipped = stop if self._in_text and not self._blind and self._dull is not None else begun
            else:
                skipped = stop
            if skipped == len(data):
                return not start
        if not self._blind:
            self._read(data[skipped:])
        return False

    def _read(self, data: bytes) -> None:
        events = self._decoder.feed(data)
        last = events[-1] if events and not self._framed else None
        if isinstance(last, ir.Failed) and last.error.kind is Kind.UPSTREAM_NONSENSE:
            self._blind = True
            self.record.content = True
            events.pop()
        if events:
            self._in_text = type(events[-1]) is ir.TextDelta
            for event in events:
                if type(event) is ir.PartStart and event.choice:
                    # A choice of which all was skipped would not be missed when the stream is cut.
                    self._dull = None
        self.record.note(events)

    def _end(self) -> bytes:
        self.over = True
        out = self._edit.finish() if self._edit is not None else b""
        if self._blind or self.record.done:
            return out
        self.record.note(self._decoder.finish())
        error = self.record.error
        if error is None or not self.record.content:
            return out
        if error.upstream is not None:
            # The server's own error went by; a server that broke off there did not say that this is all.
            return out if self._tail == self._protocol.end_mark[-4:] else out + self._protocol.end_mark
        return out + self._closing(error)

    def fail(self, error: MuxError) -> bytes:
        self.settle()
        self.over = True
        self.record.error = error
        return self._closing(error)

    def _closing(self, error: MuxError) -> bytes:
        gap = b"" if self._framed or not self._tail or self._tail.endswith((b"\n\n", b"\r\n\r\n", b"\n")) else b"\n"
        gap += b"\n" if gap and self._protocol.stream_type == "text/event-stream" else b""
        encoder = self._encoder_of()
        encoder.encode([ir.Start(id="cut", model=self.record.model or "")])
        return gap + encoder.encode([ir.Failed(error)])

    def keepalive(self) -> bytes:
        return self._encoder_of().keepalive() if self._at_border() else b""

    @property
    def counts(self) -> bool:
        return False

    def _at_border(self) -> bool:
        if self._framed:
            return True
        if self._protocol.stream_type == "application/x-ndjson":
            return self._tail.endswith(b"\n")
        return not self._tail or self._tail.endswith((b"\n\n", b"\r\n\r\n"))


class Edit:
    """Small changes to a spliced stream, record by record: the model's name, and a usage record nobody asked for."""

    __slots__ = ("_hides", "_names", "_splitter")

    def __init__(self, protocol: Translator, *, hide_usage: bool, names: tuple[bytes, bytes] | None) -> None:
        self._hides = protocol.hides if hide_usage else None
        self._names = names
        self._splitter = _splitter(protocol)

    @property
    def renames(self) -> bool:
        """Whether every record is changed, the dull ones too."""
        return self._names is not None

    def feed(self, data: bytes) -> bytes:
        splitter = self._splitter
        if self._names is None and isinstance(splitter, sse.Splitter) and splitter.whole(data):
            # What is hidden has the word in it: the records before the first of those are not looked at.
            at = data.find(b'"usage"')
            if at < 0:
                return data
            border = data.rfind(b"\n\n", 0, at)
            start = border + 2 if border >= 0 else 0
            return data[:start] + self._each(data[start:])
        return self._each(data)

    def _each(self, data: bytes) -> bytes:
        return b"".join([self._one(frame) for frame in self._splitter.feed(data)])

    def finish(self) -> bytes:
        return b"".join(self._one(frame) for frame in self._splitter.finish())

    def _one(self, frame: sse.Frame) -> bytes:
        if self._hides is not None and self._hides(frame):
            return b""
        return respelled(frame.raw, self._names) if self._names is not None else frame.raw


def _splitter(protocol: Translator) -> sse.Splitter | _Lines | _Frames:
    if protocol.stream_type == eventstream.MEDIA_TYPE:
        return _Frames()
    return sse.Splitter() if protocol.stream_type == "text/event-stream" else _Lines()


class _Frames:
    """A binary stream with the face of one of events: whole frames only, so that an error can follow them."""

    def __init__(self) -> None:
        self._splitter = eventstream.Splitter()

    def feed(self, data: bytes) -> list[sse.Frame]:
        try:
            return [sse.Frame(None, frame.payload, frame.raw) for frame in self._splitter.feed(data)]
        except eventstream.Damaged:
            return []

    def finish(self) -> list[sse.Frame]:
        """Nothing: the rest of a frame is no use to anybody."""
        return []


class _Lines:
    """A stream of JSON lines with the face of one of events."""

    def __init__(self) -> None:
        self._splitter = ndjson.Splitter()

    def feed(self, data: bytes) -> list[sse.Frame]:
        return [sse.Frame(None, line, ndjson.line(line)) for line in self._splitter.feed(data)]

    def finish(self) -> list[sse.Frame]:
        return [sse.Frame(None, line, ndjson.line(line)) for line in self._splitter.finish()]


def respelled(raw: bytes, names: tuple[bytes, bytes] | None) -> bytes:
    """`raw` with the first `"model": <served>` made `"model": <asked>` (inside JSON strings the quotes are escaped)."""
    if names is None:
        return raw
    served, asked = names
    for key in (b'"model":', b'"model": '):
        if (at := raw.find(key + served)) >= 0:
            return raw[: at + len(key)] + asked + raw[at + len(key) + len(served) :]
    return raw
