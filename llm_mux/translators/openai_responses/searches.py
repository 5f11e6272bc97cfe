"""A web search that another vendor's server did, told as the item of this format.

Rule: clients show how often and for what was searched; nobody gets the item back, for its id is ours and the results
stayed where they were. Spec: translation matrix, section 12.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from llm_mux import ir
from llm_mux.translators import ids
from llm_mux.translators.openai_responses import wire

# How the id of such an item begins; a body that holds one is never sent on as it came.
SEARCH_ID: Final = "ws_gw1_"


class _Input(Struct):
    query: str = ""


class _Use(Struct):
    name: str = ""
    input: _Input | None = None


_use: msgspec.json.Decoder[_Use] = msgspec.json.Decoder(_Use)


def item(part: ir.Opaque) -> wire.SearchCallOut | None:
    """The item, if the part is such a search."""
    if part.label != "server_tool_use":
        return None
    try:
        found = _use.decode(part.native.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if found.name != "web_search":
        return None
    query = found.input.query if found.input else ""
    id_ = SEARCH_ID + ids.digest(bytes(part.native.data).decode("utf-8", "replace"))
    return wire.SearchCallOut(id_, "completed", wire.SearchActionOut("search", query))


def stands_in(id_: str | None) -> bool:
    """Whether an item is one of ours."""
    return id_ is not None and id_.startswith(SEARCH_ID)
