"""What OpenAI's model families take, and the model list.

Rule: facts that depend on a model's name live here and nowhere else; unknown names get the most permissive facts,
because other vendors' models are served through this format too. Spec: translation matrix, sections 4, 7 and 8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from msgspec import Struct

from llm_mux.errors import MuxError
from llm_mux.ir import EFFORTS
from llm_mux.translators.base import ModelInfo, nonsense
from llm_mux.wire import jsonx

_GPT = re.compile(r"gpt-(\d+)(?:\.(\d+))?")
_O_SERIES = re.compile(r"o\d(?:$|-)")


@dataclass(frozen=True, slots=True)
class Facts:
    """`efforts`: the words it takes, empty when it does not reason. `samples`: it takes temperature and top_p.

    `breakpoints`: parts may carry explicit cache marks.
    """

    efforts: tuple[str, ...] = EFFORTS
    samples: bool = True
    breakpoints: bool = False


_OLD = Facts(efforts=())
_O = Facts(efforts=("low", "medium", "high"), samples=False)


def facts(model: str) -> Facts:
    """The facts of the family that the last segment of `model` names."""
    name = model.rsplit("/", 1)[-1].lower()
    if _O_SERIES.match(name):
        return _O
    found = _GPT.search(name)
    if found is None or "oss" in name:
        return Facts()
    version = (int(found[1]), int(found[2] or 0))
    if version < (5, 0) or "chat" in name:
        return _OLD
    return Facts(efforts=_efforts(version, name), samples=False, breakpoints=version >= (5, 6))


def _efforts(version: tuple[int, int], name: str) -> tuple[str, ...]:
    if version < (5, 1):
        return ("low", "medium", "high") if "codex" in name else ("minimal", "low", "medium", "high")
    if version < (5, 2):
        return ("low", "medium", "high", "xhigh") if "codex" in name else ("none", "low", "medium", "high")
    if version < (5, 6):
        return ("none", "low", "medium", "high", "xhigh")
    return EFFORTS


class _Entry(Struct):
    id: str | None = None
    name: str | None = None
    display_name: str | None = None
    created: float | None = None
    owned_by: str | None = None
    context_window: int | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    description: str | None = None


class _List(Struct):
    data: list[_Entry]


def decode_models(body: bytes) -> list[ModelInfo]:
    """The answer of `GET /models`."""
    try:
        entries = jsonx.decode(body, _List, strict=False).data
    except jsonx.Malformed as error:
        raise _not_a_list(error) from error
    return [_info(entry) for entry in entries if entry.id]


def _not_a_list(error: Exception) -> MuxError:
    return nonsense(f"a model list that cannot be read ({error})")


def _info(entry: _Entry) -> ModelInfo:
    return ModelInfo(
        id=entry.id or "",
        display_name=entry.display_name or entry.name,
        created=int(entry.created) if entry.created else None,
        owned_by=entry.owned_by,
        context=entry.context_window or entry.context_length,
        max_output=entry.max_output_tokens,
        description=entry.description,
    )
