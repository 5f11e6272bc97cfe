"""Whether a client's own Converse bytes may go to a target of this format.

Rules. Model and streaming stand in the path, so nothing has to change. Seals of ours, and what a family other than
the one that the client had in mind would refuse, need a translation. Spec: translation matrix, sections 4 and 5.
"""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from llm_mux.translators.base import Edits, Outline, Target, present
from llm_mux.translators.bedrock import quirks, wire
from llm_mux.wire import jsonx

_SEALS: Final = (b'"gw1.', b'"gw1-call.')
_POINT: Final = b'"cachePoint"'
_THOUGHT: Final = b'"reasoningContent"'


class Head(Outline, frozen=True):
    """The top-level fields that decide."""

    messages: wire.RawField = UNSET
    toolConfig: wire.RawField = UNSET
    additionalModelRequestFields: wire.RawField = UNSET


def adapt(body: bytes, target: Target, stream: bool, outline: Outline | None = None) -> Edits | None:
    """The edits (none), or None when the request must be translated or cannot be read."""
    try:
        head = outline if isinstance(outline, Head) else jsonx.peek(body, Head)
    except jsonx.Malformed:
        return None
    if not present(head.messages) or any(seal in body for seal in _SEALS):
        return None
    wanted = quirks.of(target.model)
    if not wanted.claude and (_THOUGHT in body or present(head.additionalModelRequestFields)):
        return None
    if not wanted.cache_points and _POINT in body:
        return None
    return None if not wanted.forced_tools and present(head.toolConfig) else Edits()
