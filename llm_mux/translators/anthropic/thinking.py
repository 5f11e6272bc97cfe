"""Thinking control: what the client asked for, by the means that the target's model family has.

Decisions. What a client of this format asked for goes as it came when the model takes it. Otherwise adaptive thinking
with an effort word where there is one, else a token budget with `max_tokens` above it; a forced tool call wins over
manual thinking. A model that cannot be told not to think gets the least effort. Spec: translation matrix, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.translators import effort
from llm_mux.translators.anthropic import conversation, wire
from llm_mux.translators.anthropic.outlook import Outlook
from llm_mux.translators.anthropic.wire import NAME

_LEAST_BUDGET: Final = 1024
_ROOM: Final = 4096
_BINDING_BETA: Final = "thinking-binding-controls-2026-08-01"
_DROP_UNBOUND: Final = {"prefix_mismatch_behavior": "drop_block"}


class Plan(Struct, frozen=True):
    """What is sent: the `thinking` object, the effort word, `max_tokens`, whether old thoughts go back, a beta."""

    config: wire.ThinkingConfig | Raw | None
    effort: str | None
    max_tokens: int
    on: bool
    replay: bool
    beta: str | None = None


def plan(look: Outlook, turns: Sequence[ir.Message]) -> Plan:
    """The thinking settings for the conversation `turns`."""
    limit = look.output_limit
    asked = look.request.max_tokens
    most = asked if asked is not None else look.facts.default_output if limit is None else limit
    most = min(most, limit) if limit is not None else most
    chosen = _verbatim(look, most) or _chosen(look, turns, most)
    return _bound(chosen, look, turns)


class _Sent(Struct, frozen=True):
    thinking: Raw | msgspec.UnsetType = msgspec.UNSET
    effort: str | None = None


def _verbatim(look: Outlook, most: int) -> Plan | None:
    """The client's own words, when nobody changed its wish on the way and the model takes them."""
    wish = look.request.thinking
    if wish.native is None or wish.native.owner != NAME:
        return None
    sent = msgspec.json.decode(wish.native.data, type=_Sent)
    efforts = look.facts.efforts
    if isinstance(sent.thinking, msgspec.UnsetType):
        word = sent.effort if sent.effort in efforts else None
        if wish.effort != sent.effort or wish.budget is not None:
            return None
        if word is None and sent.effort is not None:
            look.drop("reasoning_effort")
        return Plan(None, word, most, on=look.facts.thinks, replay=True)
    config = msgspec.json.decode(sent.thinking, type=wire.ThinkingConfig)
    off = config.type in ("disabled", "between_tools")
    same = wish.off if off else (wish.effort, wish.budget) == (sent.effort, config.budget_tokens)
    fits = config.type != "enabled" or _LEAST_BUDGET <= (config.budget_tokens or 0) < most
    if not (same and fits and config.type in look.thinking_types) or (sent.effort and sent.effort not in efforts):
        return None
    if config.type == "enabled" and _forces(look):
        return None
    return Plan(sent.thinking, sent.effort, most, on=not off, replay=not off)


def _forces(look: Outlook) -> bool:
    choice = look.request.tool_choice
    return choice is not None and choice.mode in ("any", "tool")


def _chosen(look: Outlook, turns: Sequence[ir.Message], most: int) -> Plan:
    wish, types = look.request.thinking, look.thinking_types
    if wish.off:
        return _off(look, most)
    if not wish.asked:
        if wish.show and look.facts.thinks and "adaptive" in types:
            return Plan(wire.ThinkingConfig("adaptive", display="summarized"), None, most, on=True, replay=True)
        return Plan(None, None, most, on=look.facts.thinks, replay=True)
    if "adaptive" in types:
        word = effort.of(wish)
        found = effort.nearest(word, look.facts.efforts) if word else None
        return Plan(wire.ThinkingConfig("adaptive", display=_display(look)), found, most, on=True, replay=True)
    if "enabled" not in types or _forces(look) or not conversation.starts_with_thinking(turns, look.target.model):
        look.drop("reasoning_effort")
        return Plan(None, None, most, on=False, replay=False)
    return _manual(look, most)


def _off(look: Outlook, most: int) -> Plan:
    types = look.thinking_types
    if not look.facts.thinks and look.quirks.thinking_types is None:
        return Plan(None, None, most, on=False, replay=False)
    for kind in ("disabled", "between_tools"):
        if kind in types:
            return Plan(wire.ThinkingConfig(kind), None, most, on=False, replay=kind == "between_tools")
    look.drop("reasoning_effort")
    least = "low" if "low" in look.facts.efforts else None
    return Plan(None, least, most, on=look.facts.thinks, replay=True)


def _display(look: Outlook) -> Literal["summarized", "omitted"] | None:
    """What to show: as a client of this format said; others get to see it unless they said no."""
    show = look.request.thinking.show
    if show is None and look.own:
        return None
    return "omitted" if show is False else "summarized"


def _manual(look: Outlook, most: int) -> Plan:
    """A budget, with `max_tokens` above it: the client's own plus the budget where it did not leave room."""
    wish, limit = look.request.thinking, look.output_limit
    tokens = wish.budget if wish.budget is not None and wish.budget > 0 else _budget_of(effort.of(wish), limit)
    tokens = max(tokens, _LEAST_BUDGET)
    if tokens >= most:
        most = min(most + tokens, limit) if limit is not None else most + tokens
        tokens = min(tokens, most - 1)
    if tokens < _LEAST_BUDGET:
        look.drop("reasoning_effort")
        return Plan(None, None, most, on=False, replay=False)
    display = "omitted" if wish.show is False and look.own else None
    return Plan(wire.ThinkingConfig("enabled", tokens, display), None, most, on=True, replay=True)


def _budget_of(word: str | None, limit: int | None) -> int:
    most = limit - _ROOM if limit is not None and limit > 2 * _ROOM else None
    return effort.budget(word or "medium", most)


def _bound(chosen: Plan, look: Outlook, turns: Sequence[ir.Message]) -> Plan:
    """Lets the API leave out thoughts that no longer fit their conversation.

    Clients of other formats edit histories without knowing of that bond; without this each edit would be a 400.
    """
    config = chosen.config
    wanted = look.facts.prefix_check and look.quirks.binding_controls and not look.own
    if not wanted or isinstance(config, Raw) or not conversation.holds_thinking(turns, look.target.model):
        return chosen
    if config is None and look.facts.thinks:
        config = wire.ThinkingConfig("adaptive")
    if config is None or config.type != "adaptive":
        return chosen
    bound = msgspec.structs.replace(config, block_binding=_DROP_UNBOUND)
    return msgspec.structs.replace(chosen, config=bound, beta=_BINDING_BETA)
