"""Request bodies made from the types of an official SDK: for every field of every type one body that has it, and the
same body without it.

Rule: a field is tried once for each type that has it, inside of tool results once more. A value is the least that its
type allows; `given` says what stands where the types say too little (an id, a URL, base64).
"""

from __future__ import annotations

import collections.abc
import enum
import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin

import pydantic
import typing_extensions

_MARKS = (typing_extensions.Required, typing_extensions.NotRequired, typing.Required, typing.NotRequired)
_NEEDED = (typing_extensions.Required, typing.Required)
_FREE = {"key": "value"}
_PLAIN: dict[object, object] = {str: "word", bool: True, int: 7, float: 0.5, bytes: "aGk="}


@dataclass(frozen=True, slots=True)
class Sample:
    """A value, and what is left of it without the thing that `path` names (None: nothing is)."""

    path: str
    value: Any
    without: Any = None


@dataclass(slots=True)
class Maker:
    """Samples of types. `given` by field name: values, or a function of the path; `least` by class: fields that it
    cannot be without; `either`: fields of which only one can be there; `camel`: fields are written in camelCase."""

    given: Mapping[str, object]
    least: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    either: Sequence[frozenset[str]] = ()
    camel: bool = False
    _open: list[object] = field(default_factory=list)
    _tried: set[tuple[object, str, bool]] = field(default_factory=set)

    def samples(self, type_: Any, name: str = "", path: str = "") -> list[Sample]:
        kind = _bare(type_)
        known = self.given.get(name)
        if callable(known):
            known = known(path)
        if known is not None:
            return [Sample(path, known)]
        origin = get_origin(kind)
        if origin in (Union, types.UnionType):
            return [one for member in get_args(kind) for one in self.samples(member, name, path + _tag(member))]
        if origin is Literal:
            return [Sample(f"{path}={word}", word) for word in get_args(kind)]
        if inspect.isclass(kind) and issubclass(kind, enum.Enum):
            words = [word.value for word in kind if "UNSPECIFIED" not in word.value]
            return [Sample(f"{path}={word}", word) for word in words]
        if origin is not None:
            return self._inside(kind, origin, name, path)
        if _is_struct(kind):
            return self._struct(kind, path)
        return [Sample(path, _PLAIN.get(kind, _FREE))] if kind is not type(None) else []

    def _inside(self, kind: Any, origin: Any, name: str, path: str) -> list[Sample]:
        """Values of a list or a mapping."""
        inner = get_args(kind)
        if inspect.isclass(origin) and issubclass(origin, collections.abc.Mapping):
            plain = len(inner) < 2 or inner[1] in (object, Any)
            found = [Sample(path, "value")] if plain else self.samples(inner[1], name, path)
            return [Sample(one.path, {"key": one.value}) for one in found]
        found = self.samples(inner[0], name, path + "[]")
        return [Sample(one.path, [one.value], [one.without] if one.without is not None else []) for one in found]

    def _struct(self, kind: Any, path: str) -> list[Sample]:
        if kind in self._open:
            return []
        self._open.append(kind)
        try:
            return list(self._fields(kind, path))
        finally:
            self._open.pop()

    def _fields(self, kind: Any, path: str) -> Iterator[Sample]:
        """The least value of a struct, then one with each other field and with each other value of the needed ones."""
        least = dict(self.least.get(kind.__name__, {}))
        within = any(word in path for word in ("tool_result", "_output", "functionResponse"))
        more: list[tuple[str, bool, list[Sample]]] = []
        for name, type_, needed in sorted(_fields_of(kind, camel=self.camel), key=_late):
            again = (kind, name, within) in self._tried
            self._tried.add((kind, name, within))
            found = self.samples(type_, name, f"{path}.{name}".lstrip(".")) if needed or not again else []
            if needed and not found:
                return
            if needed and name not in least:
                least[name] = found[0].value
            if not again:
                more.append((name, needed or name in least, found[1:] if needed else found))
        yield Sample(path, least)
        for name, needed, found in more:
            for one in found:
                rivals = next((names for names in self.either if name in names), frozenset())
                alone = {key: value for key, value in least.items() if key not in rivals}
                without = {key: value for key, value in least.items() if key != name or rivals}
                if one.without is not None:
                    without[name] = one.without
                nothing = (needed and one.without is None) or without == {**alone, name: one.value}
                yield Sample(one.path, {**alone, name: one.value}, None if nothing else without)


def _late(found: tuple[str, Any, bool]) -> int:
    """Conversations after what is shorter, so that a type is tried in its plainest place, and what repeats their types
    after them."""
    return _LATE.index(found[0]) + 1 if found[0] in _LATE else 0


_LATE = ("messages", "input", "contents", "prompt", "system", "systemInstruction", "instructions")


def _bare(type_: Any) -> Any:
    """The type without what is only said of it."""
    while get_origin(type_) in _MARKS or get_origin(type_) is typing.Annotated:
        type_ = get_args(type_)[0]
    return type_


def _is_struct(kind: Any) -> bool:
    return typing_extensions.is_typeddict(kind) or (inspect.isclass(kind) and issubclass(kind, pydantic.BaseModel))


def _fields_of(kind: Any, *, camel: bool) -> Iterator[tuple[str, Any, bool]]:
    """Name on the wire, type, and whether the field has to be there."""
    if typing_extensions.is_typeddict(kind):
        for name, hint in typing_extensions.get_type_hints(kind, include_extras=True).items():
            marked = get_origin(hint) in _MARKS
            yield name, hint, get_origin(hint) in _NEEDED if marked else name in kind.__required_keys__
        return
    for name, found in kind.model_fields.items():
        yield found.alias or (_camel(name) if camel else name), found.annotation, found.is_required()


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def _tag(member: Any) -> str:
    """What tells a member of a union from the others: the word in its `type` or `role`, else its name."""
    kind = _bare(member)
    if not _is_struct(kind):
        return ""
    for name, type_, _ in _fields_of(kind, camel=False):
        words = _words(type_) if name in ("type", "role") else ()
        if words:
            return f"<{words[0]}>"
    return f"<{kind.__name__}>"


def _words(type_: Any) -> Sequence[str]:
    kind = _bare(type_)
    if get_origin(kind) is Literal:
        return tuple(map(str, get_args(kind)))
    return next((words for member in get_args(kind) if (words := _words(member))), ())
