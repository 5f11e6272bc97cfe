"""One mapping of a configuration file changed in its text: everything else, comments too, stays as it was written.

Rule: what was written is looked at again before it is handed out. A text that would not say exactly what was wanted
(anchors, odd layouts) is refused, not guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

Value = str | Sequence[str]


class Unedited(Exception):
    """This text cannot be changed in this way; a person has to."""


def with_mapping(text: str, key: str, wanted: Mapping[str, Value]) -> str:
    """`text` with `wanted` under its top-level `key`. Raises Unedited."""
    try:
        before = _loaded(text)
        if before.get(key, {}) == _plain(wanted):
            return text
        if any(isinstance(token, yaml.AnchorToken | yaml.AliasToken) for token in yaml.scan(text)):
            raise Unedited("it uses anchors")
        root = yaml.compose(text, yaml.SafeLoader)
        changed = _changed(text, root, key, wanted)
        after = _loaded(changed)
    except yaml.YAMLError as error:
        raise Unedited("its layout is an unusual one") from error
    if after != {**before, key: _plain(wanted)} and after != {name: before[name] for name in before if name != key}:
        raise Unedited("its layout is an unusual one")
    return changed


def _loaded(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Unedited("it is no mapping")
    return found


def _plain(wanted: Mapping[str, Value]) -> dict[str, Any]:
    return {name: value if isinstance(value, str) else list(value) for name, value in wanted.items()}


def _changed(text: str, root: Any, key: str, wanted: Mapping[str, Value]) -> str:
    pair = None if root is None else next((each for each in root.value if each[0].value == key), None)
    if pair is None:
        if root is not None and root.flow_style:
            raise Unedited("it is written on one line")
        start = text if not text or text.endswith("\n") else text + "\n"
        return f"{start}{key}:\n{_lines(wanted, 2)}"
    name, value = pair
    if isinstance(value, yaml.MappingNode) and not value.flow_style and wanted:
        return _entries(text, value, wanted)
    # What stands there is written on the key's own line, or goes as a whole.
    start = name.end_mark.index + text[name.end_mark.index :].index(":") + 1
    end = max(start, _end(value))
    new = "\n" + _lines(wanted, name.start_mark.column + 2).rstrip("\n") if wanted else " {}"
    return text[:start] + new + text[end:]


def _entries(text: str, mapping: yaml.MappingNode, wanted: Mapping[str, Value]) -> str:
    """A mapping of one entry a line, changed entry by entry, the last one first."""
    there: dict[str, Any] = {}
    before = _loaded_node(mapping)
    column = mapping.value[0][0].start_mark.column
    cuts: list[tuple[int, int, str]] = []
    for name, value in mapping.value:
        there[name.value] = value
        if name.value not in wanted:
            cuts.append((_line_start(text, name.start_mark.index), _line_end(text, _end(value)), ""))
        elif before[name.value] != _plain(wanted)[name.value]:
            start = value.start_mark.index
            new = _written(wanted[name.value])
            if isinstance(value, yaml.SequenceNode) and not value.flow_style:
                indent = " " * value.start_mark.column
                new = f"\n{indent}".join(f"- {_written(each)}" for each in wanted[name.value])
            cuts.append((start, _end(value), new if start > name.end_mark.index + 1 else f" {new}"))
    new_ones = {name: value for name, value in wanted.items() if name not in there}
    if new_ones:
        at = _line_end(text, max(_end(value) for value in there.values()))
        lead = "" if text[:at].endswith("\n") else "\n"
        cuts.append((at, at, lead + _lines(new_ones, column)))
    for start, end, new in sorted(cuts, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _loaded_node(node: yaml.Node) -> dict[str, Any]:
    found: dict[str, Any] = yaml.SafeLoader("").construct_document(node)
    return found


def _end(node: Any) -> int:
    """Where a value ends. A block's own mark is at whatever comes after it, comments too."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    end: int = node.end_mark.index
    return end


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _lines(wanted: Mapping[str, Value], column: int) -> str:
    return "".join(f"{' ' * column}{_written(name)}: {_written(value)}\n" for name, value in wanted.items())


def _written(value: Value) -> str:
    """On one line."""
    plain = value if isinstance(value, str) else list(value)
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=2**30, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
