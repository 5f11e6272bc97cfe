"""When a Gemini client's own bytes may go to a Gemini upstream.

Rule: the model is in the path, so nothing has to change, unless the body holds what this target would refuse: another
vendor's sealed reasoning, call ids or fields that Vertex lacks, or thinking in the words of another model family.
"""

from __future__ import annotations

from llm_mux.translators.base import Edits, Outline, Target
from llm_mux.translators.gemini import models, quirks, seals, spelling
from llm_mux.translators.gemini.encode import NOT_ON_VERTEX
from llm_mux.wire import jsonx

_SNAKE = (b'"inline_data"', b'"file_data"', b'"function_call"', b'"function_response"', b'"function_declarations"')
_BUDGET = (b'"thinkingBudget"', b'"thinking_budget"')
_LEVEL = (b'"thinkingLevel"', b'"thinking_level"')


def adapt(body: bytes, target: Target, stream: bool, outline: Outline | None = None) -> Edits | None:
    """No edits for most bodies; None when the body has to be translated for `target`."""
    if b'"' + seals.ENVELOPE_START in body or _foreign_thinking(body, models.facts(target.model, target.capabilities)):
        return None
    asked = quirks.of(target.quirks)
    if not asked.vertex:
        return Edits()
    if b'"id"' in body:
        return None
    names = jsonx.top(body)
    if asked.one_spelling and (any("_" in name for name in names) or any(word in body for word in _SNAKE)):
        return None
    unknown = [name for name in names if spelling.camel(name) in NOT_ON_VERTEX]
    reported = (spelling.camel(name) for name in unknown)
    return Edits(dict.fromkeys(unknown), tuple("service_tier" if name == "serviceTier" else name for name in reported))


def _foreign_thinking(body: bytes, facts: models.Facts) -> bool:
    wrong = {"level": (), "budget": _LEVEL, "none": _LEVEL + _BUDGET}[facts.thinking]
    return any(word in body for word in wrong)
