"""What the parts of the request encoder share: who asks, where it goes, what was left out on the way."""

from __future__ import annotations

from msgspec import Struct, field

from llm_mux import ir
from llm_mux.translators import memory, tools
from llm_mux.translators.anthropic import quirks
from llm_mux.translators.anthropic.models import Facts, facts
from llm_mux.translators.anthropic.quirks import Quirks
from llm_mux.translators.anthropic.wire import NAME
from llm_mux.translators.base import Target


class Outlook(Struct):
    """One request on its way to one target."""

    request: ir.Request
    target: Target
    quirks: Quirks
    facts: Facts
    names: tools.Names
    dropped: dict[str, None] = field(default_factory=dict)
    bare: bool = True
    """Whether all blocks so far are texts, calls and results with nothing beside them: none has a mark."""

    @property
    def own(self) -> bool:
        """Whether the client speaks this format: what it says is then not second-guessed."""
        return self.request.protocol == NAME

    @property
    def thinking_types(self) -> frozenset[str]:
        known = self.quirks.thinking_types
        return self.facts.thinking if known is None else known

    @property
    def structured(self) -> bool:
        return self.facts.structured and self.quirks.structured_outputs

    @property
    def forced(self) -> bool:
        """Whether the target lets a call be forced."""
        return self.facts.forced and self.quirks.forced_tools

    @property
    def output_limit(self) -> int | None:
        return self.target.max_output or self.facts.max_output

    def drop(self, knob: str) -> None:
        self.dropped[knob] = None


def outlook(request: ir.Request, target: Target) -> Outlook:
    wanted = quirks.of(target)
    rules = tools.NameRules(limit=wanted.tool_name_limit)
    return Outlook(
        request=request,
        target=target,
        quirks=wanted,
        facts=facts(target.model, target.capabilities),
        names=tools.names_for(request, rules, memory.calls_of(request.messages)),
    )
