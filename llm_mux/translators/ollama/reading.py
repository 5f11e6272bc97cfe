"""What both directions read alike: a client's field, a call's arguments, a time, the bytes behind an image."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw

from llm_mux import ir
from llm_mux.errors import MuxError, bad_request
from llm_mux.translators.base import present
from llm_mux.translators.ollama import wire
from llm_mux.wire import jsonx, media

T = TypeVar("T")
_PATH = re.compile(r" - at `\$([^`]*)`")


def top(body: bytes) -> dict[str, Raw]:
    """The top-level fields of a client's body that hold anything."""
    try:
        return {key: raw for key, raw in jsonx.top(body).items() if present(raw)}
    except jsonx.Malformed as error:
        raise bad_request(f"The request body is not a JSON object: {error}.") from error


def field(name: str, raw: Raw | None, type_: type[T]) -> T | None:
    """A client's field as `type_`, None when it was not sent; what does not fit is told with the field's path."""
    if raw is None:
        return None
    try:
        return jsonx.decode(bytes(raw), type_, strict=False)
    except jsonx.Malformed as error:
        raise wrong(name, error) from error


def wrong(name: str, error: jsonx.Malformed) -> MuxError:
    path = _PATH.search(str(error))
    where = name + (path[1] if path else "")
    return bad_request(f"{where} cannot be read: {_PATH.sub('', str(error))}.", param=where)


def arguments(raw: wire.RawField) -> str:
    """A call's arguments as JSON text; the API has an object, some servers and clients write a string."""
    if raw is UNSET or not present(raw):
        return ""
    text = bytes(raw)
    return jsonx.decode(text, str) if text.lstrip().startswith(b'"') else jsonx.text(jsonx.compact(text))


_json: msgspec.json.Decoder[Raw] = msgspec.json.Decoder(Raw)


def is_json(text: str | bytes) -> bool:
    try:
        _json.decode(text)
    except ValueError:
        return False
    return True


def seconds(moment: str | None) -> int:
    """Unix seconds of an RFC 3339 time; 0 when there is none to be read."""
    try:
        return max(0, int(datetime.fromisoformat(moment).timestamp())) if moment else 0
    except (ValueError, OverflowError):
        return 0


def medium(data: str) -> ir.Part:
    """One entry of `images`: bare base64 without a type, in which servers also take audio."""
    kind, data = media.parse_data_url(data) or (None, data)
    kind = media.sniff(data) or kind or "image/png"
    source = ir.Inline(kind, data)
    if kind.startswith("audio/"):
        return ir.Audio(source)
    return ir.Document(source) if kind == "application/pdf" else ir.Image(source)
