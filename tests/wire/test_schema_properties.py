"""What holds for every rewrite of a schema, whatever JSON comes in."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.wire import schema

Rewrite = Callable[[object], dict[str, Any]]

REWRITES: dict[str, Rewrite] = {
    "ensure_object": schema.ensure_object,
    "strip_meta": schema.strip_meta,
    "gemini_json": schema.for_gemini_json,
    "gemini_proto": schema.for_gemini_proto,
    "gemini_proto_response": partial(schema.for_gemini_proto, response=True),
    "anthropic_strict": schema.for_anthropic_strict,
    "openai_strict": schema.for_openai_strict,
}
every_rewrite = pytest.mark.parametrize("rewrite", REWRITES.values(), ids=REWRITES.keys())

scalars = st.none() | st.booleans() | st.integers(-3, 12) | st.floats(allow_nan=False, allow_infinity=False)
kinds = st.sampled_from(["string", "number", "integer", "boolean", "array", "object", "null", "INT", "any", 5, None])
names = st.sampled_from(["a", "b", "title", "properties", "type", "$ref", "x/y"])
refs = st.sampled_from(
    ["#", "#/$defs/a", "#/$defs/b", "#/definitions/a", "#/properties/a", "#/nowhere", "http://x/y", "", 7]
)
nonsense = scalars | st.text(max_size=3) | st.lists(scalars, max_size=2)


def _node(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some, named = st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)
    keywords: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("properties", "$defs", "definitions", "patternProperties"), named),
        **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), some),
        **dict.fromkeys(("items", "additionalProperties", "not", "if", "then", "else"), inner | some),
        "type": kinds | st.lists(kinds, max_size=3),
        "enum": st.lists(scalars | st.text(max_size=2), max_size=4),
        "const": scalars | st.text(max_size=2),
        "required": st.lists(names, max_size=3) | st.booleans(),
        "$ref": refs,
        "nullable": st.booleans(),
        "description": st.text(max_size=3),
        "format": st.sampled_from(["date-time", "uri", "int32", "enum"]),
        **dict.fromkeys(
            ("minimum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "minLength", "default"), scalars
        ),
        **dict.fromkeys(("title", "$schema", "propertyOrdering", "uniqueItems", "x-y"), nonsense),
    }
    usual = st.fixed_dictionaries({}, optional=keywords)
    broken = st.dictionaries(st.sampled_from(list(keywords)), nonsense | inner, max_size=4)
    return usual | broken


schemas: st.SearchStrategy[Any] = st.recursive(nonsense | st.just({}), _node, max_leaves=12)


@every_rewrite
@given(schemas)
def test_every_rewrite_takes_any_json_keeps_its_input_and_is_stable(rewrite: Rewrite, given_schema: object) -> None:
    before = copy.deepcopy(given_schema)
    once = rewrite(given_schema)
    assert given_schema == before
    json.dumps(once)
    assert rewrite(once) == once


def _deep(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        node = {"type": "object", "properties": {"x": node}}
    return node


def _growing(levels: int) -> dict[str, Any]:
    """Each definition holds the next one twice: unfolded, it would have 2 ** levels nodes."""
    defs = {
        f"d{n}": {
            "type": "object",
            "properties": {
                "l": {"$ref": f"#/$defs/d{n + 1}", "title": "l"},
                "r": {"$ref": f"#/$defs/d{n + 1}", "title": "r"},
            },
        }
        for n in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{levels}": {"type": "string"}}}


def _doubling(levels: int) -> dict[str, Any]:
    defs: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(levels)
    }
    return {"allOf": [{"$ref": "#/$defs/d0"}], "$defs": {**defs, f"d{levels}": {"type": "object"}}}


@pytest.mark.covers("PF-138", "FB-44")
@every_rewrite
@pytest.mark.parametrize(
    "given_schema",
    [
        pytest.param(_deep(900), id="deep"),
        pytest.param(_growing(60), id="growing"),
        pytest.param(_doubling(60), id="doubling"),
        pytest.param({"$ref": "#"}, id="itself"),
        pytest.param(
            {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, id="ring"
        ),
        pytest.param({"properties": {"x": {"$ref": "#/properties/x"}}}, id="property of itself"),
        pytest.param({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, id="union of itself"),
        pytest.param({"default": _deep(900), "enum": [_deep(900), _deep(900)]}, id="deep values"),
        pytest.param(
            {"anyOf": [{"properties": {"a": {"default": _deep(900)}}}, {"properties": {"a": {"default": _deep(900)}}}]},
            id="deep values compared",
        ),
    ],
)
def test_cycles_depth_and_growth_are_bounded(rewrite: Rewrite, given_schema: dict[str, Any]) -> None:
    assert sum(1 for _ in _nodes(rewrite(given_schema))) < 200_000


def _nodes(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        yield item
        waiting.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())


@pytest.mark.covers("FB-42")
@every_rewrite
def test_properties_that_are_called_like_keywords_survive(rewrite: Rewrite) -> None:
    called = ["title", "format", "default", "properties", "type", "required", "enum", "$ref", "items", "pattern"]
    given_schema = {"type": "object", "properties": {name: {"type": "string", "description": name} for name in called}}
    found = rewrite(given_schema)["properties"]
    assert list(found) == called
    assert all(found[name]["description"] == name for name in called)


@pytest.mark.covers("FB-55")
@every_rewrite
def test_big_integers_are_never_floats(rewrite: Rewrite) -> None:
    big = 2**63 + 1
    out = rewrite({"type": "object", "properties": {"n": {"type": "integer", "minimum": big, "maximum": big}}})
    assert str(big) in json.dumps(out)
    assert "e+" not in json.dumps(out)


@pytest.mark.parametrize(
    ("given_schema", "recursive"),
    [
        ({"$ref": "#"}, True),
        ({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}, False),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}}, True),
        ({"properties": {"$ref": {"type": "string"}}}, False),
        ({"default": {"$ref": "#"}}, False),
        (None, False),
    ],
)
def test_recursion_is_found(given_schema: object, recursive: bool) -> None:
    assert schema.is_recursive(given_schema) is recursive
