"""JSON Schema, rewritten into the dialect that each API takes.

Rules. Plain Python objects in, new ones out; never an error, whatever JSON comes in. Keywords are touched only where a
schema stands: a property that is called `title` or `format` is a property. One schema at a time, never a whole
request. Cycles, depth and size are bounded. Every function gives its own output back unchanged.
"""

from llm_mux.wire.schema.gemini import for_gemini_json, for_gemini_proto
from llm_mux.wire.schema.objects import ensure_object, strip_meta
from llm_mux.wire.schema.strict import fits_anthropic_strict, for_anthropic_strict, for_openai_strict
from llm_mux.wire.schema.tree import is_recursive

__all__ = [
    "ensure_object",
    "fits_anthropic_strict",
    "for_anthropic_strict",
    "for_gemini_json",
    "for_gemini_proto",
    "for_openai_strict",
    "is_recursive",
    "strip_meta",
]
