"""How clients ask for reasoning and how servers want to be asked (translation matrix, section 4).

Rule: every spelling in use is read; what is written depends on the server's `thinking_style`, and what a server has
no switch for is reported as dropped.
"""

from __future__ import annotations

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators import effort as effort_
from llm_mux.translators import openai_models
from llm_mux.translators.base import Target
from llm_mux.translators.openai_chat import quirks as quirks_
from llm_mux.translators.openai_chat import wire

# Top-level fields that this module reads, so that they are not passed on as unknown ones.
FIELDS = frozenset(
    {"reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget", "extra_body", "google"}
)


def decode(params: wire.Params) -> ir.Thinking:
    """What the client asked for by any of the spellings; the first that says something wins, field by field."""
    asked = [ir.Thinking(effort=_word(params.reasoning_effort, "reasoning_effort"))] if params.reasoning_effort else []
    if params.reasoning_effort == "auto":
        asked = [ir.Thinking(adaptive=True)]
    if params.reasoning is not None:
        asked.append(_from_reasoning(params.reasoning))
    if params.thinking is not None:
        asked.append(_from_switch(params.thinking))
    google = _google(params)
    if google is not None:
        asked.append(_from_google(google))
    template = params.chat_template_kwargs
    if template is not None:
        asked.append(_from_flag(template.enable_thinking if template.thinking is None else template.thinking, None))
    asked.append(_from_flag(params.enable_thinking, params.thinking_budget))
    return _merged(asked)


def _merged(asked: list[ir.Thinking]) -> ir.Thinking:
    effort = next((t.effort for t in asked if t.effort is not None), None)
    budget = next((t.budget for t in asked if t.budget is not None), None)
    show = next((t.show for t in asked if t.show is not None), None)
    off = effort == "none"
    return ir.Thinking(
        effort=effort,
        budget=None if off else budget,
        adaptive=not off and any(t.adaptive for t in asked),
        show=show,
    )


def _word(word: str | None, field: str) -> str | None:
    if word is None:
        return None
    lower = word.lower()
    if lower in ir.EFFORTS:
        return lower
    if lower == "ultra":
        return "max"
    if lower == "auto":
        return None
    raise bad_request(f"{field} must be one of {', '.join(ir.EFFORTS)}.", param=field)


def _from_reasoning(asked: wire.ReasoningSwitch) -> ir.Thinking:
    show = None if asked.exclude is None else not asked.exclude
    if asked.enabled is False:
        return ir.Thinking(effort="none", show=show)
    word = _word(asked.effort, "reasoning.effort")
    adaptive = asked.effort == "auto" or (asked.enabled is True and word is None and asked.max_tokens is None)
    return ir.Thinking(effort=word, budget=asked.max_tokens, adaptive=adaptive, show=show)


def _from_switch(asked: wire.ThinkingSwitch) -> ir.Thinking:
    show = None if asked.display is None else asked.display != "omitted"
    if asked.type == "disabled":
        return ir.Thinking(effort="none", show=show)
    on = asked.type in ("enabled", "adaptive", "auto")
    return ir.Thinking(budget=asked.budget_tokens, adaptive=on and asked.budget_tokens is None, show=show)


def _from_flag(enabled: bool | None, budget: int | None) -> ir.Thinking:
    if enabled is False:
        return ir.Thinking(effort="none")
    return ir.Thinking(budget=budget, adaptive=enabled is True and budget is None)


def _google(params: wire.Params) -> wire.ThinkingConfig | None:
    body = params.google or (params.extra_body.google if params.extra_body else None)
    return (body.thinking_config or body.thinkingConfig) if body else None


def _from_google(config: wire.ThinkingConfig) -> ir.Thinking:
    budget = config.thinkingBudget if config.thinking_budget is None else config.thinking_budget
    level = config.thinking_level or config.thinkingLevel
    show = config.includeThoughts if config.include_thoughts is None else config.include_thoughts
    word = (
        None
        if level is None or level.lower().endswith("unspecified")
        else level.lower().removeprefix("thinking_level_")
    )
    return ir.Thinking(effort=_word(word, "thinking_config.thinking_level"), budget=budget, show=show)


def encode(request: ir.Request, target: Target, dropped: list[str]) -> dict[str, object]:
    """The top-level fields that ask the server for the reasoning the client asked for."""
    thinking, quirks = request.thinking, quirks_.of(target)
    if not thinking.asked and (thinking.show is None or quirks.thinking_style != "openrouter"):
        return {}
    match quirks.thinking_style:
        case "effort":
            return _effort(thinking, target, dropped)
        case "openrouter":
            return _openrouter(thinking)
        case "thinking_type":
            switch: dict[str, object] = {"thinking": {"type": "disabled" if thinking.off else "enabled"}}
            return switch if thinking.off else switch | _effort(thinking, target, [])
        case "enable_thinking":
            return _enable(thinking)
        case "template":
            return {"chat_template_kwargs": {"enable_thinking": not thinking.off}}
        case "none":
            dropped.append("reasoning_effort")
            return {}


def _effort(thinking: ir.Thinking, target: Target, dropped: list[str]) -> dict[str, object]:
    asked = effort_.of(thinking)
    if asked is None:
        return {}
    word = effort_.nearest(asked, words(target))
    if word is None:
        if asked != "none":
            dropped.append("reasoning_effort")
        return {}
    return {"reasoning_effort": word}


def words(target: Target) -> frozenset[str]:
    """The effort words the target takes."""
    quirks = quirks_.of(target)
    if quirks.effort_words is not None:
        return quirks.effort_words
    return frozenset(openai_models.facts(target.model).efforts if quirks.openai_models else ir.EFFORTS)


def _openrouter(thinking: ir.Thinking) -> dict[str, object]:
    asked: dict[str, object] = {}
    if thinking.effort is not None:
        asked["effort"] = "xhigh" if thinking.effort == "max" else thinking.effort
    elif thinking.budget is not None and thinking.budget > 0:
        asked["max_tokens"] = thinking.budget
    elif thinking.budget == 0:
        asked["effort"] = "none"
    elif thinking.adaptive or thinking.budget == -1:
        asked["enabled"] = True
    if thinking.show is False:
        asked["exclude"] = True
    return {"reasoning": asked} if asked else {}


def _enable(thinking: ir.Thinking) -> dict[str, object]:
    if thinking.off:
        return {"enable_thinking": False}
    budget = thinking.budget if thinking.budget and thinking.budget > 0 else None
    if budget is None and thinking.effort is not None and thinking.effort != "max":
        budget = effort_.budget(thinking.effort)
    return {"enable_thinking": True, **({"thinking_budget": budget} if budget else {})}
