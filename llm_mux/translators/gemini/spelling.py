"""Both spellings of Gemini's JSON: Google's servers take `systemInstruction` and `system_instruction` alike, so do we.

Rule: names change only at places of the format itself, never inside a client's data (arguments, results, schemas,
labels). Enum words are compared in upper case without the enum's own name in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Raw

from llm_mux.wire import jsonx

Shape: TypeAlias = Mapping[str, "Shape"]
"""The members of an object that are objects of the format again, or lists of them; the rest is the client's data."""

PART: Shape = {
    "inlineData": {},
    "fileData": {},
    "functionCall": {"partialArgs": {}},
    "functionResponse": {"parts": {"inlineData": {}, "fileData": {}}},
    "executableCode": {},
    "codeExecutionResult": {},
    "toolCall": {},
    "toolResponse": {},
    "videoMetadata": {},
    "mediaResolution": {},
}
CONTENT: Shape = {"parts": PART}
TOOL_CONFIG: Shape = {"functionCallingConfig": {}, "retrievalConfig": {"latLng": {}}}
GENERATION_CONFIG: Shape = {"thinkingConfig": {}, "speechConfig": {}, "imageConfig": {}}
DECLARATION: Shape = {}


def camel(name: str) -> str:
    """`name` in camelCase; a name without an underscore is left alone."""
    if "_" not in name.strip("_"):
        return name
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def respelled(value: Raw, shape: Shape) -> Raw:
    """`value` with the names of the format in camelCase; what is no object or list comes back as it is."""
    match bytes(value).lstrip()[:1]:
        case b"{":
            return Raw(jsonx.encode(_object(value, shape)))
        case b"[":
            return Raw(jsonx.encode([respelled(item, shape) for item in jsonx.decode(bytes(value), list[Raw])]))
        case _:
            return value


def _object(value: Raw, shape: Shape) -> dict[str, Raw]:
    made: dict[str, Raw] = {}
    for name, inner in jsonx.decode(bytes(value), dict[str, Raw]).items():
        known = camel(name)
        below = shape.get(known)
        made[known] = inner if below is None else respelled(inner, below)
    return made


def keys(value: Raw) -> dict[str, Raw]:
    """The members of an object under their camelCase names."""
    return {camel(name): inner for name, inner in jsonx.decode(bytes(value), dict[str, Raw]).items()}


def word(value: object, prefix: str = "") -> str:
    """An enum's word in upper case without `prefix`; "" for what is no string or UNSPECIFIED."""
    if not isinstance(value, str):
        return ""
    upper = value.strip().upper().removeprefix(prefix)
    return "" if upper in ("UNSPECIFIED", f"{prefix}UNSPECIFIED") else upper
