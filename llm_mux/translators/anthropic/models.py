"""What the model families take, and the provider's model list.

Rule: what the provider's list says about a model wins over this table; a Claude that the table does not know is treated
like the newest ones, and another vendor's model behind this format like the format before its model rules.
Spec: the Messages API page, sections 1, 5 and 9.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators.base import ModelInfo, nonsense
from llm_mux.wire import jsonx

Sampling = Literal["all", "one", "none"]

_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
_DEFAULT_OUTPUT: Final = 8192


class Facts(Struct, frozen=True):
    """What one model takes.

    `thinking`: values of `thinking.type`. `thinks`: it thinks when the field is left out. `efforts`: words of
    `output_config.effort`. `sampling` "one": temperature or top_p, not both. `forced`: `tool_choice` any and tool.
    `prefix_check`: thinking blocks are bound to the exact conversation before them. `max_output`: tokens, None unknown.
    """

    thinking: frozenset[str] = frozenset({"enabled", "disabled"})
    thinks: bool = False
    efforts: frozenset[str] = frozenset()
    sampling: Sampling = "all"
    forced: bool = True
    prefill: bool = True
    system_in_messages: bool = False
    structured: bool = False
    prefix_check: bool = False
    max_output: int | None = None

    @property
    def default_output(self) -> int:
        """`max_tokens` for a client that named none."""
        return self.max_output or _DEFAULT_OUTPUT


def facts(model: str, capabilities: Collection[str] = ()) -> Facts:
    """The facts for a model id in any vendor's spelling; `capabilities` are words of `decode_models`."""
    return _corrected(_family_facts(model), frozenset(capabilities))


def _corrected(known: Facts, capabilities: frozenset[str]) -> Facts:
    types = frozenset(word.removeprefix("thinking.") for word in capabilities if word.startswith("thinking."))
    if not types:
        return known
    efforts = frozenset(word.removeprefix("effort.") for word in capabilities if word.startswith("effort."))
    return msgspec.structs.replace(
        known, thinking=types, efforts=efforts or known.efforts, structured="structured" in capabilities
    )


@lru_cache(maxsize=512)
def _family_facts(model: str) -> Facts:
    if ir.family(model) != "claude":
        return Facts()
    line, version = _line(model.lower())
    if version < (4, 6):
        return _up_to_4_5(line, version)
    if version < (4, 7):
        return Facts(
            thinking=frozenset({"enabled", "adaptive", "disabled"}),
            efforts=_EFFORTS - {"xhigh"},
            sampling="one",
            prefill=False,
            structured=True,
            max_output=128000 if line == "opus" else 64000,
        )
    return _from_4_7(line, version)


def _up_to_4_5(line: str, version: tuple[int, int]) -> Facts:
    thinks = version >= (3, 7)
    return Facts(
        thinking=frozenset({"enabled", "disabled"}) if thinks else frozenset({"disabled"}),
        efforts=frozenset({"low", "medium", "high"}) if (line, version) == ("opus", (4, 5)) else frozenset(),
        sampling="one",
        structured=version >= (4, 5),
        max_output=_old_limit(line, version),
    )


def _old_limit(line: str, version: tuple[int, int]) -> int:
    if version >= (4, 5) or version == (3, 7) or (version == (4, 0) and line == "sonnet"):
        return 64000
    if version >= (4, 0):
        return 32000
    return 8192 if version >= (3, 5) else 4096


def _from_4_7(line: str, version: tuple[int, int]) -> Facts:
    fable = line in ("fable", "mythos")
    thinking = {"adaptive"}
    if not fable and version <= (5, 0):
        thinking.add("disabled")
    if (line, version) == ("sonnet", (5, 5)):
        thinking.add("between_tools")
    return Facts(
        thinking=frozenset(thinking),
        thinks=version >= (5, 0),
        efforts=_EFFORTS,
        sampling="none",
        forced=version <= (5, 0),
        prefill=False,
        system_in_messages=version >= (4, 8),
        structured=True,
        prefix_check=version >= (5, 1),
        max_output=128000,
    )


_VERSION = re.compile(r"claude-(?:(instant)|(?:([a-z]+)-)?v?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)(?:-([a-z]+))?)")


def _line(model: str) -> tuple[str, tuple[int, int]]:
    """("opus", (4, 5)) of `claude-opus-4-5-20251101`, `claude-3-5-sonnet-...` and their spellings elsewhere."""
    found = _VERSION.search(model.replace("claude-code-", "claude-"))
    if found is None:
        return ("mythos" if "mythos" in model else ""), (9, 0)
    instant, before, major, minor, after = found.groups()
    if instant:
        return "instant", (1, 2)
    return before or after or "", (int(major), int(minor or 0))


class _Item(Struct, frozen=True):
    id: str
    display_name: str | None = None
    created_at: str | None = None
    created: int | None = None
    owned_by: str | None = None
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    capabilities: Any = None


class _List(Struct, frozen=True):
    data: list[_Item]


def decode_models(body: bytes) -> list[ModelInfo]:
    """A provider's `GET /v1/models`; compatible hosts answer in OpenAI's shape. Raises MuxError UPSTREAM_NONSENSE."""
    try:
        found = jsonx.decode(body, _List, strict=False)
    except jsonx.Malformed as error:
        raise _no_list() from error
    return [_info(item) for item in found.data]


def _no_list() -> MuxError:
    return nonsense("a model list that cannot be read")


def _info(item: _Item) -> ModelInfo:
    return ModelInfo(
        id=item.id,
        display_name=item.display_name,
        created=item.created if item.created is not None else _seconds(item.created_at),
        owned_by=item.owned_by or "anthropic",
        context=item.max_input_tokens,
        max_output=item.max_tokens,
        capabilities=tuple(_words(item.capabilities)),
    )


def _seconds(moment: str | None) -> int | None:
    try:
        found = datetime.fromisoformat(moment) if moment else None
    except ValueError:
        return None
    if found is None:
        return None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


_PLAIN_WORDS: Final = {"image_input": "vision", "pdf_input": "pdf", "structured_outputs": "structured"}


def _words(capabilities: object) -> list[str]:
    """The capability tree as words: "vision", "structured", "thinking.adaptive", "effort.high" ..."""
    if not isinstance(capabilities, dict):
        return []
    words = ["tools"] + [word for key, word in _PLAIN_WORDS.items() if _supported(capabilities.get(key))]
    thinking = capabilities.get("thinking")
    types = thinking.get("types") if isinstance(thinking, dict) else None
    for prefix, tree in (("thinking", types), ("effort", capabilities.get("effort"))):
        if isinstance(tree, dict):
            words += [f"{prefix}.{name}" for name, leaf in tree.items() if _supported(leaf)]
    return words


def _supported(leaf: object) -> bool:
    return isinstance(leaf, dict) and leaf.get("supported") is True
