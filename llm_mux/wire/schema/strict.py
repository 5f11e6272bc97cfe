"""The strict subsets of Anthropic and OpenAI: closed objects, and for OpenAI every property required.

Rule: the rewritten schema accepts what the original means as closely as the subset can say; for Anthropic the rest is
told in the description.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from llm_mux.wire.schema import tree
from llm_mux.wire.schema.tree import Schema, Trail

_SCALARS = ("string", "number", "integer", "boolean", "null")
_ANTHROPIC_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)
_ANTHROPIC_SAYS = frozenset(
    (
        "additionalProperties",
        "anyOf",
        "const",
        "definitions",
        "description",
        "enum",
        "items",
        "nullable",
        "oneOf",
        "prefixItems",
        "properties",
        "required",
        "title",
        "type",
    )
)


def fits_anthropic_strict(schema: object) -> bool:
    """Whether Anthropic's subset can say what `schema` allows: nothing recursive, no objects with free keys."""
    if not isinstance(schema, dict) or tree.is_recursive(schema):
        return False
    return not any(_has_free_keys(node) for node in tree.below(schema))


def _has_free_keys(node: Schema) -> bool:
    more = node.get("additionalProperties")
    if more not in (None, False) or "patternProperties" in node:
        return True
    return "object" in tree.types(node) and "properties" not in node and more is None


def _anything() -> list[Schema]:
    return [{"type": kind} for kind in _SCALARS if kind != "integer"]


@tree.bounded
def for_anthropic_strict(schema: object) -> Schema:
    """Anthropic's subset for `strict` tools and `output_config.format`.

    It knows no recursion: a recursive schema (see `is_recursive`) comes out inlined, with an empty object where it
    would repeat itself.
    """
    root = schema if isinstance(schema, dict) else {}
    return _Anthropic(tree.Unfolder(root), root, inline=tree.is_recursive(root)).document()


class _Anthropic(Struct, frozen=True):
    unfolder: tree.Unfolder
    root: Schema
    inline: bool

    def document(self) -> Schema:
        out = self.node(self.root, tree.ROOT_TRAIL, 0)
        definitions = {} if self.inline else _definitions(self.root, self)
        return {**out, "$defs": definitions} if definitions else out

    def node(self, schema: Any, trail: Trail, depth: int) -> Schema:
        if self.unfolder.spent(depth):
            return {"type": "object", "properties": {}, "additionalProperties": False}
        if not isinstance(schema, dict):
            return {"anyOf": _anything()}
        name = None if self.inline or not depth else tree.definition(self.root, str(schema.get("$ref")))
        if name is not None:
            return {"$ref": f"#/$defs/{name}"}
        flat, trail = self.unfolder.flat(schema, trail, depth)
        flat = tree.conditional(flat, self.unfolder, trail)
        if tree.union(flat) and tree.properties(flat):
            pieces = [self.unfolder.flat(branch, trail, depth)[0] for branch in tree.dicts(tree.union(flat))]
            whole = tree.with_branches(flat, pieces, common=True)
            flat = {key: value for key, value in whole.items() if key not in ("anyOf", "oneOf")}
        out = self._body(flat, trail, depth)
        said = {key: flat[key] for key in ("title", "description") if isinstance(flat.get(key), str)}
        out = tree.with_hints({**said, **out}, self._lost(flat, out))
        return _or_null(out) if flat.get("nullable") is True else out

    def _body(self, flat: Schema, trail: Trail, depth: int) -> Schema:
        branches = tree.union(flat)
        if branches:
            return {"anyOf": [self.node(branch, trail, depth + 1) for branch in branches]}
        if "const" in flat and _is_primitive(flat["const"]):
            return {"const": flat["const"]}
        choices = [value for value in _listed(flat.get("enum")) if _is_primitive(value)]
        if choices:
            return {"enum": choices}
        implied = tree.implied_type(flat)
        kinds = tree.types(flat) or ([implied] if implied else [])
        if not kinds:
            return {"anyOf": _anything()}
        out: Schema = {"type": kinds[0] if len(kinds) == 1 else kinds}
        if isinstance(flat.get("format"), str) and flat["format"] in _ANTHROPIC_FORMATS and "string" in kinds:
            out["format"] = flat["format"]
        if "array" in kinds:
            out |= self._array(flat, trail, depth)
        if "object" in kinds:
            out |= self._object(flat, trail, depth)
        return out

    def _array(self, flat: Schema, trail: Trail, depth: int) -> Schema:
        items = flat.get("items")
        listed = flat.get("prefixItems") if isinstance(flat.get("prefixItems"), list) else items
        if isinstance(listed, list):
            items = {"anyOf": listed} if listed else None
        out: Schema = {"items": self.node(items, trail, depth + 1)}
        if flat.get("minItems") in (0, 1):
            out["minItems"] = int(flat["minItems"])
        return out

    def _object(self, flat: Schema, trail: Trail, depth: int) -> Schema:
        found = {name: self.node(sub, trail, depth + 1) for name, sub in tree.properties(flat).items()}
        needed = [name for name in tree.required(flat) if name in found]
        return {"properties": found, **({"required": needed} if needed else {}), "additionalProperties": False}

    def _lost(self, flat: Schema, out: Schema) -> list[str]:
        return [
            tree.hint(key, flat[key])
            for key in flat
            if key not in _ANTHROPIC_SAYS
            and key not in out
            and not key.startswith("$")
            and tree.says_something(key, flat)
        ]


@tree.bounded
def for_openai_strict(schema: object) -> Schema:
    """OpenAI's strict subset: every property required, what was optional may be null; references stay."""
    root = schema if isinstance(schema, dict) else {}
    return _OpenAI(tree.Unfolder(root), root).document()


class _OpenAI(Struct, frozen=True):
    unfolder: tree.Unfolder
    root: Schema

    def document(self) -> Schema:
        out = self.node(self.root, tree.ROOT_TRAIL, 0)
        definitions = _definitions(self.root, self)
        return {**out, "$defs": definitions} if definitions else out

    def node(self, schema: Any, trail: Trail, depth: int) -> Schema:
        if self.unfolder.spent(depth):
            return {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
        if not isinstance(schema, dict):
            return {"anyOf": _anything()}
        ref = self._reference(schema, trail) if depth else None
        if ref is not None:
            return {"$ref": ref}
        flat, trail = self.unfolder.flat(schema, trail, depth)
        flat = tree.conditional(flat, self.unfolder, trail)
        out = {key: value for key, value in flat.items() if key not in ("$schema", "oneOf", *tree.DEFINITIONS)}
        if "default" in out and out["default"] is None:
            del out["default"]
        if "required" in out and not isinstance(out["required"], list):
            del out["required"]
        branches = tree.union(flat)
        if branches:
            out["anyOf"] = branches
        out = tree.each(out, lambda sub: self.node(sub, trail, depth + 1))
        if not out.keys() & {"type", "anyOf", "enum", "const"}:
            implied = tree.implied_type(flat)
            out |= {"type": implied} if implied else {"anyOf": _anything()}
        if "object" in tree.types(out) or "properties" in flat:
            out |= self._closed(flat, out)
        return out

    def _reference(self, schema: Schema, trail: Trail) -> str | None:
        ref = schema.get("$ref")
        if not isinstance(ref, str):
            return None
        name = tree.definition(self.root, ref)
        if name is None and ref != "#":
            return None
        stays = len(schema) == 1 or ref in trail
        return (f"#/$defs/{name}" if name is not None else ref) if stays else None

    def _closed(self, flat: Schema, out: Schema) -> Schema:
        needed = tree.required(flat)
        found = {name: node if name in needed else _or_null(node) for name, node in tree.properties(out).items()}
        return {"properties": found, "required": list(found), "additionalProperties": False}


def _definitions(root: Schema, dialect: _Anthropic | _OpenAI) -> Schema:
    found: Schema = {}
    for key in tree.DEFINITIONS:
        listed = root.get(key)
        if isinstance(listed, dict):
            for name, sub in listed.items():
                found.setdefault(name, dialect.node(sub, tree.ROOT_TRAIL | {f"#/{key}/{name}"}, 1))
    return found


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_primitive(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _accepts_null(node: Schema) -> bool:
    if "anyOf" in node:
        return any(_accepts_null(branch) for branch in tree.dicts(node["anyOf"]))
    if "enum" in node:
        return None in _listed(node["enum"])
    if "const" in node:
        return node["const"] is None
    return "null" in tree.types(node)


def _or_null(node: Schema) -> Schema:
    """The same, or null: in the plainest form the node allows."""
    if _accepts_null(node):
        return node
    if isinstance(node.get("anyOf"), list):
        return {**node, "anyOf": [*node["anyOf"], {"type": "null"}]}
    if isinstance(node.get("enum"), list):
        widened = {"type": [*tree.types(node), "null"]} if "type" in node else {}
        return {**node, "enum": [*node["enum"], None], **widened}
    if "type" in node and "const" not in node:
        return {**node, "type": [*tree.types(node), "null"]}
    said = {"description": node["description"]} if "description" in node else {}
    return {**said, "anyOf": [{key: value for key, value in node.items() if key != "description"}, {"type": "null"}]}
