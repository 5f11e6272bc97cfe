"""Tool parameters become one object schema, whatever their author wrote."""

from typing import Any

import pytest

from llm_mux.wire import schema

EMPTY = {"type": "object", "properties": {}}
NO_OBJECTS: tuple[object, ...] = (None, {}, [], "x", True, 3)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        *(pytest.param(value, EMPTY, marks=pytest.mark.covers("FB-51")) for value in NO_OBJECTS),
        pytest.param({"type": "object"}, EMPTY, marks=pytest.mark.covers("FB-51"), id="no properties"),
        pytest.param({"type": None, "properties": None}, EMPTY, marks=pytest.mark.covers("FB-51"), id="nulls"),
        pytest.param({"type": ["object", "null"]}, EMPTY, id="nullable object"),
        pytest.param(
            {"properties": {"a": {"type": "string"}}, "additionalProperties": False},
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
            marks=pytest.mark.covers("PF-34"),
            id="no type",
        ),
        pytest.param(
            {"path": {"type": "string"}, "n": {"type": "integer"}},
            {"type": "object", "properties": {"path": {"type": "string"}, "n": {"type": "integer"}}},
            marks=pytest.mark.covers("FB-50"),
            id="bare map of properties",
        ),
        pytest.param(
            {"type": {"type": "string", "required": True}, "properties": {"type": "string"}},
            {
                "type": "object",
                "properties": {"type": {"type": "string"}, "properties": {"type": "string"}},
                "required": ["type"],
            },
            marks=pytest.mark.covers("FB-50", "FB-42"),
            id="bare map with properties called like keywords",
        ),
        pytest.param(
            {
                "type": "object",
                "properties": {"a": {"type": "object", "required": True, "properties": {"b": {"required": False}}}},
            },
            {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {}}}}, "required": ["a"]},
            marks=pytest.mark.covers("FB-50"),
            id="required on a property",
        ),
    ],
)
def test_parameters_get_type_and_properties(given: object, made: dict[str, Any]) -> None:
    assert schema.ensure_object(given) == made


@pytest.mark.covers("PF-34", "FB-48")
@pytest.mark.parametrize("union", ["anyOf", "oneOf"])
def test_a_union_at_the_top_is_merged_and_only_the_common_is_required(union: str) -> None:
    branches = [
        {"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "string"}}, "required": ["kind", "x"]},
        {"$ref": "#/$defs/B"},
        {"type": "null"},
    ]
    made = schema.ensure_object(
        {union: branches, "$defs": {"B": {"properties": {"kind": {"const": "b"}}, "required": ["kind"]}}}
    )
    assert union not in made
    assert made["properties"] == {"kind": {"anyOf": [{"const": "a"}, {"const": "b"}]}, "x": {"type": "string"}}
    assert made["required"] == ["kind"]


@pytest.mark.covers("PF-34", "FB-48")
def test_all_of_at_the_top_is_merged_and_everything_stays_required() -> None:
    made = schema.ensure_object(
        {
            "properties": {"a": {"type": "string"}},
            "required": ["a"],
            "allOf": [{"properties": {"b": {"type": "string"}}, "required": ["b"]}, {"description": "both"}],
        }
    )
    assert made == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "required": ["a", "b"],
        "description": "both",
    }


def test_meta_keywords_go_at_every_level_and_properties_called_so_stay() -> None:
    given = {
        "$schema": "x",
        "$id": "y",
        "properties": {"$id": {"type": "string", "$comment": "c"}, "a": {"items": {"$schema": "z"}}},
        "$defs": {"d": {"$id": "w", "type": "string"}},
    }
    assert schema.strip_meta(given) == {
        "properties": {"$id": {"type": "string"}, "a": {"items": {}}},
        "$defs": {"d": {"type": "string"}},
    }
