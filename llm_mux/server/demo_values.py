"""Values that follow a JSON schema, for what the demo model says and for the arguments of the tools that it calls.

Rule: required, types, enumerations and bounds are kept; what a property is for is read from its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llm_mux.server.demo_tools import Task

_MOST_DEPTH = 12
_FORMATS = {
    "date": "2026-01-02",
    "time": "12:00:00Z",
    "date-time": "2026-01-02T12:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_WAIT_MS = 10_000


def sample(schema: Any, text: str, task: Task | None = None) -> Any:
    """A value that follows a schema. Strings are `text`, with a task what their names say of it."""
    return _Sampler(schema, text, task).value(schema, "", 0)


class _Sampler:
    def __init__(self, root: Any, text: str, task: Task | None) -> None:
        self._root, self._text, self._task = root, text, task

    def value(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > _MOST_DEPTH:
            return self._text
        schema = self._plain(schema)
        for key in ("const", "default"):
            if key in schema and schema[key] is not None:
                return schema[key]
        if schema.get("enum"):
            return schema["enum"][0]
        kind = schema.get("type")
        kind = next((each for each in kind if each != "null"), "null") if isinstance(kind, list) else kind
        match kind:
            case "array":
                return self._array(schema, name, depth)
            case "object":
                return self._object(schema, depth)
            case "integer" | "number":
                return _number(schema, name, whole=kind == "integer")
            case "boolean":
                return self._task is None
            case "null":
                return None
        return self._object(schema, depth) if "properties" in schema else self._string(schema, name)

    def _plain(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """References followed, the first of several that is not null, all of `allOf` together."""
        for _ in range(_MOST_DEPTH):
            if isinstance(reference := schema.get("$ref"), str):
                schema = self._found(reference)
            elif several := schema.get("anyOf") or schema.get("oneOf"):
                real = [each for each in several if isinstance(each, Mapping) and each.get("type") != "null"]
                schema = {
                    **{k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")},
                    **(real[0] if real else {}),
                }
            elif parts := schema.get("allOf"):
                schema = _together([{k: v for k, v in schema.items() if k != "allOf"}, *parts])
            else:
                break
        return schema

    def _found(self, reference: str) -> Mapping[str, Any]:
        at = self._root
        for step in reference.removeprefix("#/").split("/"):
            at = at.get(step) if isinstance(at, Mapping) else None
        return at if isinstance(at, Mapping) else {}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        names = schema.get("required") or (list(properties) if self._task is None else self._telling(properties))
        return {name: self.value(properties.get(name, {}), name, depth + 1) for name in names}

    def _telling(self, properties: Mapping[str, Any]) -> list[str]:
        """Of properties that may all be left out, those whose name says what they are for."""
        return [name for name in properties if self._said(name) is not None][:1]

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        items = schema.get("items", {})
        if self._task is not None and re.sub(r"[^a-z]", "", name.lower()) in ("command", "cmd"):
            return ["bash", "-lc", self._task.command]
        count = max(1, schema.get("minItems", 1))
        return [self.value(items, name, depth + 1) for _ in range(min(count, 20))]

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        said = self._said(name)
        text = _FORMATS.get(str(schema.get("format")), self._text) if said is None else said
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        text = text.ljust(min(int(least), 10_000), ".")
        return text if most is None else text[: int(most)]

    def _said(self, name: str) -> str | None:
        if self._task is None:
            return None
        task, words = self._task, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        for pattern, told in (
            (r"(^|_)(commands?|cmd|script)", task.command),
            (r"(^|_)(dir|directory|folder|cwd|workdir)|dirpath|dir_path", task.folder),
            (r"path|file(name)?s?$", task.folder if task.kind in ("list", "search") else task.file),
            (r"content|(^|_)text$|(^|_)code$", task.content),
            (r"pattern|glob|regex|query|search", task.pattern or self._text),
            (r"desc|title|reason|explanation|purpose|justification", task.title),
            (r"(^|_)ur[il]s?$", _FORMATS["uri"]),
        ):
            if re.search(pattern, words):
                return told
        return None


def _together(parts: list[Any]) -> Mapping[str, Any]:
    made: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items() if isinstance(part, Mapping) else ():
            if key == "properties":
                made[key] = {**made.get(key, {}), **value}
            elif key == "required":
                made[key] = [*made.get(key, []), *value]
            else:
                made[key] = value
    return made


def _number(schema: Mapping[str, Any], name: str, *, whole: bool) -> float:
    """1 or 1.5, moved between its bounds; of a waiting time enough."""
    value: float = 1 if whole else 1.5
    if re.search(r"timeout|_ms$|yield", name.lower()):
        value = _WAIT_MS
    step = schema.get("multipleOf")
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if least is not None and value <= least:
        value = least if "minimum" in schema else least + 1
    if most is not None and value >= most:
        value = most if "maximum" in schema else most - 1
    if step:
        value = -(-value // step) * step
    return int(value) if whole else value
