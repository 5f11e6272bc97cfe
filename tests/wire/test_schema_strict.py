"""The strict subsets of Anthropic and OpenAI."""

from typing import Any

import pytest

from llm_mux.wire import schema

ANYTHING = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "null")]}


def closed(**properties: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        pytest.param({"type": "string", "pattern": "^a", "description": "d", "default": "a"}, {"type": "string", "description": "d (pattern: ^a, default: a)"}, id="told in words"),
        pytest.param({"type": "string", "format": "email"}, {"type": "string", "format": "email"}, id="known format"),
        pytest.param({"type": "string", "format": "color"}, {"type": "string", "description": "(format: color)"}, id="other format"),
        pytest.param({"type": "string", "enum": ["a", None]}, {"enum": ["a", None]}, id="enum drops type"),
        pytest.param({"type": "string", "const": "a"}, {"const": "a"}, id="const drops type"),
        pytest.param({"type": "array", "items": {"type": "string"}, "minItems": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}, id="at least one"),
        pytest.param({"type": "array", "items": {"type": "string"}, "minItems": 2}, {"type": "array", "items": {"type": "string"}, "description": "(minItems: 2)"}, id="at least two"),
        pytest.param({"oneOf": [{"type": "string"}, {"type": "object", "properties": {}}]}, {"anyOf": [{"type": "string"}, closed()]}, id="oneOf"),
        pytest.param({"allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}]}, {**closed(a={"type": "string"}), "required": ["a"]}, id="allOf"),
        pytest.param({}, ANYTHING, id="anything"),
        pytest.param({"type": "string", "nullable": True}, {"type": ["string", "null"]}, id="nullable"),
        pytest.param({"type": "object", "additionalProperties": True, "properties": {"a": {"properties": {}}}, "required": ["b"]}, closed(a=closed()), id="closed"),
    ],
)  # fmt: skip
def test_anthropic_takes_its_subset(given: object, made: dict[str, Any]) -> None:
    assert schema.for_anthropic_strict({"type": "object", "properties": {"p": given}}) == closed(p=made)


def test_anthropic_references_stand_alone() -> None:
    made = schema.for_anthropic_strict(
        {"properties": {"a": {"$ref": "#/definitions/N", "description": "d"}}, "definitions": {"N": {"type": "string"}}}
    )
    assert made == {**closed(a={"$ref": "#/$defs/N"}), "$defs": {"N": {"type": "string"}}}


def test_anthropic_gets_no_recursion() -> None:
    made = schema.for_anthropic_strict(
        {"$ref": "#/$defs/N", "$defs": {"N": {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}}}
    )
    assert made == closed(next=closed())
    assert not schema.is_recursive(made)


def test_openai_requires_every_property_and_lets_the_optional_be_null() -> None:
    made = schema.for_openai_strict(
        {
            "type": "object",
            "properties": {
                "needed": {"type": "string"},
                "plain": {"type": "string", "default": None},
                "list": {"type": ["string", "integer"]},
                "choice": {"type": "string", "enum": ["a"]},
                "fixed": {"const": "a", "description": "d"},
                "ref": {"$ref": "#/$defs/N"},
                "union": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
                "null": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "inner": {"type": "object", "properties": {"x": {}}, "required": ["x"]},
            },
            "required": ["needed"],
            "$defs": {"N": {"allOf": [{"type": "boolean"}]}},
        }
    )
    null = {"type": "null"}
    assert made["properties"] == {
        "needed": {"type": "string"},
        "plain": {"type": ["string", "null"]},
        "list": {"type": ["string", "integer", "null"]},
        "choice": {"type": ["string", "null"], "enum": ["a", None]},
        "fixed": {"description": "d", "anyOf": [{"const": "a"}, null]},
        "ref": {"anyOf": [{"$ref": "#/$defs/N"}, null]},
        "union": {"anyOf": [{"type": "string"}, {"type": "integer"}, null]},
        "null": {"anyOf": [{"type": "string"}, null]},
        "inner": {**closed(x=ANYTHING), "type": ["object", "null"], "required": ["x"]},
    }
    assert made["required"] == list(made["properties"])
    assert made["additionalProperties"] is False
    assert made["$defs"] == {"N": {"type": "boolean"}}


def test_openai_inlines_a_reference_with_words_beside_it_and_keeps_recursion() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/N", "description": "again"}},
        "required": ["next"],
    }
    made = schema.for_openai_strict(
        {
            "type": "object",
            "properties": {"n": {"$ref": "#/$defs/N", "description": "d"}},
            "required": ["n"],
            "$defs": {"N": node},
        }
    )
    bare = {**closed(next={"$ref": "#/$defs/N"}), "required": ["next"]}
    assert made["properties"]["n"] == {**bare, "description": "d"}
    assert made["$defs"] == {"N": bare}


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        pytest.param(closed(a={"type": "string", "pattern": "^a"}), True, id="closed"),
        pytest.param({"type": "object", "properties": {"a": {}}}, True, id="silent about other keys"),
        pytest.param({"type": "object", "properties": {}}, True, id="no keys"),
        pytest.param({"type": "object"}, False, id="any keys"),
        pytest.param({"properties": {"a": {"type": ["object", "null"]}}}, False, id="any keys inside"),
        pytest.param({"type": "object", "properties": {}, "additionalProperties": True}, False, id="other keys too"),
        pytest.param({"type": "object", "additionalProperties": {"type": "string"}}, False, id="a map"),
        pytest.param({"type": "object", "patternProperties": {"^x": {}}, "properties": {}}, False, id="patterns"),
        pytest.param({"type": "object", "properties": {"next": {"$ref": "#"}}}, False, id="recursive"),
        pytest.param(True, False, id="no schema"),
    ],
)
def test_a_schema_fits_the_subset_when_nothing_is_taken_from_it(given: object, fits: bool) -> None:
    assert schema.fits_anthropic_strict(given) is fits
