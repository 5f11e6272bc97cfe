"""The schema seen as a list of keys: names, types, defaults, help and environment names.

Rule: everything that is said about a key is taken from `schema`; nothing is written twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from msgspec import NODEFAULT, Struct, inspect

from llm_mux.config import schema

ENV_PREFIX = "LLM_MUX_"


class Shape(Struct, frozen=True):
    """A type without its wrappings. `extra` holds what the schema adds: unit, form, shorthand, secret, example."""

    type: inspect.Type
    optional: bool
    help: str
    extra: dict[str, Any]


class Key(Struct, frozen=True):
    """One key of a section. `default` is `NODEFAULT` where the key must be given."""

    name: str
    shape: Shape
    default: object

    @property
    def secret(self) -> bool:
        return bool(self.shape.extra.get("secret"))

    @property
    def required(self) -> bool:
        return self.default is NODEFAULT


def shape_of(kind: inspect.Type) -> Shape:
    extra: dict[str, Any] = {}
    text = ""
    optional = False
    while True:
        if isinstance(kind, inspect.Metadata):
            extra = (kind.extra or {}) | extra
            text = text or (kind.extra_json_schema or {}).get("description", "")
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            optional = True
            (kind,) = (member for member in kind.types if not isinstance(member, inspect.NoneType))
        else:
            return Shape(kind, optional, text, extra)


@cache
def keys_of(section: type[schema.Section]) -> dict[str, Key]:
    """The keys of a section by the name they have in the file, in the order of the schema."""
    described = inspect.type_info(section)
    assert isinstance(described, inspect.StructType)
    return {f.encode_name: Key(f.encode_name, shape_of(f.type), _default(f)) for f in described.fields}


def _default(described: inspect.Field) -> object:
    if described.default is not NODEFAULT:
        return described.default
    if described.default_factory is not NODEFAULT:
        return described.default_factory()
    return NODEFAULT


def section_of(kind: inspect.Type) -> type[schema.Section] | None:
    """The section that a type is, if it is one."""
    return kind.cls if isinstance(kind, inspect.StructType) and issubclass(kind.cls, schema.Section) else None


def item_section(kind: inspect.Type) -> type[schema.Section] | None:
    """The section that a list holds, if it holds sections."""
    return section_of(shape_of(kind.item_type).type) if isinstance(kind, inspect.VarTupleType) else None


def walk(section: type[schema.Section], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Key]]:
    """Every key below a section with its path, parents before children; items of lists are not entered."""
    for name, key in keys_of(section).items():
        yield (*path, name), key
        below = section_of(key.shape.type)
        if below is not None:
            yield from walk(below, (*path, name))


def env_name(path: tuple[str, ...]) -> str:
    return ENV_PREFIX + "_".join(path).upper().replace("-", "_").replace(".", "_")


@cache
def env_paths() -> dict[str, tuple[str, ...]]:
    """Every environment name of the configuration with the path of the key that it sets."""
    return {env_name(path): path for path, _ in walk(schema.Config)}


def expected(shape: Shape) -> str:
    """What a value must be, in words: `an integer from 0 to 65535`."""
    words = " or ".join((f"{_expected(shape)}{_bounds(shape.type)}", *shape.extra.get("words", ())))
    return f"{words}, or null" if shape.optional else words


def _expected(shape: Shape) -> str:
    kind = shape.type
    if shape.extra.get("unit") == "size":
        return "a size such as 64MiB"
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in kind.values)
    if isinstance(kind, inspect.StrType) and kind.pattern:
        return f"a name of {shape.extra.get('form', kind.pattern)}"
    if isinstance(kind, inspect.VarTupleType):
        return f"a list of {_plural(shape_of(kind.item_type))}"
    words: dict[type[inspect.Type], str] = {
        inspect.StrType: "text",
        inspect.BoolType: "true or false",
        inspect.IntType: "an integer",
        inspect.FloatType: "a number",
        inspect.DecimalType: "a decimal number of at least 0",
    }
    return words.get(type(kind), "a mapping")


def _plural(item: Shape) -> str:
    return "texts" if isinstance(item.type, inspect.StrType) else "mappings"


def _bounds(kind: inspect.Type) -> str:
    if not isinstance(kind, (inspect.IntType, inspect.FloatType)):
        return ""
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    if kind.ge is not None:
        return f" of at least {kind.ge}"
    return f" above {kind.gt}" if kind.gt is not None else ""
