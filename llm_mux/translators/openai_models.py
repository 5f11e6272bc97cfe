"""What OpenAI's model families take, read off their names; both of OpenAI's formats ask here.

Rule: facts apply only where a target's quirks say that its models are OpenAI's own (`openai_models`). A name without a
known family gets the most permissive facts. Spec: translation matrix, sections 4, 7 and 8.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

from llm_mux.ir import EFFORTS

# `gpt-35-turbo`, Azure's spelling of 3.5, is no version 35.
_GPT = re.compile(r"(?:^|[/.:-])gpt-(\d|1\d)(?:\.(\d+))?(?=$|[-@:])")
_OLD_GPT = re.compile(r"gpt-[34]")
_O_SERIES = re.compile(r"(?:^|[/.:-])o\d+(?:$|-)")


class Facts(Struct, frozen=True):
    """`efforts`: the words it takes, empty when it does not reason. `breakpoints`: parts may carry cache marks."""

    reasons: bool = False
    efforts: tuple[str, ...] = EFFORTS
    breakpoints: bool = False

    def samples(self, effort: str | None) -> bool:
        """Whether it takes temperature, top_p and penalties: reasoning models only at the effort none."""
        return not self.reasons or (effort == "none" and "none" in self.efforts)


ANY = Facts()
"""The facts of a model of nobody knows which family."""


def version(model: str) -> tuple[int, int] | None:
    """(5, 6) for `gpt-5.6-sol`, (6, 0) for `openai/gpt-6-astra`, None for anything else (`gpt-4o` too)."""
    found = _GPT.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else None


@lru_cache(1024)
def facts(model: str) -> Facts:
    """The facts of the family that `model` names."""
    name = model.lower()
    number = version(name)
    if number is None:
        if _O_SERIES.search(name):
            return Facts(reasons=True, efforts=("low", "medium", "high"))
        return Facts(efforts=()) if _OLD_GPT.search(name) else ANY
    if number < (5, 0) or "-chat" in name:
        return Facts(efforts=())
    return Facts(reasons=True, efforts=_efforts(number, codex="codex" in name), breakpoints=number >= (5, 6))


def _efforts(number: tuple[int, int], *, codex: bool) -> tuple[str, ...]:
    """Only the first family knows `minimal`, only later ones `none`."""
    if number < (5, 1):
        return ("low", "medium", "high") if codex else ("minimal", "low", "medium", "high")
    if number < (5, 2):
        return ("low", "medium", "high", "xhigh") if codex else ("none", "low", "medium", "high")
    if number < (5, 6):
        return ("none", "low", "medium", "high", "xhigh")
    return ("none", "low", "medium", "high", "xhigh", "max")
