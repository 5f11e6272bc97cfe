"""JSON as real peers send it: decoded with one repair, encoded without crashing, edited without touching other bytes.

Rules. What nobody asked to change keeps its exact bytes: key order, number text, escapes. Nothing goes through float.
Errors say where and never quote what the user typed. Everything that fails to be JSON is `Malformed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

T = TypeVar("T")

BEHIND_TEXTS: Final = bytearray(b"#")
"""JSON texts sort before it, all other values behind it: asked of hundreds of values, that takes a third of a look at
their first bytes."""

_BOM = b"\xef\xbb\xbf"
_HALF_ESCAPE = re.compile(rb"\\u([dD][89a-fA-F][0-9a-fA-F]{2})")
_LOW_ESCAPE = re.compile(rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_NO_NUMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(-?Infinity|NaN)', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_HALF = re.compile("[\ud800-\udfff\U000dd800-\U000ddfff]")
# Half of a pair stands in as a character that Unicode leaves unassigned, which no text holds.
_STAND_IN = 0xD0000
_BACKSLASH = 0x5C

# For `depth`: opening brackets become +1 and closing ones -1 (as a signed byte); quotes stay; all else goes.


class Malformed(ValueError):
    """Bytes that are no JSON, or not of the asked type. The message says where and is safe to show and to log."""


def decode(body: bytes, type_: type[T], *, strict: bool = True, halves: bool = False) -> T:
    """`body` as `type_`, after one repair if it needs one.

    `halves=True` keeps halves of surrogate pairs that `repair` would replace, in the form that `Surrogates` joins:
    for the text deltas of a stream, which an upstream may cut inside an emoji.
    """
    read: Callable[[bytes], T] = _decoders.get((type_, strict)) or _decoder(type_, strict)
    try:
        return read(body)
    except (RecursionError, ValueError):
        # Once more, to say what it is or to repair it.
        return _repaired(read, body, halves=halves)


def sound(body: bytes, type_: type[T]) -> tuple[T, bytes]:
    """`body` as `type_`, and the bytes that it was read from: `body` itself, or its repaired form if it needed that."""
    read: Callable[[bytes], T] = _decoders.get((type_, True)) or _decoder(type_, True)
    try:
        return read(body), body
    except msgspec.ValidationError as error:
        raise Malformed(_where(error)) from None
    except (RecursionError, ValueError):
        mended = repair(body)
    return decode(mended, type_), mended


peek = decode
"""`decode` for a partial struct: a name for the calls that read two keys of a body and skip the rest."""

_decoders: dict[tuple[object, bool], Callable[[bytes], Any]] = {}


def _decoder(type_: type[T], strict: bool) -> Callable[[bytes], T]:
    key = (type_, strict)
    decoder = _decoders.get(key)
    if decoder is None:
        decoder = _decoders[key] = msgspec.json.Decoder(type_, strict=strict).decode
    return decoder


def _repaired(read: Callable[[bytes], T], body: bytes, *, halves: bool = False) -> T:
    """`read(body)`, once more after a repair when the bytes (and not their shape) are at fault."""
    try:
        return read(body)
    except msgspec.ValidationError as error:
        raise Malformed(_where(error)) from None
    except RecursionError:
        raise Malformed(_TOO_DEEP) from None
    except ValueError:
        mended = repair(body, halves=halves)
    try:
        return read(mended)
    except RecursionError:
        raise Malformed(_TOO_DEEP) from None
    except ValueError as error:
        raise Malformed(_where(error)) from None


_TOO_DEEP = "JSON is nested too deeply"
_PATH = re.compile(r" - at `[^`]*`(?: in `[^`]*`)?$")


def _where(error: Exception) -> str:
    """The decoder's own words without the values it quotes."""
    if isinstance(error, UnicodeError):
        return "JSON is not valid UTF-8"
    message = str(error)
    path = _PATH.search(message)
    tail = path.group() if path else ""
    for quoting, plain in _QUOTING:
        if message.startswith(quoting):
            return plain + tail
    return message


_QUOTING = (
    ("Invalid enum value", "Invalid enum value"),
    ("Invalid value", "Invalid value"),
    ("Object contains unknown field", "Object contains an unknown field"),
)


def repair(body: bytes, *, halves: bool = False) -> bytes:
    """What real peers get wrong, put right in place: a byte order mark, invalid UTF-8, half a surrogate pair
    (U+FFFD), NaN and Infinity (null). Everything else keeps its bytes."""
    body = body.removeprefix(_BOM)
    if not is_utf8(body):
        body = body.decode("utf-8", "replace").encode()
    if b"\\" in body:
        body = _mend_pairs(body, halves=halves)
    if b"NaN" in body or b"Infinity" in body:
        body = _NO_NUMBER.sub(lambda match: b"null" if match[1] else match[0], body)
    return body


def readable(body: bytes) -> bytes:
    """`body`, after one repair if it is no UTF-8: for bytes whose texts are decoded piece by piece."""
    return body if body.isascii() or is_utf8(body) else repair(body)


def text(raw: bytes) -> str:
    """JSON text out of a record of which nobody has looked at every byte."""
    return raw.decode("utf-8", "replace")


def is_utf8(body: bytes) -> bool:
    """Whether all of it is text; `isascii` is faster where it may be that."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _mend_pairs(body: bytes, *, halves: bool) -> bytes:
    pieces: list[bytes] = []
    done = skip = 0
    for at, code in _half_escapes(body):
        if at < skip:
            continue
        if code < 0xDC00 and _LOW_ESCAPE.match(body, at + 6):
            skip = at + 12
            continue
        pieces += (body[done:at], chr(code + _STAND_IN).encode() if halves else b"\\ufffd")
        done = at + 6
    return b"".join((*pieces, body[done:])) if pieces else body


def _half_escapes(body: bytes) -> Iterator[tuple[int, int]]:
    """Offset and code of each escape in the surrogate range; after an escaped backslash it would be plain text."""
    for match in _HALF_ESCAPE.finditer(body):
        at = first = match.start()
        while first and body[first - 1] == _BACKSLASH:
            first -= 1
        if (at - first) % 2 == 0:
            yield at, int(match[1], 16)


def encode(obj: object) -> bytes:
    """Compact JSON: key order kept, non-ASCII raw, NaN and Infinity as null, half a surrogate pair as U+FFFD."""
    try:
        return msgspec.json.encode(obj)
    except UnicodeEncodeError:
        pass
    except RecursionError:
        raise Malformed(_TOO_DEEP) from None
    try:
        return msgspec.json.encode(_whole(obj))
    except RecursionError:
        raise Malformed(_TOO_DEEP) from None


def _whole(obj: object) -> object:
    match obj:
        case str():
            return whole_text(obj)
        case dict():
            return {_whole(key): _whole(value) for key, value in obj.items()}
        case list() | tuple() | set() | frozenset():
            return [_whole(item) for item in obj]
        case Struct():
            changes = {name: _whole(getattr(obj, name)) for name in obj.__struct_fields__}
            return msgspec.structs.replace(obj, **changes)
        case _:
            return obj


def whole_text(text: str) -> str:
    """`text` with the halves of surrogate pairs joined, and those without their other half replaced by U+FFFD."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Surrogates:
    """Joins an emoji that was cut into two deltas: holds a high half until the next delta of the same text.

    Reads the deltas of one text in order, as stdlib `json` gives them or as `decode(..., halves=True)` does.
    """

    def __init__(self) -> None:
        self._held = ""

    @property
    def waits(self) -> bool:
        """Whether half a character is held."""
        return bool(self._held)

    def feed(self, text: str) -> str:
        if not self._held and (text.isascii() or not _HALF.search(text)):
            return text
        text = self._held + _HALF.sub(_as_half, text)
        self._held = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return whole_text(text[: len(text) - len(self._held)])

    def flush(self) -> str:
        """U+FFFD for a half whose other half never came."""
        held, self._held = self._held, ""
        return whole_text(held)


def _as_half(match: re.Match[str]) -> str:
    point = ord(match[0])
    return chr(point - _STAND_IN) if point >= _STAND_IN else match[0]


def top(body: bytes) -> dict[str, Raw]:
    """The top-level values of an object, each with its exact bytes (views of `body`); of a repeated key the last."""
    return decode(body, dict[str, Raw])


def elements(raw: bytes) -> list[Raw]:
    """The elements of an array; of what is no array none."""
    try:
        return decode(bytes(raw), list[Raw])
    except Malformed:
        return []


def splice(body: bytes, edits: Mapping[str, bytes | None]) -> bytes:
    """`body` with top-level keys set to JSON text or removed (None); new keys go to the end, repeated keys become one.

    Every other value keeps its exact bytes, so a provider's prompt cache still knows the request.
    """
    values = top(body)
    for key, value in edits.items():
        if value is None:
            values.pop(key, None)
        else:
            values[key] = Raw(value)
    return msgspec.json.encode(values)


def compact(raw: Raw | bytes) -> bytes:
    """The same JSON without spaces between tokens: key order, repeated keys, number text and escapes stay."""
    return _repaired(_unspaced, bytes(raw))


def _unspaced(body: bytes) -> bytes:
    return msgspec.json.format(body, indent=-1)


_raw: msgspec.json.Decoder[Raw] = msgspec.json.Decoder(Raw)


def object_arguments(text: str) -> Raw:
    """A tool call's argument text as the bytes of a JSON object.

    Nothing, blanks and null are `{}`; an object keeps its bytes (big numbers and repeated keys too); any other JSON
    and text that is no JSON is kept under `_raw`, so that no call and no word of it is lost.
    """
    if text[:1] == "{":
        try:
            return _raw.decode(text)
        except (ValueError, RecursionError):
            pass
    body = whole_text(text).strip().encode()
    if body in (b"", b"null"):
        return Raw(b"{}")
    value = _valid(body)
    if value is None:
        return Raw(msgspec.json.encode({"_raw": body.decode()}))
    return Raw(value if value.startswith(b"{") else b'{"_raw":%b}' % value)


def _valid(body: bytes) -> bytes | None:
    """`body` if it is JSON, its repaired form if that is, else None."""
    for mended in (bytes, repair):
        candidate = mended(body)
        try:
            msgspec.json.decode(candidate, type=Raw)
        except (ValueError, RecursionError):
            continue
        return candidate
    return None
