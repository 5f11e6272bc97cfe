"""Records that are all of one mould: the bytes around the few values in which the records of one text differ.

Rule: what looks like a key in quotes is a key, since quotes inside of JSON strings are escaped. So a record that is
the bytes of a mould around as many JSON values means what the mould means, whatever its values say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from llm_mux import ir

Mould = tuple[bytes, ...]
"""The bytes of one record before, between and after its values."""

_NEEDLE = 20
"""Bytes that are looked for at once: Python looks for long ones slowly."""
_NEAR = 2400
"""Bytes in which the first record of a text is looked for before all others."""
_QUOTE = 0x22
_VALUE = rb'("[^"\\]*+(?:\\.[^"\\]*+)*+"|\d++)'
_HEAD = re.compile(rb"(?:event: [\w.]+\n)?data: ")
_value: msgspec.json.Decoder[str | int] = msgspec.json.Decoder(str | int)
_values: msgspec.json.Decoder[list[str | int]] = msgspec.json.Decoder(list[str | int])
_text: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)
_texts: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(list[str])


def values_of(*keys: bytes) -> re.Pattern[bytes]:
    """What finds the values that may differ from record to record: those of `keys`, texts or whole numbers."""
    return re.compile(rb'"(?:%b)": ?%b' % (b"|".join(keys), _VALUE))


def repeated(records: bytes, end: bytes, values: re.Pattern[bytes]) -> Mould | None:
    """The mould of the first of `records` if all are of it; `end` ends each record."""
    first = records[: records.find(end) + len(end)]
    cuts = [0, *[at for match in values.finditer(first) for at in match.span(1)], len(first)]
    mould = tuple([first[cuts[n] : cuts[n + 1]] for n in range(0, len(cuts), 2)])
    if len(mould) < 2 or (len(records) > len(first) and not _alike(records, mould)):
        return None
    return mould


class Judge:
    """Says of whole records of one stream whether they are dull: of a mould that `says_text` knows to say no more than
    a text. The last such mould is remembered, since nearly all records of a stream have it."""

    __slots__ = (
        "_begin",
        "_end",
        "_glue",
        "_head",
        "_known",
        "_least",
        "_says_text",
        "_start",
        "_stop",
        "_tail",
        "_values",
    )

    def __init__(
        self,
        end: bytes,
        values: re.Pattern[bytes],
        start: bytes | tuple[bytes, ...],
        says_text: Callable[[Mould], bool],
    ) -> None:
        self._end = end
        self._values = values
        self._start = start
        self._says_text = says_text
        self._known: Mould | None = None
        self._head = self._tail = self._glue = b""
        self._begin = self._stop = self._least = 0

    def __call__(self, records: bytes) -> bool:
        if len(records) < self._least and records.startswith(self._head) and records.endswith(self._tail):
            # One record of the usual mould, which has one value.
            try:
                _value.decode(body := records[self._begin : self._stop])
            except ValueError:
                pass
            else:
                return b"\n" not in body
        if self._known is not None and self._as_before(self._known, records):
            return True
        mould = repeated(records, self._end, self._values) if records.startswith(self._start) else None
        if mould is None or not self._says_text(mould):
            return False
        self._known = mould
        self._head, self._tail, self._glue = mould[0], mould[-1], mould[-1] + mould[0]
        self._begin, self._stop = len(mould[0]), -len(mould[-1])
        # Less than two records have.
        self._least = 2 * len(self._glue) if len(mould) == 2 else 0
        return True

    def stretch(self, records: bytes) -> tuple[int, int]:
        """Where the dull records around the middle one begin and end, which are all of its mould; (0, 0) where they are
        not, or where there is none."""
        end = self._end
        whole = records.rfind(end) + len(end)
        at = records.rfind(end, 0, whole // 2) + len(end)
        if at < len(end):
            at = 0
        if not self(records[at : records.find(end, at) + len(end)]) or (known := self._known) is None:
            return 0, 0
        head = known[0]
        # A short haystack first: Python looks for long needles in a long one slowly.
        start = records.find(head, 0, _NEAR)
        if start < 0:
            start = records.find(head, 0, at + len(head))
        stop = records.find(end, records.rfind(head, 0, whole)) + len(end)
        if start and not records.endswith(end, 0, start):
            return 0, 0
        return (start, stop) if self._as_before(known, records[start:stop]) else (0, 0)

    def _as_before(self, known: Mould, records: bytes) -> bool:
        """Whether the records are of the mould that the last ones had. See `_alike`; the usual mould has one value."""
        if not records.startswith(known[0]) or not records.endswith(self._tail):
            return False
        if len(known) > 2:
            return _alike(records, known)
        body = records[self._begin : self._stop]
        if len(body) < len(self._glue):
            return _values_of(body) == 1
        found = between(body, self._glue)
        return found is not None and _values_of(b",".join(found)) == len(found)


def _alike(records: bytes, mould: Mould) -> bool:
    """Whether nothing but values is left of `records` without the bytes of `mould`."""
    head, *parts, tail = mould
    if not records.endswith(tail):
        return False
    found = between(records[len(head) : -len(tail)], tail + head)
    if found is None:
        return False
    left = b",".join(found)
    for part in parts:
        left = left.replace(part, b",")
    return _values_of(left) == (1 + len(parts)) * len(found)


def between(data: bytes, glue: bytes) -> list[bytes] | None:
    """What is between pieces of `glue`: `data.split(glue)`, for less where that is long; None where it is not sure."""
    if len(glue) <= _NEEDLE:
        return data.split(glue)
    first, *others = data.split(glue[:_NEEDLE])
    start = len(glue) - _NEEDLE
    found = [first, *[other[start:] for other in others]]
    return found if glue.join(found) == data else None


def _values_of(left: bytes) -> int:
    """How many values there are with a comma between each two; 0 for what is anything else. No value has a line's end,
    so no record ends among them."""
    try:
        return len(_values.decode(b"[%b]" % left)) if b"\n" not in left else 0
    except ValueError:
        return 0


def sample(mould: Mould) -> bytes:
    """The JSON of a record of `mould` with empty texts; nothing for what is no record in the usual form."""
    record = b'""'.join(mould)
    head = _HEAD.match(record)
    data = record[head.end() :] if head is not None else record
    body = data.rstrip(b"\n")
    return b"" if b"\n" in body or b"\r" in body or not body.endswith(b"}") else body


def around(make: Callable[[str], bytes]) -> tuple[bytes, bytes]:
    """What `make` writes before and after the JSON of the text it is given."""
    mark = "\x00"
    while (made := make(mark)).count(coded := msgspec.json.encode(mark)) != 1:
        mark += "\x00"
    before, _, after = made.partition(coded)
    return before, after


def row(spelled: Sequence[bytes], before: bytes, after: bytes) -> bytes:
    """The records of all texts, given as JSON, one after the other, each between `before` and `after`."""
    if len(spelled) == 1:
        return before + spelled[0] + after
    return b"%b%b%b" % (before, (after + before).join(spelled), after) if spelled else b""


def decoded(mould: Mould, decode: Callable[[bytes], object]) -> object:
    """The sample of `mould` as `decode` reads it, None if it does not."""
    try:
        return decode(sample(mould))
    except (ValueError, RecursionError):
        return None


class Known:
    """The last record that said nothing but one piece of a text, by which the next ones like it are known."""

    __slots__ = (
        "_after",
        "_begin",
        "_glue",
        "_head",
        "_least",
        "_raw_head",
        "_raw_tail",
        "_stop",
        "_tail",
        "_tries",
        "_values",
    )

    def __init__(self, values: re.Pattern[bytes], tries: int = 40) -> None:
        self._values = values
        self._tries = tries
        self._after = self._stop = -1
        self._begin = 0
        self.forget()

    def text(self, data: bytes) -> str | None:
        """The piece that `data` says if it is a record like that one."""
        if not (data.startswith(self._head) and data.endswith(self._tail)):
            return None
        try:
            return _text.decode(data[len(self._head) : self._after])
        except ValueError:
            return None

    def row(self, index: int, records: bytes) -> ir.Row | None:
        """What whole records say, if all of them are like that one and none says nothing."""
        tail = self._raw_tail
        if not (tail and records.startswith(self._raw_head) and records.endswith(tail)):
            return None
        body = records[self._begin : self._stop]
        if len(records) < self._least:
            try:
                text = _text.decode(body)
            except ValueError:
                return None
            return ir.Row(index, [text], [body], len(text)) if text and body[0] == body[-1] == _QUOTE else None
        return self._many(index, body)

    def _many(self, index: int, body: bytes) -> ir.Row | None:
        """The same for what is between the beginning of the first record and the end of the last."""
        if (found := between(body, self._glue)) is None:
            return None
        try:
            texts = _texts.decode(b"[%b]" % b",".join(found))
        except ValueError:
            return None
        if len(texts) != len(found) or not all(texts):
            return None
        return ir.Row(index, texts, found, sum(map(len, texts)))

    @property
    def curious(self) -> bool:
        """Whether another record is worth learning: a server may write each in another way."""
        return self._tries > 0

    def forget(self) -> None:
        """Knows no record any more: what the last one carried on may not be what is open now."""
        self._head = self._tail = b"\x00"
        self._raw_head = self._raw_tail = self._glue = b""
        self._least = 0

    def learn(self, data: bytes, text: str, raw: bytes = b"") -> bool:
        """Remembers a record that said just `text`; whether it can be told where in it that stands. `raw` is the whole
        record around `data`."""
        self._tries -= 1
        spelled = [match.span(1) for match in self._values.finditer(data) if _says(match[1], text)]
        if len(spelled) != 1:
            self.forget()
            return False
        start, end = spelled[0]
        self._head, self._tail, self._after = data[:start], data[end:], end - len(data)
        before, found, after = raw.partition(data)
        if found and after == b"\n\n":
            self._raw_head, self._raw_tail = before + self._head, self._tail + after
            self._begin, self._stop = len(self._raw_head), -len(self._raw_tail)
            self._glue = self._raw_tail + self._raw_head
            # Less than two records have.
            self._least = 2 * len(self._glue)
        return True


def _says(value: bytes, text: str) -> bool:
    try:
        return _text.decode(value) == text
    except ValueError:
        return False
