"""What only another format can say: fields without a canonical form, which a target of a different format loses.

Rule: what is lost is reported under the client's own name for it; what loses nobody anything is not.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import Target, present
from llm_mux.wire import jsonx

THREAD_UNSUPPORTED = "thread_unsupported_request"

# Who asks is in `request.user` too, hints for caches change no answer, and the daemon frames streams itself.
_NOT_LOST = frozenset(
    {"stream_options", "user", "safety_identifier", "prompt_cache_options", "prompt_cache_retention", "client_metadata"}
)


def lost_fields(request: ir.Request) -> list[str]:
    """The names to report when `request` goes to a target that does not speak its client's format."""
    top = [name for name in request.extras if not name.startswith("__") and name not in _NOT_LOST]
    return [*top, *request.beneath] if request.beneath else top


def refuse_thread(request: ir.Request, target: Target) -> None:
    """Raises MuxError BAD_REQUEST for a thread of the Messages API: the turns that Anthropic keeps are nowhere else.

    The code is Anthropic's own, at which its SDKs send the whole conversation instead.
    """
    if request.protocol == "anthropic" and present(request.extras.get("thread")):
        message = f"{target.title} keeps no threads; send the whole conversation without `thread`."
        raise MuxError(Kind.BAD_REQUEST, message, param="thread", code=THREAD_UNSUPPORTED)


def described(output: ir.OutputFormat) -> Raw | None:
    """The answer's schema, with what the client says of it inside where a format has no place for that beside it."""
    if output.schema is None or not output.description:
        return output.schema
    try:
        top = jsonx.top(bytes(output.schema))
    except jsonx.Malformed:
        return output.schema
    if "description" in top:
        return output.schema
    return Raw(jsonx.splice(bytes(output.schema), {"description": msgspec.json.encode(output.description)}))
