"""The tree read against the schema: plain values for msgspec, or problems with their places.

Rule: all problems of one reading are collected; a value with a problem is left out of the result.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

from msgspec import inspect

from llm_mux.config.keys import Shape, expected, keys_of, section_of, shape_of
from llm_mux.config.problems import ConfigError, nearest
from llm_mux.config.schema import Section
from llm_mux.config.tree import Entries, Items, Leaf, Tree, from_value, read_yaml

BAD: Final = object()
_Number = TypeVar("_Number", int, float)
UNITS = {"": 1, "B": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024), ("", 1024))
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


class _Wrong(Exception):
    """The value is not what the schema expects."""


class Validation:
    """One reading of a tree; `problems` fills while `section` runs."""

    def __init__(self) -> None:
        self.problems: list[ConfigError] = []

    def section(self, tree: Entries, kind: type[Section]) -> dict[str, Any]:
        keys = keys_of(kind)
        result: dict[str, Any] = {}
        for name, value in tree.values.items():
            key = keys.get(name)
            if key is None:
                self._add(f'unknown key "{name[:60]}"', tree, name, nearest(name, keys))
                continue
            read = self.value(value, key.shape, name)
            if read is not BAD:
                result[name] = read
        for name, key in keys.items():
            if key.required and name not in tree.values:
                self.problems.append(ConfigError(f'"{name}" is missing: {expected(key.shape)}', tree.place))
        return result

    def value(self, tree: Tree, shape: Shape, name: str) -> Any:
        """The plain value, or `BAD` after noting why."""
        try:
            return self._value(tree, shape, name)
        except _Wrong:
            self.problems.append(self._wrong(tree, shape, name))
        except ConfigError as error:
            self.problems.append(error)
        return BAD

    def _value(self, tree: Tree, shape: Shape, name: str) -> Any:
        kind = shape.type
        if isinstance(tree, Leaf) and (tree.value is None or (tree.loose and _null(tree, shape))):
            return _nothing(shape)
        section = section_of(kind)
        if section is not None:
            return self._mapping(tree, shape, section)
        if isinstance(kind, inspect.VarTupleType):
            return self._list(tree, shape_of(kind.item_type), name)
        if isinstance(kind, inspect.DictType):
            return self._dict(tree, shape_of(kind.value_type))
        if isinstance(kind, inspect.AnyType):
            return plain(tree)
        if not isinstance(tree, Leaf):
            raise _Wrong
        return _scalar(tree, shape)

    def _mapping(self, tree: Tree, shape: Shape, section: type[Section]) -> dict[str, Any]:
        short = shape.extra.get("shorthand")
        if short and isinstance(tree, Leaf) and isinstance(tree.value, str):
            tree = Entries({short: tree}, tree.place, {short: tree.place})
        tree = _parsed(tree)
        if not isinstance(tree, Entries):
            raise _Wrong
        return self.section(tree, section)

    def _list(self, tree: Tree, item: Shape, name: str) -> list[Any]:
        if isinstance(tree, Leaf) and tree.loose and not tree.text.lstrip().startswith("["):
            parts = [part.strip() for part in tree.text.split(",")]
            tree = from_value([part for part in parts if part], tree.place)
        tree = _parsed(tree)
        if not isinstance(tree, Items):
            raise _Wrong
        read = [self.value(each, item, f"{name}[{index}]") for index, each in enumerate(tree.items)]
        return [each for each in read if each is not BAD]

    def _dict(self, tree: Tree, value: Shape) -> dict[str, Any]:
        tree = _parsed(tree)
        if not isinstance(tree, Entries):
            raise _Wrong
        read = {name: self.value(each, value, name) for name, each in tree.values.items()}
        return {name: each for name, each in read.items() if each is not BAD}

    def _add(self, message: str, tree: Entries, name: str, suggestion: str | None) -> None:
        self.problems.append(ConfigError(message, tree.keys.get(name, tree.place), suggestion))

    def _wrong(self, tree: Tree, shape: Shape, name: str) -> ConfigError:
        hint = None
        quotes = ""
        if isinstance(tree, Leaf) and isinstance(shape.type, inspect.LiteralType):
            hint = nearest(tree.text, (str(value) for value in shape.type.values))
        if isinstance(tree, Leaf) and isinstance(shape.type, inspect.StrType) and not isinstance(tree.value, str):
            quotes = " (put it in quotes)"
        return ConfigError(f'"{name}" must be {expected(shape)}; found {_found(tree)}{quotes}', tree.place, hint)


def _found(tree: Tree) -> str:
    if isinstance(tree, Entries):
        return "a mapping"
    if isinstance(tree, Items):
        return "a list"
    words: dict[type, str] = {bool: "a true/false value", int: "an integer", float: "a number", str: "text"}
    return words.get(type(tree.value), "nothing")


def _null(leaf: Leaf, shape: Shape) -> bool:
    return shape.optional and leaf.text.strip().lower() in ("null", "~")


def _nothing(shape: Shape) -> Any:
    """What an empty value means: null where that is allowed, empty for lists and mappings."""
    if shape.optional:
        return None
    if isinstance(shape.type, inspect.VarTupleType):
        return []
    if isinstance(shape.type, inspect.AnyType):
        return None
    if isinstance(shape.type, (inspect.DictType, inspect.StructType)):
        return {}
    raise _Wrong


def _parsed(tree: Tree) -> Tree:
    """Text from the environment that stands for a list or mapping is YAML itself."""
    if isinstance(tree, Leaf) and tree.loose:
        return read_yaml(tree.text, tree.place.source)
    return tree


def plain(tree: Tree) -> Any:
    """The values of a tree without their places."""
    if isinstance(tree, Entries):
        return {name: plain(value) for name, value in tree.values.items()}
    if isinstance(tree, Items):
        return [plain(value) for value in tree.items]
    return tree.value


def _scalar(leaf: Leaf, shape: Shape) -> Any:
    if shape.extra.get("unit") == "size":
        return _in_bounds(_size(leaf), shape)
    if leaf.text.strip() in (words := shape.extra.get("words", {})):
        return words[leaf.text.strip()]
    read = _SCALARS.get(type(shape.type))
    if read is None:
        raise _Wrong
    return read(leaf, shape)


def _text(leaf: Leaf, shape: Shape) -> str:
    kind = shape.type
    if not isinstance(leaf.value, str):
        raise _Wrong
    if isinstance(kind, inspect.StrType) and kind.pattern and not re.search(kind.pattern, leaf.value):
        raise _Wrong
    return leaf.value


def _literal(leaf: Leaf, shape: Shape) -> str:
    assert isinstance(shape.type, inspect.LiteralType)
    if leaf.value not in shape.type.values:
        raise _Wrong
    return str(leaf.value)


def _bool(leaf: Leaf, shape: Shape) -> bool:
    if isinstance(leaf.value, bool):
        return leaf.value
    word = leaf.text.strip().lower()
    if not leaf.loose or word not in _TRUE | _FALSE:
        raise _Wrong
    return word in _TRUE


def _int(leaf: Leaf, shape: Shape) -> int:
    if isinstance(leaf.value, int) and not isinstance(leaf.value, bool):
        return _in_bounds(leaf.value, shape)
    if not leaf.loose or not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", leaf.text):
        raise _Wrong
    return _in_bounds(int(leaf.text), shape)


def _float(leaf: Leaf, shape: Shape) -> float:
    if isinstance(leaf.value, (int, float)) and not isinstance(leaf.value, bool):
        return _in_bounds(_finite(leaf.value), shape)
    if not leaf.loose:
        raise _Wrong
    return _in_bounds(_finite(leaf.text), shape)


def _finite(value: int | float | str) -> float:
    try:
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise _Wrong from error
    if not math.isfinite(number):
        raise _Wrong
    return number


def _decimal(leaf: Leaf, shape: Shape) -> Decimal:
    if isinstance(leaf.value, bool):
        raise _Wrong
    try:
        number = Decimal(leaf.text.strip())
    except InvalidOperation as error:
        raise _Wrong from error
    if not number.is_finite() or number < 0:
        raise _Wrong
    return number


def _size(leaf: Leaf) -> int:
    if isinstance(leaf.value, int) and not isinstance(leaf.value, bool):
        return leaf.value
    match = _SIZE.fullmatch(leaf.text)
    units = {name.lower(): size for name, size in UNITS.items()}
    if match is None or match[2].lower() not in units:
        raise _Wrong
    return int(Decimal(match[1]) * units[match[2].lower()])


def _in_bounds(number: _Number, shape: Shape) -> _Number:
    kind = shape.type
    assert isinstance(kind, (inspect.IntType, inspect.FloatType))
    below = (kind.ge is not None and number < kind.ge) or (kind.gt is not None and number <= kind.gt)
    if below or (kind.le is not None and number > kind.le):
        raise _Wrong
    return number


_SCALARS: dict[type[inspect.Type], Callable[[Leaf, Shape], Any]] = {
    inspect.StrType: _text,
    inspect.LiteralType: _literal,
    inspect.BoolType: _bool,
    inspect.IntType: _int,
    inspect.FloatType: _float,
    inspect.DecimalType: _decimal,
}
