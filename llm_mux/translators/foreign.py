"""What only another format can say: fields without a canonical form, which a target of a different format loses.

Rule: what is lost is reported under the client's own name for it; what loses nobody anything is not.
"""

from __future__ import annotations

from llm_mux import ir

# Who asks is in `request.user` too, hints for caches change no answer, and the daemon frames streams itself.
_NOT_LOST = frozenset(
    {"stream_options", "user", "safety_identifier", "prompt_cache_options", "prompt_cache_retention", "client_metadata"}
)


def lost_fields(request: ir.Request) -> list[str]:
    """The names to report when `request` goes to a target that does not speak its client's format."""
    return [name for name in request.extras if not name.startswith("__") and name not in _NOT_LOST]
