"""A schema as a tree: where sub-schemas stand, where references lead, how two schemas become one.

Rule: every walk is bounded, by depth against the stack and by a count of nodes against schemas that grow when unfolded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeAlias
from urllib.parse import unquote

Schema: TypeAlias = dict[str, Any]
P = ParamSpec("P")

MAX_DEPTH = 64
MAX_NODES = 10_000

DEFINITIONS = ("$defs", "definitions")
MAPS = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
LISTS = frozenset(("anyOf", "oneOf", "allOf", "prefixItems"))
SINGLES = frozenset(
    (
        "items",
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    )
)
TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_ALIASES = {
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "str": "string",
    "text": "string",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    "map": "object",
    "none": "null",
}
_HINT_LIMIT = 200


def each(schema: Schema, change: Callable[[Any], Any]) -> Schema:
    """A copy with `change` applied to every direct sub-schema, keys in their order."""
    changed: Schema = {}
    for key, value in schema.items():
        if key in MAPS and isinstance(value, dict):
            changed[key] = {name: change(sub) for name, sub in value.items()}
        elif isinstance(value, list) and (key in LISTS or key == "items"):
            changed[key] = [change(sub) for sub in value]
        elif key in SINGLES and isinstance(value, dict):
            changed[key] = change(value)
        else:
            changed[key] = value
    return changed


def below(schema: Schema) -> Iterator[Schema]:
    """Every schema in the tree, itself first; without recursion, and without looking behind references."""
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            each(node, waiting.append)


def is_recursive(schema: object) -> bool:
    """Whether a reference leads back to where it stands."""
    if not isinstance(schema, dict):
        return False
    open_refs: dict[str, bool] = {}
    trail: list[tuple[str, Iterator[str]]] = [("#", iter(_refs(schema)))]
    open_refs["#"] = True
    while trail:
        ref, targets = trail[-1]
        target = next(targets, None)
        if target is None:
            open_refs[ref] = False
            trail.pop()
        elif open_refs.get(target):
            return True
        elif target not in open_refs:
            found = lookup(schema, target)
            open_refs[target] = True
            trail.append((target, iter(_refs(found) if found is not None else ())))
    return False


def _refs(schema: Schema) -> list[str]:
    return [node["$ref"] for node in below(schema) if isinstance(node.get("$ref"), str)]


def lookup(root: Schema, ref: str) -> Schema | None:
    """What a local reference (`#/$defs/x`, a JSON pointer) stands for; None for any other and for a dead one."""
    if ref == "#":
        return root
    if not ref.startswith("#/"):
        return None
    node: Any = root
    for step in unquote(ref[2:]).split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(key)
        elif isinstance(node, list) and key.isdecimal() and len(key) < 6 and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node if isinstance(node, dict) else None


def definition(root: Schema, ref: str) -> str | None:
    """The name of the root's definition that `ref` leads to; None for any other reference."""
    for key in DEFINITIONS:
        name = ref.removeprefix(f"#/{key}/")
        found = root.get(key)
        if name != ref and isinstance(found, dict) and isinstance(found.get(name), dict):
            return name
    return None


Trail: TypeAlias = frozenset[str]
ROOT_TRAIL: Trail = frozenset(("#",))


class Unfolder:
    """Replaces references and `allOf` of one root schema by what they mean, within a budget of nodes."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self._left = MAX_NODES

    def spent(self, depth: int) -> bool:
        """Counts a node; True when the tree is too deep or too big to go on."""
        self._left -= 1
        return depth > MAX_DEPTH or self._left < 0

    def flat(self, schema: Schema, trail: Trail, depth: int = 0) -> tuple[Schema, Trail]:
        """`schema` without `$ref` and `allOf` at its top, and the references that led there.

        A reference that is already on the `trail` would never end: it becomes an object of unknown properties.
        """
        while isinstance(ref := schema.get("$ref"), str):
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            target = lookup(self.root, ref)
            if target is None:
                schema = with_hints(beside, [f"see {ref.rpartition('/')[2]}"])
            elif ref in trail or self.spent(depth):
                schema = {"type": "object", **beside}
            else:
                trail |= {ref}
                schema = merged(beside, target)
        if not isinstance(schema.get("allOf"), list):
            return {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}, trail
        whole = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        for part in dicts(schema["allOf"]):
            if self.spent(depth):
                break
            piece, trail = self.flat(part, trail, depth + 1)
            whole = merged(whole, piece)
        return whole, trail


def dicts(value: object) -> list[Schema]:
    """The schemas of a list; nothing for what is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def merged(first: Schema, second: Schema) -> Schema:
    """A schema that holds what both say (`allOf`); where they differ, the first speaks."""
    whole = dict(first)
    for key, value in second.items():
        mine = whole.get(key)
        if key in ("properties", "$defs", "definitions") and isinstance(mine, dict) and isinstance(value, dict):
            whole[key] = {**mine, **{name: sub for name, sub in value.items() if name not in mine}}
        elif key in ("required", "allOf") and isinstance(mine, list) and isinstance(value, list):
            whole[key] = [*mine, *(item for item in value if item not in mine)]
        else:
            whole.setdefault(key, value)
    return whole


def with_branches(base: Schema, branches: Sequence[Schema], *, common: bool) -> Schema:
    """An object schema that also has the properties of its `branches`, as optional ones.

    Properties that only branches know, and know differently, become a union. With `common`, what every branch requires
    is required.
    """
    own = properties(base)
    found = dict(own)
    for branch in branches:
        for name, sub in properties(branch).items():
            if name not in found:
                found[name] = sub
            elif name not in own:
                found[name] = _either(found[name], sub)
    needed = required(base)
    if common and branches:
        shared = [name for name in required(branches[0]) if all(name in required(branch) for branch in branches)]
        needed += [name for name in shared if name not in needed]
    return {**base, "properties": found, **({"required": needed} if needed else {})}


def _either(known: Any, other: Any) -> Any:
    if known == other:
        return known
    options = known["anyOf"] if isinstance(known, dict) and list(known) == ["anyOf"] else [known]
    return known if other in options else {"anyOf": [*options, other]}


def conditional(flat: Schema, unfolder: Unfolder, trail: Trail) -> Schema:
    """`if`/`then`/`else` folded in: the properties of the branches become optional ones."""
    if not flat.keys() & {"if", "then", "else"}:
        return flat
    branches = [unfolder.flat(flat[key], trail)[0] for key in ("then", "else") if isinstance(flat.get(key), dict)]
    base = {key: value for key, value in flat.items() if key not in ("if", "then", "else")}
    return with_branches(base, branches, common=False) if any(map(properties, branches)) else base


def properties(schema: Schema) -> Schema:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def required(schema: Schema) -> list[str]:
    """The required names; `required: true` on a property, as some tools write it, counts too."""
    listed = schema.get("required")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    marked = [name for name, sub in properties(schema).items() if isinstance(sub, dict) and sub.get("required") is True]
    return list(dict.fromkeys((*names, *marked)))


def types(schema: Schema) -> list[str]:
    """The known types that `type` names, in standard spelling; empty when it names none."""
    stated = schema.get("type")
    words = stated if isinstance(stated, list) else [stated]
    spelled = (_ALIASES.get(word.lower(), word.lower()) for word in words if isinstance(word, str))
    return list(dict.fromkeys(word for word in spelled if word in TYPES))


def implied_type(schema: Schema) -> str | None:
    """The type that the other keywords speak of when `type` is missing."""
    keys = schema.keys()
    if keys & {"properties", "additionalProperties", "patternProperties", "minProperties", "maxProperties"}:
        return "object"
    if keys & {"items", "prefixItems", "minItems", "maxItems", "uniqueItems"}:
        return "array"
    if keys & {"minLength", "maxLength", "pattern", "format"}:
        return "string"
    if keys & {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}:
        return "number"
    return None


def union(schema: Schema) -> list[Any]:
    """The branches of `anyOf`, or of `oneOf` which is read as the same."""
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            return list(schema[key])
    return []


def is_null(schema: object) -> bool:
    """Whether nothing but null fits."""
    if not isinstance(schema, dict):
        return False
    if types(schema) == ["null"]:
        return True
    return ("const" in schema and schema["const"] is None) or schema.get("enum") == [None]


def number(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def with_hints(schema: Schema, hints: Sequence[str]) -> Schema:
    """The schema with what it can no longer say in keywords added to its description."""
    if not hints:
        return schema
    said = schema.get("description")
    note = f"({', '.join(hints)})"
    return {**schema, "description": f"{said} {note}" if isinstance(said, str) and said else note}


def says_something(key: str, schema: Schema) -> bool:
    """Whether a keyword limits or tells anything."""
    value = schema.get(key)
    return not (value is None or value == "" or (key == "uniqueItems" and value is not True))


def hint(key: str, value: object) -> str:
    """A keyword as words: `minLength: 3`."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    return f"{key}: {text}" if len(text) <= _HINT_LIMIT else f"{key}: {text[:_HINT_LIMIT]}..."


def inclusive(flat: Schema, *, whole: bool) -> Schema:
    """`minimum` and `maximum`, with exclusive bounds (both drafts) turned into them; for integers exactly."""
    bounds: Schema = {}
    for key, other, step, pick in (("minimum", "exclusiveMinimum", 1, max), ("maximum", "exclusiveMaximum", -1, min)):
        bound, strict = number(flat.get(key)), number(flat.get(other))
        if flat.get(other) is True:
            bound, strict = None, bound
        values = [] if bound is None else [bound]
        if strict is not None:
            exact = whole and (isinstance(strict, int) or strict.is_integer())
            values.append(int(strict) + step if exact else strict)
        if values:
            bounds[key] = pick(values)
    return bounds


def bounded(rewrite: Callable[P, Schema]) -> Callable[P, Schema]:
    """A rewrite that answers with the widest object where comparing absurdly deep values would exhaust the stack."""

    @wraps(rewrite)
    def answer(*args: P.args, **options: P.kwargs) -> Schema:
        try:
            return rewrite(*args, **options)
        except RecursionError:
            return {"type": "object", "properties": {}}

    return answer
