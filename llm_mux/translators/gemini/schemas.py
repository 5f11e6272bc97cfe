"""The two forms of a schema: JSON Schema, and the Schema message that Gemini had first.

`from_message` reads the message form of a client; `for_tool` and `for_answer` write the form that a model takes. A
schema that needs no change keeps its bytes. Spec: https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Raw

from llm_mux.translators.gemini.spelling import camel
from llm_mux.wire import jsonx, schema

_RENAMED = {"ref": "$ref", "defs": "$defs"}
_COUNTS = frozenset({"minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength"})
_ONLY_HERE = frozenset({"propertyOrdering", "nullable", "example"})
_DEPTH = 100
_META = frozenset({"$schema", "$id", "$comment"})
_BARE = _META | {"type", "properties", "required", "additionalProperties", "title", "description"}
_TO_REWRITE = re.compile(
    rb'"(?:\$|const"|allOf"|not"|if"|then"|else"|patternProperties"|propertyNames"|definitions"|exclusiveM|multipleOf"'
    rb'|uniqueItems"|nullable"|dependent|contains"|unevaluated|examples?")'
)


def from_message(message: Raw) -> Raw:
    """JSON Schema of a Schema message: types in lower case, `nullable` as a second type, counts as numbers."""
    return Raw(jsonx.encode(_converted(jsonx.decode(bytes(message), dict[str, Any]), _DEPTH)))


def _converted(message: object, depth: int) -> object:
    if not isinstance(message, dict) or depth == 0:
        return message
    fields = {camel(name): value for name, value in message.items()}
    made: dict[str, object] = {}
    for name, value in fields.items():
        if name not in _ONLY_HERE:
            made[_RENAMED.get(name, name)] = _value(name, value, depth - 1)
    if fields.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def _value(name: str, value: object, depth: int) -> object:
    if name == "type":
        return _type(value)
    if name == "ref" and isinstance(value, str):
        return value.replace("#/defs/", "#/$defs/", 1)
    if name in _COUNTS and isinstance(value, str) and value.isdigit():
        return int(value)
    if name in ("properties", "defs") and isinstance(value, dict):
        return {key: _converted(inner, depth) for key, inner in value.items()}
    if name in ("items", "additionalProperties"):
        return _converted(value, depth)
    if name == "anyOf" and isinstance(value, list):
        return [_converted(inner, depth) for inner in value]
    return value


def _type(value: object) -> object:
    if isinstance(value, str):
        return value.lower()
    return [_type(item) for item in value] if isinstance(value, list) else value


def for_tool(given: Raw, *, json_schema: bool) -> Raw | None:
    """The parameters of a function for an upstream; None for a function without any, which has to leave them out."""
    members = _members(given)
    if members is not None and _is_bare(members):
        return None
    if json_schema:
        return _as_json_schema(given, members)
    return _rewritten(given, schema.for_gemini_proto)


def for_answer(given: Raw, *, json_schema: bool) -> Raw:
    """The schema of the answer for an upstream."""
    if json_schema:
        return _as_json_schema(given, _members(given))
    return _rewritten(given, lambda value: schema.for_gemini_proto(value, response=True))


def _as_json_schema(given: Raw, members: dict[str, Raw] | None) -> Raw:
    """Byte for byte where nothing but `$schema` and its like has to go."""
    if members is not None and bytes(members.get("type", Raw(b""))) == b'"object"' and "properties" in members:
        kept = {name: value for name, value in members.items() if name not in _META}
        plain = given if len(kept) == len(members) else Raw(jsonx.encode(kept))
        if not _TO_REWRITE.search(plain):
            return plain
    return _rewritten(given, schema.for_gemini_json)


def _rewritten(given: Raw, rewrite: Callable[[Any], Any]) -> Raw:
    return Raw(jsonx.encode(rewrite(jsonx.decode(bytes(given), Any))))


def _members(given: Raw) -> dict[str, Raw] | None:
    try:
        return jsonx.decode(bytes(given), dict[str, Raw])
    except jsonx.Malformed:
        return None


def _is_bare(members: dict[str, Raw]) -> bool:
    """Whether the schema says no more than that the arguments are an object."""
    properties = bytes(members.get("properties", Raw(b"{}"))).translate(None, b" \t\r\n")
    return properties in (b"{}", b"null") and members.keys() <= _BARE
