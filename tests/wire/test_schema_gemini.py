"""Gemini's two dialects of schema, and how what they cannot say is told in words."""

from typing import Any

import pytest

from llm_mux.wire import schema


def proto(node: object) -> Any:
    """The rewritten form of one property of a tool."""
    return schema.for_gemini_proto({"type": "object", "properties": {"p": node}})["properties"]["p"]


def as_json(node: object) -> Any:
    return schema.for_gemini_json({"type": "object", "properties": {"p": node}})["properties"]["p"]


REMOVED: dict[str, object] = {
    "$schema": "s",
    "$id": "i",
    "$comment": "c",
    "additionalProperties": False,
    "propertyNames": {"pattern": "a"},
    "patternProperties": {"a": {}},
    "default": {},
    "examples": [1],
    "minProperties": 1,
    "title": "T",
    "deprecated": True,
    "prefill": "x",
    "encrypted": True,
    "enumTitles": ["a"],
    "enumDescriptions": ["a"],
    "x-order": 1,
    "not": {},
    "dependentSchemas": {},
    "unevaluatedProperties": False,
}


@pytest.mark.covers("FB-41", "PF-96")
def test_unknown_keywords_are_removed() -> None:
    given = {
        "type": "object",
        "properties": {"p": {**REMOVED, "type": "object", "properties": {"q": {**REMOVED, "type": "boolean"}}}},
    }
    assert schema.for_gemini_proto({**REMOVED, **given}) == {
        "type": "object",
        "properties": {
            "p": {
                "type": "object",
                "properties": {"q": {"type": "boolean", "description": "(minProperties: 1, default: {})"}},
                "description": "(minProperties: 1, default: {})",
            }
        },
        "description": "(minProperties: 1, default: {})",
    }


@pytest.mark.parametrize(
    ("given", "made"),
    [
        pytest.param(
            {"type": "string", "description": "A name", "minLength": 1, "maxLength": 9, "pattern": "^a", "format": "uri"},
            {"type": "string", "description": "A name (format: uri, pattern: ^a, minLength: 1, maxLength: 9)"},
            marks=pytest.mark.covers("FB-41"),
            id="lost bounds become words",
        ),
        pytest.param(
            {"type": "array", "items": {"type": "string"}, "minItems": 0, "uniqueItems": True},
            {"type": "array", "items": {"type": "string"}, "description": "(minItems: 0, uniqueItems: true)"},
            marks=pytest.mark.covers("FB-41"),
            id="bounds of arrays",
        ),
        pytest.param({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}, id="known format"),
        pytest.param({"type": "integer", "format": "int64"}, {"type": "integer", "format": "int64"}, id="number format"),
        pytest.param(
            {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
            {"type": "integer", "minimum": 1, "maximum": 9},
            marks=pytest.mark.covers("PF-96"),
            id="exclusive bounds of integers",
        ),
        pytest.param(
            {"type": "number", "minimum": 0, "exclusiveMinimum": True},
            {"type": "number", "minimum": 0},
            id="exclusive bound of the old draft",
        ),
        pytest.param(
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "number", "minimum": 0, "description": "(exclusiveMinimum: 0)"},
            id="exclusive bound of numbers",
        ),
        pytest.param(
            {"type": ["string", "null"]}, {"type": "string", "nullable": True}, marks=pytest.mark.covers("FB-45"), id="or null"
        ),
        pytest.param(
            {"type": ["string", "integer"], "description": "d"},
            {"description": "d", "anyOf": [{"type": "string"}, {"type": "integer"}]},
            marks=pytest.mark.covers("PF-96"),
            id="several types",
        ),
        pytest.param({"type": "STRING"}, {"type": "string"}, marks=pytest.mark.covers("FB-46"), id="lower case"),
        pytest.param({"const": "x"}, {"type": "string", "enum": ["x"]}, marks=pytest.mark.covers("PF-96"), id="const"),
        pytest.param(
            {"type": "integer", "enum": [1, 2.5, True, None, ""]},
            {"type": "string", "enum": ["1", "2.5", "true"], "nullable": True},
            marks=pytest.mark.covers("FB-47"),
            id="enum of strings only",
        ),
        pytest.param(
            {"oneOf": [{"type": "string"}, {"type": "boolean"}]},
            {"anyOf": [{"type": "string"}, {"type": "boolean"}]},
            marks=pytest.mark.covers("FB-48", "PF-96"),
            id="oneOf",
        ),
        pytest.param(
            {"anyOf": [{"type": "string", "description": "s"}, {"type": "null"}], "description": "d"},
            {"type": "string", "description": "d", "nullable": True},
            marks=pytest.mark.covers("FB-48", "FB-45"),
            id="one branch or null",
        ),
        pytest.param(
            {"allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"properties": {"b": {"type": "boolean"}}}]},
            {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}}, "required": ["a"]},
            marks=pytest.mark.covers("FB-48"),
            id="allOf",
        ),
        pytest.param(
            {"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {"properties": {"b": {"type": "string"}}}]},
            {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
            marks=pytest.mark.covers("FB-48"),
            id="union beside properties",
        ),
        pytest.param(
            {"properties": {"a": {"type": "string"}}, "if": {}, "then": {"properties": {"b": {"type": "string"}}, "required": ["b"]}, "else": {"properties": {"c": {"type": "string"}}}},
            {"type": "object", "properties": {name: {"type": "string"} for name in "abc"}},
            marks=pytest.mark.covers("FB-49"),
            id="if then else",
        ),
        pytest.param(
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "gone", 7]},
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            marks=pytest.mark.covers("FB-52"),
            id="required names that are not there",
        ),
        pytest.param({"type": "array"}, {"type": "array", "items": {"type": "string"}}, marks=pytest.mark.covers("PF-96"), id="array of anything"),
        pytest.param(
            {"type": "array", "items": [{"type": "string"}, {"type": "number"}]},
            {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}},
            id="tuple",
        ),
        pytest.param(True, {"type": "string"}, id="no schema at all"),
    ],
)  # fmt: skip
def test_each_node_becomes_what_the_schema_message_takes(given: object, made: dict[str, Any]) -> None:
    assert proto(given) == made


@pytest.mark.covers("FB-44")
def test_references_are_inlined_and_cycles_cut() -> None:
    made = schema.for_gemini_proto(
        {
            "properties": {"n": {"$ref": "#/$defs/Node", "description": "the first"}, "x": {"$ref": "https://x/Far"}},
            "$defs": {
                "Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "v": {"type": "string"}}}
            },
        }
    )
    assert made["properties"] == {
        "n": {
            "type": "object",
            "description": "the first",
            "properties": {"next": {"type": "object"}, "v": {"type": "string"}},
        },
        "x": {"type": "string", "description": "(see Far)"},
    }
    assert "$defs" not in made


@pytest.mark.covers("FB-45")
def test_a_tool_may_leave_out_what_may_be_null_but_an_answer_may_not() -> None:
    given = {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}, "b": {"type": "string"}},
        "required": ["a", "b"],
    }
    assert schema.for_gemini_proto(given)["required"] == ["b"]
    assert schema.for_gemini_proto(given, response=True)["required"] == ["a", "b"]


@pytest.mark.covers("FB-54")
def test_an_answer_keeps_what_the_message_can_say() -> None:
    given = {
        "type": "object",
        "title": "T",
        "additionalProperties": False,
        "properties": {"a": {"type": "array", "items": {"type": "string", "minLength": 2}, "minItems": 3}},
    }
    assert schema.for_gemini_proto(given, response=True) == given
    assert "additionalProperties" not in schema.for_gemini_proto(given)


@pytest.mark.covers("FB-51")
def test_a_tool_without_arguments_shows_it() -> None:
    assert schema.for_gemini_proto({"type": "object"}) == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        pytest.param({"type": ["string", "null"]}, {"type": ["string", "null"]}, id="several types stay"),
        pytest.param({"type": "string", "nullable": True}, {"type": ["string", "null"]}, id="nullable"),
        pytest.param({"enum": ["a", 1], "nullable": True}, {"anyOf": [{"enum": ["a", 1]}, {"type": "null"}]}, id="nullable enum"),
        pytest.param({"const": 3}, {"enum": [3]}, id="const"),
        pytest.param({"type": "boolean", "const": True}, {"type": "boolean", "description": "(one of: [true])"}, id="const that no enum takes"),
        pytest.param({"oneOf": [{"type": "string"}, {}]}, {"anyOf": [{"type": "string"}, {}]}, id="oneOf"),
        pytest.param({"type": "string", "minLength": 1}, {"type": "string", "description": "(minLength: 1)"}, id="ignored keyword"),
        pytest.param({"type": "array", "minItems": 2}, {"type": "array", "minItems": 2}, id="kept keyword"),
        pytest.param({"additionalProperties": {"type": "string"}}, {"additionalProperties": {"type": "string"}}, id="map"),
        pytest.param({"type": "array", "items": [{"type": "string"}]}, {"type": "array", "prefixItems": [{"type": "string"}]}, id="tuple"),
        pytest.param({"allOf": [{"type": "string"}], "description": "d"}, {"type": "string", "description": "d"}, id="allOf"),
    ],
)  # fmt: skip
def test_each_node_becomes_what_json_schema_for_gemini_takes(given: object, made: dict[str, Any]) -> None:
    assert as_json(given) == made


@pytest.mark.covers("PF-96")
def test_references_stay_alone_and_definitions_have_one_name() -> None:
    made = schema.for_gemini_json(
        {
            "$schema": "s",
            "properties": {
                "a": {"$ref": "#/definitions/N"},
                "b": {"$ref": "#/definitions/N", "description": "told apart"},
                "c": {"$ref": "#/properties/d"},
                "d": {"type": "boolean"},
            },
            "definitions": {"N": {"type": "object", "properties": {"next": {"$ref": "#/definitions/N", "title": "t"}}}},
        }
    )
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}
    assert made == {
        "properties": {
            "a": {"$ref": "#/$defs/N"},
            "b": {**node, "description": "told apart"},
            "c": {"type": "boolean"},
            "d": {"type": "boolean"},
        },
        "$defs": {"N": node},
    }
