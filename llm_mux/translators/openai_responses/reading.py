"""Reading a client's JSON piece by piece, with errors that name the field.

Rule: whatever is wrong with a client's body becomes `MuxError` BAD_REQUEST whose `param` is the place in the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeGuard, TypeVar

import msgspec
from msgspec import Raw, UnsetType

from llm_mux.errors import MuxError, bad_request
from llm_mux.translators.openai_responses import wire

T = TypeVar("T")

OWNER: Final = "openai_responses"
"""This translator's name: the owner of the opaque data it makes."""

CODEX: Final = "__codex"
"""Key of `Request.extras`: the client is Codex, which reads some endings differently."""
ECHO: Final = "__echo"
"""Key of `Request.extras`: the request's fields that the response object repeats, as one JSON object."""
COMPACT: Final = "__compact"
"""Key of `Request.extras`: the answer is to be a compaction item."""
TOOL_CHOICE: Final = "__tool_choice"
"""Key of `Request.extras`: the client's own words for its tool choice."""

QUIET: Final = frozenset(
    {"store", "client_metadata", "stream_options", "user", "safety_identifier", "prompt_cache_options"}
    | {"prompt_cache_retention", "include"}
)
"""Fields that other formats lose nothing by: the daemon itself or the canonical form answers them, or they are hints.

They are in `Request.extras` with two underscores before their names, so that nobody reports them as dropped."""

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {
    type_: msgspec.json.Decoder(type_, strict=False)
    for type_ in (
        wire.Item,
        wire.ItemKind,
        list[wire.Part],
        wire.Tool,
        wire.ToolChoice,
        wire.ReasoningOptions,
        wire.TextOptions,
        list[Raw],
        dict[str, Raw],
        str,
    )
}


def read(raw: Raw | bytes, type_: type[T], where: str) -> T:
    """`raw` as `type_`; a wrong type is the client's fault at `where`."""
    decoder = _decoders.get(type_)
    if decoder is None:
        decoder = _decoders[type_] = msgspec.json.Decoder(type_, strict=False)
    try:
        value: T = decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise wrong(where, error) from None
    return value


def wrong(where: str, error: Exception) -> MuxError:
    """The error for a value that has the wrong type or form."""
    place = where
    text = str(error)
    if " - at `$" in text:
        text, _, path = text.partition(" - at `$")
        place = where + path.rstrip("`")
    return bad_request(f"`{place}` cannot be read: {text}.", param=place, code="invalid_type")


def present(raw: Raw | UnsetType | None) -> TypeGuard[Raw]:
    """Whether an optional raw field was sent and is not null."""
    return isinstance(raw, Raw) and raw != wire.NULL


def first_byte(raw: Raw) -> bytes:
    """The byte that tells a string, a list and an object apart, without copying the value."""
    return bytes(memoryview(raw)[:1])


def optional(fields: Mapping[str, Raw], name: str, type_: type[T]) -> T | None:
    """A top-level field as `type_`, None when it is missing or null."""
    raw = fields.get(name)
    return read(raw, type_, name) if present(raw) else None
