"""YAML text as a tree in which every value knows its place.

Rule: what is read is bounded (size, depth, expanded aliases) and plain: no tags that construct objects, no duplicate
keys. YAML 1.1 as PyYAML's SafeLoader reads it: https://yaml.org/spec/1.1/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from llm_mux.config.problems import ConfigError, Place

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_VALUES = 50_000

Step: TypeAlias = str | int


class Leaf(Struct, frozen=True):
    """One value. `loose`: it came as text (environment, flag), so the schema decides what it is."""

    value: object
    text: str
    place: Place
    loose: bool = False


class Items(Struct, frozen=True):
    items: tuple[Tree, ...]
    place: Place


class Entries(Struct, frozen=True):
    values: dict[str, Tree]
    place: Place
    keys: dict[str, Place] = field(default_factory=dict)


Tree: TypeAlias = Leaf | Items | Entries


def read_yaml(text: str, source: str) -> Tree:
    """The one document of `text`; an empty one is an empty mapping."""
    if not text:
        return Entries({}, Place(source, 1, 1))
    import yaml

    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ConfigError(f"the file is larger than {MAX_BYTES} bytes; split or shorten it", Place(source))
    kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = kind(text)
    try:
        _measure(kind(text), source)
        node = loader.get_single_node()
        if node is None:
            return Entries({}, Place(source, 1, 1))
        return _Reader(loader, source).tree(node, 0)
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, source) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"not readable as YAML: {_first_line(error)}", Place(source)) from error
    finally:
        loader.dispose()


def _measure(loader: Any, source: str) -> None:
    """Refuse deep nesting before nodes are composed: libyaml composes recursively and would overflow the stack."""
    import yaml

    depth = 0
    while loader.check_event():
        event = loader.get_event()
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            mark = event.start_mark
            place = Place(source, mark.line + 1, mark.column + 1)
            raise ConfigError(f"nested deeper than {MAX_DEPTH} levels", place)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _syntax(error: yaml.MarkedYAMLError, source: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    place = Place(source) if mark is None else Place(source, mark.line + 1, mark.column + 1)
    context = f" {error.context}" if error.context else ""
    return ConfigError(f"not valid YAML: {error.problem or 'unreadable'}{context}", place)


class _Reader:
    """Turns composed nodes into a tree; counts what it visits, since an alias is visited each time it is used."""

    def __init__(self, loader: Any, source: str) -> None:
        self._loader = loader
        self._source = source
        self._visited = 0

    def tree(self, node: yaml.Node, depth: int) -> Tree:
        import yaml

        place = self._place(node)
        self._visited += 1
        if self._visited > MAX_VALUES:
            raise ConfigError(f"more than {MAX_VALUES} values after aliases are expanded; use fewer", place)
        if depth > MAX_DEPTH:
            raise ConfigError(f"nested deeper than {MAX_DEPTH} levels, or an alias that contains itself", place)
        if isinstance(node, yaml.ScalarNode):
            return self._leaf(node, place)
        if isinstance(node, yaml.SequenceNode):
            return Items(tuple(self.tree(item, depth + 1) for item in node.value), place)
        assert isinstance(node, yaml.MappingNode)
        return self._entries(node, place, depth)

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._source, node.start_mark.line + 1, node.start_mark.column + 1)

    def _leaf(self, node: yaml.ScalarNode, place: Place) -> Leaf:
        if node.tag == "!PASSTHRU" and not node.value:
            return Leaf("!PASSTHRU", "!PASSTHRU", place)
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind in ("str", "timestamp", "value"):
            return Leaf(node.value, node.value, place)
        if kind not in ("null", "bool", "int", "float"):
            raise ConfigError(f"the tag {node.tag[:40]} is not known here; put the text in quotes", place)
        try:
            return Leaf(self._loader.construct_object(node), node.value, place)
        except (ValueError, KeyError) as error:
            raise ConfigError(f"not a valid {kind}; put the text in quotes", place) from error

    def _entries(self, node: yaml.MappingNode, place: Place, depth: int) -> Entries:
        values: dict[str, Tree] = {}
        keys: dict[str, Place] = {}
        merged: list[Entries] = []
        for key_node, value_node in node.value:
            value = self.tree(value_node, depth + 1)
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged.extend(_merge_sources(value))
                continue
            key, key_place = self._key(key_node)
            if key in keys:
                raise ConfigError(f'"{key}" is already set in line {keys[key].line}; keep one of the two', key_place)
            values[key], keys[key] = value, key_place
        for base in merged:
            values = base.values | values
            keys = base.keys | keys
        return Entries(values, place, keys)

    def _key(self, node: yaml.Node) -> tuple[str, Place]:
        import yaml

        if not isinstance(node, yaml.ScalarNode):
            raise ConfigError("a key must be plain text", self._place(node))
        return node.value, self._place(node)


def _merge_sources(value: Tree) -> Sequence[Entries]:
    candidates: Iterable[Tree] = value.items if isinstance(value, Items) else (value,)
    found = []
    for candidate in candidates:
        if not isinstance(candidate, Entries):
            raise ConfigError("<< takes a mapping or a list of mappings", candidate.place)
        found.append(candidate)
    return found


def from_value(value: object, place: Place) -> Tree:
    """A Python value as a tree; text is loose, since flags and the environment know only text."""
    if isinstance(value, Mapping):
        entries = {str(key): from_value(item, place) for key, item in value.items()}
        return Entries(entries, place, dict.fromkeys(entries, place))
    if isinstance(value, (list, tuple)):
        return Items(tuple(from_value(item, place) for item in value), place)
    return Leaf(value, str(value), place, loose=isinstance(value, str))


def put(tree: Entries, path: Sequence[str], value: Tree) -> Entries:
    """The tree with the value at `path` replaced; mappings on the way are made where they are missing."""
    head, rest = path[0], path[1:]
    if rest:
        below = tree.values.get(head)
        if isinstance(below, Leaf) and below.loose:
            below = read_yaml(below.text, below.place.source)
        value = put(below if isinstance(below, Entries) else Entries({}, value.place), rest, value)
    keys = tree.keys | {head: value.place}
    return replace(tree, values=tree.values | {head: value}, keys=keys)


def at(tree: Tree, path: Sequence[Step]) -> Tree | None:
    """The subtree at `path`, if there is one."""
    for step in path:
        if isinstance(tree, Entries) and isinstance(step, str):
            found = tree.values.get(step)
        elif isinstance(tree, Items) and isinstance(step, int) and step < len(tree.items):
            found = tree.items[step]
        else:
            return None
        if found is None:
            return None
        tree = found
    return tree


def place_of(tree: Tree, path: Sequence[Step]) -> Place:
    """Where `path` was written: the key's place for what is not a value in a list, else the nearest parent's."""
    for end in range(len(path), 0, -1):
        parent, step = at(tree, path[: end - 1]), path[end - 1]
        if isinstance(parent, Entries) and isinstance(step, str) and step in parent.values:
            return parent.values[step].place
        if isinstance(parent, Items) and isinstance(step, int) and step < len(parent.items):
            return parent.items[step].place
    return tree.place
