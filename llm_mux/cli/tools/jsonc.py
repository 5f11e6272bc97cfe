"""JSON with comments and trailing commas, as editors keep it: values set in the text, everything else left as written.

Rule: comments are blanked out for reading only, so that every position in what is read is one in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)
_DECODER = json.JSONDecoder()


class NotJson(ValueError):
    """The text is no JSON object; the message says where and why."""


class _Object(Struct, frozen=True):
    """Where an object is: from its brace to its closing one, and of each member, by name, where it and its value begin
    and where both end."""

    start: int
    end: int
    members: Mapping[str, tuple[int, int, int]]


def read(text: str) -> dict[str, Any]:
    """The object that the text holds; nothing at all is an empty one."""
    if not text.strip():
        return {}
    try:
        found = json.loads(_strict(_without_comments(text)))
    except json.JSONDecodeError as error:
        raise NotJson(f"line {error.lineno}: {error.msg}") from error
    if not isinstance(found, dict):
        raise NotJson("it is not a JSON object")
    return found


def put(text: str, path: Sequence[str], value: Any) -> str:
    """`text` with `value` under the names of `path`; objects on the way that are missing are made."""
    read(text)
    text = text if text.strip() else "{}\n"
    unit, plain = _indent(text), _strict(_without_comments(text))
    place = _object(plain, _skip(plain, 0))
    for depth, name in enumerate(path):
        span = place.members.get(name)
        if span is None:
            for below in reversed(path[depth + 1 :]):
                value = {below: value}
            return _inserted(text, place, name, value, unit)
        if depth == len(path) - 1:
            return text[: span[1]] + _written(value, unit, _lead(text, span[1])) + text[span[2] :]
        if plain[span[1]] != "{":
            raise NotJson(f"`{name}` is no object there")
        place = _object(plain, span[1])
    return text


def drop(text: str, path: Sequence[str]) -> str:
    """`text` without the member that `path` leads to; it has to be there."""
    plain = _strict(_without_comments(text))
    place = _object(plain, _skip(plain, 0))
    for name in path[:-1]:
        place = _object(plain, place.members[name][1])
    begins, _, ends = place.members[path[-1]]
    names = list(place.members)
    number = names.index(path[-1])
    if number + 1 < len(names):
        return text[:begins] + text[place.members[names[number + 1]][0] :]
    if number:
        return text[: place.members[names[number - 1]][2]] + text[ends:]
    return text[: place.start + 1] + text[place.end :]


def _without_comments(text: str) -> str:
    return _TOKEN.sub(lambda m: m[0] if m[0].startswith('"') else re.sub(r"[^\n]", " ", m[0]), text)


def _strict(text: str) -> str:
    return _STRING_OR_COMMA.sub(lambda m: m[0] if m[0].startswith('"') else " ", text)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _object(plain: str, start: int) -> _Object:
    members: dict[str, tuple[int, int, int]] = {}
    at = _skip(plain, start + 1)
    while plain[at] != "}":
        named = at
        name, at = _DECODER.raw_decode(plain, at)
        begin = _skip(plain, _skip(plain, at) + 1)
        _, end = _DECODER.raw_decode(plain, begin)
        members[name] = (named, begin, end)
        at = _skip(plain, end)
        if plain[at] == ",":
            at = _skip(plain, at + 1)
    return _Object(start, at, members)


def _inserted(text: str, place: _Object, name: str, value: Any, unit: str) -> str:
    """A new last member on lines of its own, behind what comments follow the one before."""
    outer = _lead(text, place.start)
    inner = outer + unit
    member = f"{inner}{json.dumps(name, ensure_ascii=False)}: {_written(value, unit, inner)}"
    head, tail = text[: place.end], text[place.end :]
    if place.members:
        last = max(end for _, _, end in place.members.values())
        behind = _without_comments(text)[last : place.end]
        if "," not in behind:
            head = f"{text[:last]},{text[last : place.end]}"
    return f"{head.rstrip()}\n{member}\n{outer}{tail}"


def _written(value: Any, unit: str, lead: str) -> str:
    return json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", f"\n{lead}")


def _lead(text: str, at: int) -> str:
    """What the line that holds `at` begins with."""
    line = text[text.rfind("\n", 0, at) + 1 :]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _indent(text: str) -> str:
    found = re.search(r'^([ \t]+)"', text, re.MULTILINE)
    return "  " if found is None else found[1]
