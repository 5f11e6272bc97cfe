"""Changes to the settings files of other programs, as text in and text out.

Rule: what nobody asked to change keeps its place, its order and its comments. A file that cannot be read is refused,
and so is a change after which the file would not say exactly what it said and what was asked for.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llm_mux.cli.tools import jsonc

Edit = Callable[[str], str]
Path = tuple[str, ...]


class Unreadable(ValueError):
    """The file is not what its name says, or is written in a way that cannot be changed safely; says why."""


def json_values(values: Mapping[Path, Any]) -> Edit:
    """Sets values in a JSON object, comments and all; a key is the names on the way to the value."""

    def edit(text: str) -> str:
        try:
            made = text
            for path, value in values.items():
                made = jsonc.put(made, path, value)
            before, after = jsonc.read(text), jsonc.read(made)
        except jsonc.NotJson as error:
            raise Unreadable(f"it cannot be read as JSON ({error})") from error
        _hold(_with(before, values), after)
        return made

    return edit


def _with(data: Any, values: Mapping[Path, Any]) -> Any:
    """`data` as it has to be afterwards."""
    wanted = copy.deepcopy(data)
    for path, value in values.items():
        place = wanted
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
    return wanted


def _hold(wanted: Any, after: Any) -> None:
    if wanted != after:
        raise Unreadable("it is written in a way that a program cannot change safely")


def toml_values(values: Mapping[str, str | int], tables: Mapping[Path, Mapping[str, str]] | None = None) -> Edit:
    """Sets values at the top of a TOML file, and whole tables of strings; the rest stays as it is written."""

    def edit(text: str) -> str:
        before = _toml(text)
        lines = text.splitlines()
        end = next((n for n, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
        head, rest = lines[:end], lines[end:]
        for name, value in values.items():
            head = _with_line(head, re.compile(rf"{re.escape(name)}\s*="), f"{name} = {json.dumps(value)}")
        for path, table in (tables or {}).items():
            rest = _with_table(rest, path, table)
        if rest and head and head[-1].strip():
            head.append("")
        made = "\n".join([*head, *rest]).strip("\n") + "\n"
        wanted: dict[Path, Any] = {(name,): value for name, value in values.items()}
        _hold(_with(before, {**wanted, **{path: dict(table) for path, table in (tables or {}).items()}}), _toml(made))
        return made

    return edit


def _with_table(lines: list[str], path: Path, table: Mapping[str, str]) -> list[str]:
    """`lines` with this table in place of the one of its name, or at their end."""
    head = f"[{'.'.join(path)}]"
    block = [head, *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
    start = next((n for n, line in enumerate(lines) if line.strip() == head), None)
    if start is None:
        return [*lines, *([""] if lines and lines[-1].strip() else []), *block]
    end = next((n for n in range(start + 1, len(lines)) if lines[n].lstrip().startswith("[")), len(lines))
    return [*lines[:start], *block, *([""] if end < len(lines) else []), *lines[end:]]


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(f"it is not TOML ({error})") from error


def yaml_values(values: Mapping[str, str]) -> Edit:
    """Sets top-level strings of a YAML file, line by line."""

    def edit(text: str) -> str:
        before = _yaml(text)
        lines = text.splitlines()
        for name, value in values.items():
            lines = _with_line(lines, re.compile(rf"{re.escape(name)}\s*:"), f"{name}: {json.dumps(value)}")
        made = "\n".join(lines) + "\n"
        _hold(_with(before, {(name,): value for name, value in values.items()}), _yaml(made))
        return made

    return edit


def yaml_item(key: str, item: Mapping[str, str], *, empty: str) -> Edit:
    """Puts a mapping of strings first in the list under a top-level key, in place of one of the same `name`. `empty`
    is what a new file begins with."""

    def edit(text: str) -> str:
        text = text if text.strip() else f"{empty}{key}: []\n"
        before = _yaml(text)
        listed = before.get(key) or []
        if not isinstance(listed, list):
            raise Unreadable(f"`{key}` is no list there")
        others = [each for each in listed if not (isinstance(each, dict) and each.get("name") == item["name"])]
        made = _with_item(text.splitlines(), key, item, replace=len(others) < len(listed))
        wanted = [dict(item), *others]
        if isinstance(after := _yaml(made).get(key), list):
            _hold(sorted(wanted, key=str), sorted(after, key=str))
        _hold({**before, key: None}, {**_yaml(made), key: None})
        return made

    return edit


def _with_item(lines: list[str], key: str, item: Mapping[str, str], *, replace: bool) -> str:
    mark = re.compile(rf"{re.escape(key)}\s*:\s*(\[\s*\]|null|~)?\s*(#.*)?$")
    at = next((n for n, line in enumerate(lines) if mark.match(line)), None)
    if at is None:
        lines, at = [*lines, f"{key}:"], len(lines)
    first = next((line for line in lines[at + 1 :] if line.strip() and not line.lstrip().startswith("#")), "")
    pad = first[: len(first) - len(first.lstrip())] if first.lstrip().startswith("- ") else "  "
    fields = [f"{name}: {json.dumps(value)}" for name, value in item.items()]
    block = [f"{pad}- {fields[0]}", *(f"{pad}  {field}" for field in fields[1:])]
    rest = lines[at + 1 :]
    if replace:
        named = re.compile(rf"{re.escape(pad)}- name:\s*[\"']?{re.escape(item['name'])}[\"']?\s*$")
        start = next((n for n, line in enumerate(rest) if named.match(line)), None)
        if start is None:
            raise Unreadable("it is written in a way that a program cannot change safely")
        inside = f"{pad}  "
        end = next((n for n in range(start + 1, len(rest)) if not rest[n].startswith(inside)), len(rest))
        return "\n".join([*lines[: at + 1], *rest[:start], *block, *rest[end:]]) + "\n"
    return "\n".join([*lines[:at], f"{key}:", *block, *rest]) + "\n"


def _yaml(text: str) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Unreadable(f"it is not YAML ({str(error).splitlines()[0]})") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Unreadable("it is not a YAML mapping")
    return found


def env_values(values: Mapping[str, str]) -> Edit:
    """Sets variables of a `.env` file."""

    def edit(text: str) -> str:
        lines = text.splitlines()
        for name, value in values.items():
            lines = _with_line(lines, re.compile(rf"(?:export\s+)?{re.escape(name)}\s*="), f"{name}={value}")
        return "\n".join(lines) + "\n"

    return edit


def _with_line(lines: Sequence[str], mark: re.Pattern[str], line: str) -> list[str]:
    """`lines` with the one that `mark` matches replaced by `line`, or `line` at their end."""
    for number, each in enumerate(lines):
        if mark.match(each):
            return [*lines[:number], line, *lines[number + 1 :]]
    kept = list(lines)
    while kept and not kept[-1].strip():
        kept.pop()
    return [*kept, line]
