"""Tool parameters as every API takes them at least: one object schema, whatever the tool's author wrote."""

from __future__ import annotations

from typing import Any

from llm_mux.wire.schema import tree
from llm_mux.wire.schema.tree import Schema

_META = frozenset(("$schema", "$id", "$comment", "$vocabulary"))
_REFUSED_AT_TOP = frozenset(("$ref", "allOf", "anyOf", "oneOf", "enum", "const", "not"))


@tree.bounded
def ensure_object(schema: object) -> Schema:
    """An object schema with `type` and `properties`.

    A bare map of properties is wrapped, `required: true` on a property becomes the object's `required`, and unions and
    references at the top, which most APIs refuse there, are merged: what any branch takes is optional, what all
    branches require is required.
    """
    if not isinstance(schema, dict):
        return {"type": "object", "properties": {}}
    if _is_property_map(schema):
        schema = {"properties": schema}
    whole = _merged_top(_repaired(schema))
    names = tree.required(whole)
    rest = {key: value for key, value in whole.items() if key not in ("type", "properties", "required")}
    needed = {"required": names} if names else {}
    return {"type": "object", "properties": tree.properties(whole), **needed, **rest}


def _is_property_map(schema: Schema) -> bool:
    """Whether the keys are names of properties: every value is a schema, and no key can be a keyword with its value."""
    if not schema or not all(isinstance(value, dict) for value in schema.values()):
        return False
    return not any(_stands_for_itself(key, value) for key, value in schema.items())


def _stands_for_itself(key: str, value: Schema) -> bool:
    if key in tree.MAPS:
        return all(isinstance(sub, dict | bool) for sub in value.values())
    return key in ("additionalProperties", "default", "example")


def _repaired(schema: Any, depth: int = 0) -> Any:
    if not isinstance(schema, dict) or depth > tree.MAX_DEPTH:
        return schema
    names = tree.required(schema)
    fixed = tree.each(schema, lambda sub: _repaired(sub, depth + 1))
    listed = isinstance(schema.get("required"), list)
    if names and (not listed or names != schema["required"]):
        fixed["required"] = names
    elif "required" in schema and not listed:
        del fixed["required"]
    return fixed


def _merged_top(schema: Schema) -> Schema:
    if not schema.keys() & _REFUSED_AT_TOP:
        return schema
    unfolder = tree.Unfolder(schema)
    flat, trail = unfolder.flat(schema, tree.ROOT_TRAIL)
    flat = _with_union(flat, unfolder, trail, depth=0)
    return {key: value for key, value in flat.items() if key not in _REFUSED_AT_TOP}


def _with_union(flat: Schema, unfolder: tree.Unfolder, trail: tree.Trail, depth: int) -> Schema:
    branches = [branch for branch in tree.dicts(tree.union(flat)) if not tree.is_null(branch)]
    if not branches or unfolder.spent(depth):
        return flat
    pieces = []
    for branch in branches:
        piece, inner = unfolder.flat(branch, trail)
        pieces.append(_with_union(piece, unfolder, inner, depth + 1))
    return tree.with_branches(flat, pieces, common=True)


@tree.bounded
def strip_meta(schema: object) -> Schema:
    """The schema without `$schema`, `$id`, `$comment` and `$vocabulary`, at every level."""
    stripped: Schema = _stripped(schema, 0) if isinstance(schema, dict) else {}
    return stripped


def _stripped(schema: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > tree.MAX_DEPTH:
        return schema
    kept = {key: value for key, value in schema.items() if key not in _META}
    return tree.each(kept, lambda sub: _stripped(sub, depth + 1))
