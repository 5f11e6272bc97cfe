"""What an encoder knows while it forms one request: the target, its facts and quirks, and what had to be left out."""

from __future__ import annotations

from msgspec import Struct, field

from llm_mux import ir
from llm_mux.translators.base import Target
from llm_mux.translators.gemini import models, quirks
from llm_mux.translators.gemini.models import Facts
from llm_mux.translators.gemini.quirks import Quirks
from llm_mux.translators.gemini.seals import OWNER
from llm_mux.translators.tools import Names


class Outlook(Struct, frozen=True):
    """`lost` collects the names of dropped parameters in the order they were met."""

    request: ir.Request
    target: Target
    facts: Facts
    quirks: Quirks
    names: Names
    lost: dict[str, None] = field(default_factory=dict)

    def drop(self, name: str) -> None:
        self.lost[name] = None

    @property
    def same_format(self) -> bool:
        """Whether the client spoke this format, so that what only it knows may go on."""
        return self.request.protocol == OWNER

    @property
    def json_schema(self) -> bool:
        return self.facts.json_schema and self.quirks.json_schema

    @property
    def https_files(self) -> bool:
        return self.facts.https_files and self.quirks.file_urls


def outlook(request: ir.Request, target: Target, names: Names) -> Outlook:
    facts = models.facts(target.model, target.capabilities)
    return Outlook(request, target, facts, quirks.of(target.quirks), names)
