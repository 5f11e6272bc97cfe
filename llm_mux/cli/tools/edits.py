"""Changes to the settings files of other programs, as text in and text out.

Rule: what nobody asked to change keeps its place, its order and, where the format has them, its comments. A file that
cannot be read is refused, never written over.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

Edit = Callable[[str], str]


class Unreadable(ValueError):
    """The file is not what its name says; the message says why."""


def json_values(values: Mapping[str, Any]) -> Edit:
    """Sets values in a JSON object; `a.b` names a member of a member. Comments are refused: they would be lost."""

    def edit(text: str) -> str:
        found = _json(text)
        for name, value in values.items():
            at, _, last = name.rpartition(".")
            place = found
            for key in at.split(".") if at else ():
                place = place.setdefault(key, {})
                if not isinstance(place, dict):
                    raise Unreadable(f"`{key}` is no object there")
            place[last] = value
        return json.dumps(found, indent=_indent(text), ensure_ascii=False) + "\n"

    return edit


def _json(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        why = "it has comments" if re.search(r"^\s*//", text, re.MULTILINE) else f"line {error.lineno}: {error.msg}"
        raise Unreadable(f"it is not plain JSON ({why})") from error
    if not isinstance(found, dict):
        raise Unreadable("it is not a JSON object")
    return found


def _indent(text: str) -> int | str:
    found = re.search(r'^([ \t]+)"', text, re.MULTILINE)
    if found is None:
        return 2
    return found[1] if "\t" in found[1] else len(found[1])


def toml_values(values: Mapping[str, str]) -> Edit:
    """Sets strings at the top of a TOML file, before its first table; everything else stays as it is written."""

    def edit(text: str) -> str:
        _toml(text)
        lines = text.splitlines()
        end = next((n for n, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
        head, rest = lines[:end], lines[end:]
        for name, value in values.items():
            head = _with_line(head, re.compile(rf"{re.escape(name)}\s*="), f"{name} = {json.dumps(value)}")
        if rest and head and head[-1].strip():
            head.append("")
        made = "\n".join([*head, *rest]) + "\n"
        _toml(made)
        return made

    return edit


def _toml(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(f"it is not TOML ({error})") from error


def yaml_values(values: Mapping[str, str]) -> Edit:
    """Sets top-level strings of a YAML file, line by line."""

    def edit(text: str) -> str:
        lines = text.splitlines()
        for name, value in values.items():
            lines = _with_line(lines, re.compile(rf"{re.escape(name)}\s*:"), f"{name}: {json.dumps(value)}")
        return "\n".join(lines) + "\n"

    return edit


def env_values(values: Mapping[str, str]) -> Edit:
    """Sets variables of a `.env` file."""

    def edit(text: str) -> str:
        lines = text.splitlines()
        for name, value in values.items():
            lines = _with_line(lines, re.compile(rf"(?:export\s+)?{re.escape(name)}\s*="), f"{name}={value}")
        return "\n".join(lines) + "\n"

    return edit


def _with_line(lines: list[str], mark: re.Pattern[str], line: str) -> list[str]:
    """`lines` with the one that `mark` matches replaced by `line`, or `line` at their end."""
    for number, each in enumerate(lines):
        if mark.match(each):
            return [*lines[:number], line, *lines[number + 1 :]]
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return [*lines, line]
