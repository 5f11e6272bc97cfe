"""JavaScript's openai, @google/genai and ollama, asked like the Python SDKs: the same methods, the same attributes.

What only one of both languages has a word for (`to_dict`, `with`) is taken without effect.
"""

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from tests.clients.javascript import NodeClients

SCRIPT = "raw-sdks"


class Found:
    """An object that JavaScript gave back; what it does not have is None."""

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value

    def __getattr__(self, name: str) -> Any:
        value = self._value.get(name, self._value.get(camel(name)))
        if name == "output_text" and value is None:
            parts = [part for item in self._value.get("output", ()) for part in item.get("content") or ()]
            return "".join(part.get("text", "") for part in parts)
        return wrapped(value)

    def to_dict(self, **_: Any) -> dict[str, Any]:
        return self._value


class Events(list[Any]):
    """A stream that has been read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass


def wrapped(value: Any) -> Any:
    match value:
        case dict():
            return Found(value)
        case list():
            return Events(wrapped(each) for each in value)
        case _:
            return value


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class Sdk:
    """One of the SDKs, or a part of it: `Sdk(nodes, "openai").responses.create(model=...)`."""

    def __init__(self, nodes: NodeClients, path: str) -> None:
        self._nodes = nodes
        self._path = path

    def __getattr__(self, name: str) -> "Sdk":
        return Sdk(self._nodes, f"{self._path}.{camel(name)}")

    def __call__(self, *args: Any, **body: Any) -> Any:
        given = [*args, *([body] if body else [])]
        number = self._nodes.begin(op="call", client=SCRIPT, model=self._path, ask=given)
        return wrapped(self._nodes.next(number)["answer"])

    @contextlib.contextmanager
    def connect(self) -> Iterator["Socket"]:
        """A websocket of the Responses API."""
        number = self._nodes.begin(op="pieces", client=SCRIPT, model="", ask=None)
        try:
            self._nodes.next(number)
            yield Socket(self._nodes, number)
        finally:
            self._nodes.leave(number)

    def close(self) -> None:
        """Nothing: the process is shared."""


class Socket:
    """The open websocket."""

    def __init__(self, nodes: NodeClients, number: int) -> None:
        self._nodes = nodes
        self._number = number

    @property
    def response(self) -> "Socket":
        return self

    def create(self, **fields: Any) -> None:
        self._send("response.create", fields)

    def steer(self, **fields: Any) -> None:
        self._send("response.steer", fields)

    def _send(self, kind: str, fields: dict[str, Any]) -> None:
        self._nodes.begin(op="send", client=SCRIPT, model="", ask={"type": kind, **fields})

    def recv(self) -> Any:
        return wrapped(self._nodes.next(self._number)["piece"])
