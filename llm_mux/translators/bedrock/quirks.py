"""How models behind Converse differ; the defaults are Claude's."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec import Struct

from llm_mux import ir
from llm_mux.translators.anthropic.quirks import Quirks as AnthropicQuirks


class Quirks(Struct, frozen=True):
    """Each field is named for the behaviour; the comment says who needs the other value."""

    # Fields of Claude's own API are understood in `additionalModelRequestFields`.
    claude: bool = True
    # False: cache points are refused (all but Claude and Nova).
    cache_points: bool = True
    # False: `toolChoice` may only be `auto` (Llama, Mistral's older ones, DeepSeek, Qwen).
    forced_tools: bool = True
    # False: `outputConfig` is unknown; a schema is put into words.
    structured: bool = True
    # Where the field for the effort goes: Claude's own, "reasoning_effort" (gpt-oss), "reasoningConfig" (Nova), "".
    effort: str = "claude"
    # False: system text is refused and goes into the first user turn (Titan, Mistral 7B, older Cohere).
    system: bool = True
    # True: token counts of prompts hold the cached ones too (OpenAI's models in streams).
    counts_cached_twice: bool = False


CLAUDE: Final = Quirks()
_OTHERS: Final = Quirks(claude=False, cache_points=False, forced_tools=False, structured=False, effort="")
_NOVA: Final = Quirks(claude=False, structured=False, effort="reasoningConfig")
_OPENAI: Final = Quirks(
    claude=False, cache_points=False, structured=True, effort="reasoning_effort", counts_cached_twice=True
)
_NO_SYSTEM: Final = ("amazon.titan-text", "mistral.mistral-7b", "mistral.mixtral", "cohere.command-text")

FACTS: Final = AnthropicQuirks(urls=False, web_search="", tool_name_limit=64, binding_controls=False, max_cache_marks=4)
"""What Claude lacks on this host, in the words of its own format's quirks."""


@lru_cache(maxsize=512)
def of(model: str) -> Quirks:
    """The quirks for a model id, an inference profile's or an ARN."""
    if ir.family(model) == "claude":
        return CLAUDE
    if "nova" in model:
        return _NOVA
    if "openai." in model or "gpt-oss" in model:
        return _OPENAI
    if any(name in model for name in _NO_SYSTEM):
        return Quirks(claude=False, cache_points=False, forced_tools=False, structured=False, effort="", system=False)
    return _OTHERS
