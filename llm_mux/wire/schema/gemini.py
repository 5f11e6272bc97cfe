"""The two dialects of Gemini: JSON Schema (`parametersJsonSchema`) and the older `Schema` message (`parameters`).

Rule: what a dialect cannot say is not lost but told to the model in the description. Types stay in lower case.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from llm_mux.wire.schema import tree
from llm_mux.wire.schema.tree import Schema, Trail

_FORMATS = {
    "string": frozenset(("date-time", "enum")),
    "number": frozenset(("float", "double")),
    "integer": frozenset(("int32", "int64")),
}
_HINTED = (
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "multipleOf",
    "default",
)
_ANSWER_KEYS = {
    "string": ("pattern", "minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_JSON_KEPT = ("title", "format", "minItems", "maxItems", "propertyOrdering")


@tree.bounded
def for_gemini_proto(schema: object, *, response: bool = False) -> Schema:
    """The `Schema` message: references inlined, one type a node, string enums, `anyOf` as the only union.

    For tools it keeps what servers of every age take; `response=True` keeps what an answer's schema may say besides
    (`additionalProperties: false`, lengths, titles). An object without properties is left with `properties: {}` at the
    top: older models refuse it, so leave `parameters` out then.
    """
    root = schema if isinstance(schema, dict) else {}
    out = _Proto(tree.Unfolder(root), response).node(root, tree.ROOT_TRAIL, 0)
    return {**out, "properties": {}} if out.get("type") == "object" and "properties" not in out else out


class _Proto(Struct, frozen=True):
    unfolder: tree.Unfolder
    response: bool

    def node(self, schema: Any, trail: Trail, depth: int) -> Schema:
        if not isinstance(schema, dict):
            return {"type": "string"}
        if self.unfolder.spent(depth):
            return {"type": "object"}
        flat, trail = self.unfolder.flat(schema, trail, depth)
        flat = tree.conditional(flat, self.unfolder, trail)
        branches = self._branches(flat)
        if branches and (tree.properties(flat) or "object" in tree.types(flat)):
            pieces = [self.unfolder.flat(branch, trail, depth)[0] for branch in tree.dicts(branches)]
            flat, branches = tree.with_branches(_without_union(flat), pieces, common=True), []
        null = _takes_null(flat)
        if len(branches) == 1:
            only = branches[0] if isinstance(branches[0], dict) else {}
            whole = tree.merged(_without_union(flat), only)
            return self.node({**whole, "nullable": True} if null else whole, trail, depth + 1)
        out = self._union(flat, branches, trail, depth) if branches else self._single(flat, trail, depth)
        return {**out, "nullable": True} if null else out

    def _branches(self, flat: Schema) -> list[Any]:
        """What the node may be, when that is more than one thing: its union, or its several types."""
        union = [branch for branch in tree.union(flat) if not tree.is_null(branch)]
        if union:
            return union
        kinds = [kind for kind in tree.types(flat) if kind != "null"]
        if len(kinds) < 2:
            return []
        return [{**{key: value for key, value in flat.items() if key != "description"}, "type": kind} for kind in kinds]

    def _union(self, flat: Schema, branches: list[Any], trail: Trail, depth: int) -> Schema:
        nodes: list[Schema] = []
        for branch in branches:
            node = self.node(branch, trail, depth + 1)
            if node not in nodes:
                nodes.append(node)
        said = {"description": flat["description"]} if isinstance(flat.get("description"), str) else {}
        if len(nodes) == 1:
            return {**nodes[0], **said}
        return {**said, "anyOf": nodes}

    def _single(self, flat: Schema, trail: Trail, depth: int) -> Schema:
        kinds = [kind for kind in tree.types(flat) if kind != "null"] or tree.types(flat)
        choices = _choices(flat)
        fallback = "object" if depth == 0 else "string"
        kind = "string" if choices else (kinds[0] if kinds else tree.implied_type(flat) or fallback)
        out: Schema = {"type": kind}
        for key in self._kept_texts():
            if isinstance(flat.get(key), str):
                out[key] = flat[key]
        if isinstance(flat.get("format"), str) and flat["format"] in _FORMATS.get(kind, ()):
            out["format"] = flat["format"]
        if choices:
            out["enum"] = choices
        if kind in ("number", "integer"):
            out |= tree.inclusive(flat, whole=kind == "integer")
        if self.response:
            out |= {key: flat[key] for key in _ANSWER_KEYS.get(kind, ()) if key in flat}
        if kind == "array":
            out["items"] = self._items(flat, trail, depth)
        if kind == "object":
            out |= self._object(flat, trail, depth)
        return tree.with_hints(out, _lost(flat, out))

    def _kept_texts(self) -> tuple[str, ...]:
        return ("title", "description") if self.response else ("description",)

    def _items(self, flat: Schema, trail: Trail, depth: int) -> Schema:
        """One schema for all items; a tuple's differing items become a union."""
        items = flat.get("items")
        tuple_items = flat.get("prefixItems") if isinstance(flat.get("prefixItems"), list) else items
        if isinstance(tuple_items, list):
            items = {"anyOf": tuple_items} if tuple_items else None
        return self.node(items, trail, depth + 1)

    def _object(self, flat: Schema, trail: Trail, depth: int) -> Schema:
        found = {name: self.node(sub, trail, depth + 1) for name, sub in tree.properties(flat).items()}
        out: Schema = {"properties": found} if found else {}
        needed = [name for name in tree.required(flat) if name in found]
        if not self.response:
            needed = [name for name in needed if not self._may_be_null(tree.properties(flat)[name], trail)]
        if needed:
            out["required"] = needed
        ordering = flat.get("propertyOrdering")
        if isinstance(ordering, list) and found:
            out["propertyOrdering"] = [name for name in ordering if isinstance(name, str) and name in found]
        if self.response and flat.get("additionalProperties") is False:
            out["additionalProperties"] = False
        return out

    def _may_be_null(self, schema: Any, trail: Trail) -> bool:
        """Whether a property says by its type, and not by `nullable`, that null will do."""
        if not isinstance(schema, dict):
            return False
        flat = self.unfolder.flat(schema, trail)[0]
        return _takes_null({key: value for key, value in flat.items() if key != "nullable"})


def _without_union(flat: Schema) -> Schema:
    return {key: value for key, value in flat.items() if key not in ("anyOf", "oneOf")}


def _takes_null(flat: Schema) -> bool:
    kinds = tree.types(flat)
    return (
        flat.get("nullable") is True
        or ("null" in kinds and len(kinds) > 1)
        or any(map(tree.is_null, tree.union(flat)))
        or (isinstance(flat.get("enum"), list) and None in flat["enum"])
    )


def _choices(flat: Schema) -> list[str]:
    """The enum as the non-empty strings that the message allows; numbers and booleans as their JSON text."""
    spelled = (value if isinstance(value, str) else json.dumps(value) for value in _listed(flat) if _is_scalar(value))
    return list(dict.fromkeys(text for text in spelled if text))


def _listed(flat: Schema) -> list[Any]:
    """The only values that will do, by `enum` or `const`."""
    if isinstance(flat.get("enum"), list):
        return list(flat["enum"])
    return [flat["const"]] if "const" in flat else []


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float)


def _lost(flat: Schema, out: Schema) -> list[str]:
    """What the source says and the result does not, as hints."""
    hints = [tree.hint(key, flat[key]) for key in _HINTED if key not in out and tree.says_something(key, flat)]
    for key in ("exclusiveMinimum", "exclusiveMaximum"):
        strict = tree.number(flat.get(key))
        if strict is not None and strict in (out.get("minimum"), out.get("maximum")):
            hints.append(tree.hint(key, strict))
    return hints


def _lost_values(flat: Schema, out: Schema) -> list[str]:
    """The allowed values, as a hint, when some of them (booleans, objects) cannot stand in an `enum`."""
    values = [value for value in _listed(flat) if value is not None]
    return [tree.hint("one of", values)] if len(values) > len(out.get("enum", ())) else []


@tree.bounded
def for_gemini_json(schema: object) -> Schema:
    """The subset of JSON Schema that `parametersJsonSchema` and `responseJsonSchema` name; references may stay."""
    root = schema if isinstance(schema, dict) else {}
    return _Json(tree.Unfolder(root), root).document()


class _Json(Struct, frozen=True):
    unfolder: tree.Unfolder
    root: Schema

    def document(self) -> Schema:
        out = self.node(self.root, tree.ROOT_TRAIL, 0)
        definitions: Schema = {}
        for key in tree.DEFINITIONS:
            found = self.root.get(key)
            if isinstance(found, dict):
                for name, sub in found.items():
                    definitions.setdefault(name, self.node(sub, tree.ROOT_TRAIL | {f"#/{key}/{name}"}, 1))
        return {**out, "$defs": definitions} if definitions else out

    def node(self, schema: Any, trail: Trail, depth: int) -> Schema:
        if not isinstance(schema, dict):
            return {}
        if self.unfolder.spent(depth):
            return {"type": "object"}
        kept = self._reference(schema, trail) if depth else None
        if kept:
            return {"$ref": kept}
        flat, trail = self.unfolder.flat(schema, trail, depth)
        flat = tree.conditional(flat, self.unfolder, trail)
        kinds = tree.types(flat)
        out: Schema = {}
        if len(kinds) == 1:
            out["type"] = kinds[0]
        elif kinds:
            out["type"] = kinds
        out |= {key: flat[key] for key in ("description", *_JSON_KEPT) if key in flat}
        out |= tree.inclusive(flat, whole=kinds == ["integer"])
        out |= self._values(flat)
        out |= self._children(flat, trail, depth)
        out = tree.with_hints(out, [*_lost(flat, out), *_lost_values(flat, out)])
        return _nullable(out) if _takes_null(flat) else out

    def _reference(self, schema: Schema, trail: Trail) -> str | None:
        """A reference that can stay: to a definition, with nothing beside it (or inside itself, where it must end)."""
        ref = schema.get("$ref")
        if not isinstance(ref, str):
            return None
        name = tree.definition(self.root, ref)
        alone = not {other for other in schema if not other.startswith("$")}
        return f"#/$defs/{name}" if name is not None and (alone or ref in trail) else None

    def _values(self, flat: Schema) -> Schema:
        if tree.is_null(flat):
            return {"type": "null"}
        kept = [value for value in _listed(flat) if isinstance(value, str) or tree.number(value) is not None]
        return {"enum": kept} if kept else {}

    def _children(self, flat: Schema, trail: Trail, depth: int) -> Schema:
        def node(sub: Any) -> Schema:
            return self.node(sub, trail, depth + 1)

        out: Schema = {}
        if "properties" in flat:
            out["properties"] = {name: node(sub) for name, sub in tree.properties(flat).items()}
        needed = [name for name in tree.required(flat) if "properties" not in out or name in out["properties"]]
        if needed:
            out["required"] = needed
        more = flat.get("additionalProperties")
        if isinstance(more, dict | bool):
            out["additionalProperties"] = node(more) if isinstance(more, dict) else more
        items = flat.get("items")
        if isinstance(items, dict):
            out["items"] = node(items)
        listed = flat.get("prefixItems") if isinstance(flat.get("prefixItems"), list) else items
        if isinstance(listed, list):
            out["prefixItems"] = [node(sub) for sub in listed]
        branches = tree.union(flat)
        if branches:
            out["anyOf"] = [node(sub) for sub in branches]
        return out


def _nullable(out: Schema) -> Schema:
    kinds = tree.types(out)
    if "null" in kinds or any(map(tree.is_null, tree.union(out))):
        return out
    if kinds and "enum" not in out:
        return {**out, "type": [*kinds, "null"]}
    if list(out) == ["anyOf"] or set(out) == {"anyOf", "description"}:
        return {**out, "anyOf": [*out["anyOf"], {"type": "null"}]}
    return {"anyOf": [out, {"type": "null"}]}
