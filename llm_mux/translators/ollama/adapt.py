"""When a chat client's own bytes may go to an Ollama server, and what is changed at their top level.

Rule: only what the translated way would also change is changed, so that both ways ask for the same thing.
"""

from __future__ import annotations

import re

from msgspec import Raw

from llm_mux.errors import MuxError
from llm_mux.translators.base import Edits, Outline, Target, present
from llm_mux.translators.ollama import quirks
from llm_mux.translators.ollama.decode import decode_thinking
from llm_mux.translators.ollama.encode import may_think, think_value
from llm_mux.translators.ollama.reading import field, top
from llm_mux.wire import jsonx

# Written in another manner than the API's own: parts, data URLs, arguments as text. Translation mends them.
_TO_MEND = re.compile(rb'"content"\s*+:\s*+\[|"data:|"arguments"\s*+:\s*+"')


def adapt(body: bytes, target: Target, stream: bool, outline: Outline | None = None) -> Edits | None:
    """Chat goes through; generate is translated, as the endpoint of a target is `/api/chat`."""
    try:
        fields = top(body)
        options = field("options", fields.get("options"), dict[str, Raw]) or {}
        thinking = decode_thinking(fields.get("think"))
        messages = field("messages", fields.get("messages"), list[Raw])
    except MuxError:
        return None
    if not messages or "prompt" in fields or _TO_MEND.search(bytes(fields["messages"])):
        return None
    edits = {"model": jsonx.encode(target.model), "stream": b"true" if stream else b"false"}
    if target.context and quirks.of(target.quirks).set_num_ctx and not present(options.get("num_ctx")):
        edits["options"] = jsonx.encode({**options, "num_ctx": target.context})
    think = think_value(thinking, target)
    if think and not may_think(target):
        return Edits({**_changes(edits, fields), "think": None}, ("reasoning_effort",))
    if think is not None:
        edits["think"] = jsonx.encode(think)
    return Edits(_changes(edits, fields))


def _changes(wanted: dict[str, bytes], fields: dict[str, Raw]) -> dict[str, bytes | None]:
    """What of `wanted` the body does not say already; an absent `stream` says true."""
    said = {"stream": Raw(b"true")} | fields
    return {name: value for name, value in wanted.items() if name not in said or bytes(said[name]) != value}
