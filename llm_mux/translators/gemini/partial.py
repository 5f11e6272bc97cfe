"""Call arguments that arrive in pieces (Vertex, `streamFunctionCallArguments`): a JSON path and a value at a time.

Rule: pieces of one string are joined; the arguments are given out whole when the last piece has come.
Spec: https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from msgspec import Raw

from llm_mux.translators.base import nonsense
from llm_mux.translators.gemini import wire
from llm_mux.wire import jsonx

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,4})\]|\[['\"]((?:[^'\"\\]|\\.)*)['\"]\]")


class PartialCall:
    """One call whose arguments are being put together."""

    def __init__(self, first: wire.FunctionCall) -> None:
        self._id = first.id
        self._name = first.name
        self._root: dict[str, Any] = {}

    def add(self, call: wire.FunctionCall) -> None:
        self._id = self._id or call.id
        self._name = self._name or call.name
        for piece in call.partialArgs or ():
            self._set(_steps(piece.jsonPath), piece)

    def whole(self) -> wire.FunctionCall:
        return wire.FunctionCall(self._id, self._name, Raw(jsonx.encode(self._root)))

    def _set(self, steps: list[str | int], piece: wire.PartialArg) -> None:
        place: Any = self._root
        for step, following in pairwise(steps):
            place = _entered(place, step, [] if isinstance(following, int) else {})
        last = steps[-1]
        if piece.stringValue is not None:
            before = _entered(place, last, "")
            place[last] = (before if isinstance(before, str) else "") + piece.stringValue
        else:
            _entered(place, last, None)
            place[last] = _value(piece)


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    at = 1
    while path.startswith("$") and at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            break
        steps.append(int(found[2]) if found[2] is not None else found[1] or found[3] or "")
        at = found.end()
    if not steps or at < len(path) or isinstance(steps[0], int):
        raise nonsense("a piece of call arguments at a place that cannot be read")
    return steps


def _entered(place: Any, step: str | int, empty: object) -> Any:
    """What is at `step`, made if it is not there yet."""
    if isinstance(step, int):
        if not isinstance(place, list):
            raise nonsense("pieces of call arguments that do not fit together")
        while len(place) <= step:
            place.append(None)
        if place[step] is None:
            place[step] = empty
        return place[step]
    if not isinstance(place, dict):
        raise nonsense("pieces of call arguments that do not fit together")
    return place.setdefault(step, empty)


def _value(piece: wire.PartialArg) -> object:
    if isinstance(piece.numberValue, Raw):
        return piece.numberValue
    return piece.boolValue
