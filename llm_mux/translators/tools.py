"""Tools for targets that know only functions: names made legal, free-text and namespaced tools wrapped, and back again.

`lower` turns the client's tools into plain function tools and remembers in `Names` how to restore them; `Raiser` and
`raise_parts` restore names, namespaces and free text in what the model answers. The map is a pure function of the
tools and the history, so it is the same on every turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from llm_mux import ir
from llm_mux.translators.ids import digest
from llm_mux.wire import jsonstring, jsonx

_WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
FREE_TEXT = Raw(b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}')


class NameRules(Struct, frozen=True):
    """Which names a format takes. `marks` are the characters allowed beside letters and digits."""

    limit: int = 64
    marks: str = "_-"
    letter_first: bool = False


class Client(Struct, frozen=True):
    """How the client knows a tool."""

    name: str
    namespace: str | None = None
    free_text: bool = False


class Names(Struct, frozen=True):
    """Wire name to the client's tool, and back."""

    to_client: dict[str, Client] = field(default_factory=dict)
    to_wire: dict[tuple[str | None, str], str] = field(default_factory=dict)

    def wire(self, name: str, namespace: str | None = None) -> str:
        """The wire name of a client's tool (also of one that only the history mentions)."""
        return self.to_wire.get((namespace, name)) or self.to_wire.get((None, name), name)

    @property
    def changed(self) -> bool:
        """Whether anything has to be restored in an answer."""
        return any(c.name != w or c.namespace or c.free_text for w, c in self.to_client.items())


@lru_cache(4096)
def legal_name(name: str, rules: NameRules) -> str:
    """`name` with every character the format refuses replaced, cut with a hash when too long."""
    allowed = frozenset(_WORD + rules.marks)
    made = "".join(char if char in allowed else "_" for char in name) or "tool"
    if rules.letter_first and not (made[0].isalpha() or made[0] == "_"):
        made = "_" + made
    return made if len(made) <= rules.limit else f"{made[: rules.limit - 9]}_{digest(name)[:8]}"


Listed = tuple[ir.Tool | ir.HostedTool, ...]
T = TypeVar("T")


class Lists(Generic[T]):
    """What was made of whole lists of tools. An agent's decoder gives the same list with every turn, so it is known by
    its identity; a list that merely looks the same is another one."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, object], tuple[Listed, T]] = {}

    def get(self, tools: Listed, key: object) -> T | None:
        """What was kept of just this list under `key`, which holds all else that it depends on."""
        found = self._kept.get((id(tools), key))
        return found[1] if found is not None and found[0] is tools else None

    def keep(self, tools: Listed, key: object, made: T) -> T:
        """Keeps `made`, which nobody may change from now on."""
        if len(self._kept) >= _MOST_LISTS:
            self._kept.clear()
        self._kept[id(tools), key] = (tools, made)
        return made


_MOST_LISTS = 64


class Reading:
    """How a format's lists of tools are read. An agent sends the same bytes with every turn: the last lists are kept,
    and what was read of one is the same object each time."""

    def __init__(self, read: Callable[[bytes], Listed]) -> None:
        self._read = read
        self._kept: list[tuple[bytes, Listed]] = []

    def __call__(self, raw: Raw | bytes) -> Listed:
        """The tools of a JSON list. Raises what `read` raises."""
        text = bytes(raw)
        for number, (known, listed) in enumerate(self._kept):
            if known == text:
                if number:
                    self._kept.insert(0, self._kept.pop(number))
                return listed
        listed = self._read(text)
        if len(text) <= _LARGEST:
            self._kept = [(text, listed), *self._kept[: _MOST_READ - 1]]
        return listed


_MOST_READ = 16
_LARGEST = 256 << 10


Called: TypeAlias = tuple[str | None, str]


_declared: Lists[Names] = Lists()
_UNDECLARED = Names()


def called(messages: Iterable[ir.Message]) -> frozenset[Called]:
    """The tools that a history calls, each by its namespace and name."""
    return frozenset(
        [
            (part.namespace, part.name)
            for message in messages
            if message.role == "assistant"
            for part in message.parts
            if type(part) is ir.ToolCall
        ]
    )


def names_for(request: ir.Request, rules: NameRules, calls: frozenset[Called] | None = None) -> Names:
    """The name map for every tool that the request declares or its history calls (`calls`, where that is known). It is
    shared: nobody changes it."""
    declared = _declared_in(request.tools, rules)
    known = declared.to_wire
    if calls is not None and calls <= known.keys():
        return declared
    more = [
        Client(part.name, part.namespace, part.custom)
        for message in request.messages
        if message.role == "assistant"
        for part in message.parts
        if type(part) is ir.ToolCall and (part.namespace, part.name) not in known
    ]
    if not more:
        return declared
    names = Names(dict(declared.to_client), dict(known))
    _add(names, more, rules)
    return names


def _declared_in(tools: Listed, rules: NameRules) -> Names:
    if not tools:
        return _UNDECLARED
    found = _declared.get(tools, rules)
    if found is not None:
        return found
    own = [tool for tool in tools if isinstance(tool, ir.Tool)]
    names = Names()
    _add(names, [Client(tool.name, tool.namespace, tool.free_text) for tool in own], rules)
    return _declared.keep(tools, rules, names)


def _add(names: Names, clients: Iterable[Client], rules: NameRules) -> None:
    to_client, to_wire = names.to_client, names.to_wire
    for client in clients:
        full, namespace = client.name, client.namespace
        key = (namespace, full)
        if key in to_wire:
            continue
        if namespace:
            full = f"{namespace}__{full}"
        made = legal_name(full, rules)
        if made in to_client:
            made = f"{made[: rules.limit - 9]}_{digest(full)[:8]}"
        to_client[made] = client
        to_wire[key] = made


def lower(request: ir.Request, names: Names) -> tuple[ir.Tool, ...]:
    """The client's own tools as plain function tools under their wire names (hosted tools are the encoder's matter)."""
    told: set[str] = set()
    known = names.to_wire
    return tuple(
        [
            tool
            if tool.namespace is None and not tool.free_text and known.get((None, tool.name)) == tool.name
            else _plain(_grouped(tool, told), names)
            for tool in request.tools
            if isinstance(tool, ir.Tool)
        ]
    )


def _grouped(tool: ir.Tool, told: set[str]) -> ir.Tool:
    """`tool`, with what its namespace is for if it is the first of it; `told`: the namespaces that were."""
    about = tool.namespace_description
    if not about or tool.namespace is None or tool.namespace in told:
        return tool
    told.add(tool.namespace)
    said = f"{tool.description or ''}\n\nTools whose names begin with `{tool.namespace}__`: {about}".strip()
    return msgspec.structs.replace(tool, description=said)


def _plain(tool: ir.Tool, names: Names) -> ir.Tool:
    wire = names.wire(tool.name, tool.namespace)
    if not tool.free_text:
        if wire == tool.name and tool.namespace is None:
            return tool
        return msgspec.structs.replace(tool, name=wire, namespace=None)
    return msgspec.structs.replace(
        tool,
        name=wire,
        namespace=None,
        free_text=False,
        custom=None,
        schema=FREE_TEXT,
        strict=None,
        description=_free_text_description(tool),
    )


def _free_text_description(tool: ir.Tool) -> str:
    lines = [tool.description or "", "Put the whole free-form input, unescaped, into the string property `input`."]
    if tool.custom is not None:
        form = msgspec.json.decode(tool.custom)
        grammar = form.get("grammar", form) if isinstance(form, dict) else {}
        definition = grammar.get("definition") if isinstance(grammar, dict) else None
        if definition:
            lines.append(f"It must follow this {grammar.get('syntax', 'lark')} grammar:\n{definition}")
    return "\n\n".join(line for line in lines if line)


def lower_call(call: ir.ToolCall, names: Names) -> ir.ToolCall:
    """A call of the history under its wire name, free text wrapped as a JSON object."""
    wire = names.wire(call.name, call.namespace)
    if wire == call.name and call.namespace is None and not call.custom:
        return call
    arguments = msgspec.json.encode({"input": call.arguments}).decode() if call.custom else call.arguments
    return msgspec.structs.replace(call, name=wire, namespace=None, custom=False, arguments=arguments)


def is_cut(part: ir.Part) -> bool:
    """Whether `part` is a call whose arguments stop in the middle, as an answer leaves it that ran out of tokens."""
    if not isinstance(part, ir.ToolCall) or part.custom or not part.arguments:
        return False
    try:
        jsonx.decode(part.arguments.encode("utf-8", "replace"), Raw)
    except jsonx.Malformed:
        return True
    return False


def whole_parts(choice: ir.Choice) -> Sequence[ir.Part]:
    """The parts of a choice without a call that the token limit cut off."""
    if choice.finish.reason not in ("length", "context"):
        return choice.parts
    return [part for part in choice.parts if not is_cut(part)]


def raise_call(call: ir.ToolCall, names: Names) -> ir.ToolCall:
    """A whole answered call as the client knows it. A call that names its namespace was never flattened."""
    client = names.to_client.get(call.name)
    if client is None or call.namespace is not None:
        return call
    arguments = _unwrapped(call.arguments) if client.free_text and not call.custom else call.arguments
    return msgspec.structs.replace(
        call, name=client.name, namespace=client.namespace, custom=call.custom or client.free_text, arguments=arguments
    )


def _unwrapped(arguments: str) -> str:
    field_ = jsonstring.StringField("input")
    text = field_.feed(arguments) + field_.finish()
    return text or ("" if arguments.lstrip().startswith("{") else arguments)


def raise_parts(parts: Sequence[ir.Part], names: Names) -> tuple[ir.Part, ...]:
    """`raise_call` over the parts of a whole answer."""
    return tuple(raise_call(part, names) if isinstance(part, ir.ToolCall) else part for part in parts)


class Raiser:
    """`raise_parts` for a stream: restores names at the start of a call and un-escapes free text as it arrives."""

    __slots__ = ("_changed", "_free", "_names")

    def __init__(self, names: Names) -> None:
        self._names = names
        self._changed = names.changed
        self._free: dict[int, jsonstring.StringField] = {}

    def __call__(self, events: list[ir.Event]) -> list[ir.Event]:
        if not self._changed:
            return events
        return [event if type(event) is ir.TextDelta else self._one(event) for event in events]

    def _one(self, event: ir.Event) -> ir.Event:
        match event:
            case ir.PartStart(part=ir.ToolCall() as call):
                return self._start(event, call)
            case ir.ArgumentsDelta(index=index, text=text) if index in self._free:
                return ir.ArgumentsDelta(index, self._free[index].feed(text))
            case ir.PartEnd(index=index):
                self._free.pop(index, None)
                return event
            case _:
                return event

    def _start(self, event: ir.PartStart, call: ir.ToolCall) -> ir.PartStart:
        client = self._names.to_client.get(call.name)
        if client is not None and client.free_text and not call.custom and call.namespace is None:
            self._free[event.index] = jsonstring.StringField("input")
        first = msgspec.structs.replace(call, arguments="")
        return ir.PartStart(event.index, raise_call(first, self._names), event.choice)
