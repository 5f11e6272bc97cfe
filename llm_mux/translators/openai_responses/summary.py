"""Compaction for targets that cannot compact: our own prompt, and the item that carries the summary back.

Rule: the summary travels as the item's `encrypted_content` in an envelope of ours, so that a client resends it like any
compaction and we open it again into plain text. Spec: the Responses API page, sections 1 and 3.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.translators import envelope
from llm_mux.translators.openai_responses.reading import OWNER

PROMPT: Final = (
    "Write a hand-over note of this whole conversation for whoever continues it without seeing it. "
    "Cover, as far as they apply: what the user wants and every instruction that still holds; what was decided and "
    "why; what was done, with exact file names, commands, identifiers and values; what was tried and failed; "
    "the present state, and the next steps. Be complete but brief, use no tools, and answer with the note only."
)
_HEADING: Final = "Summary of the conversation so far:"


class _Note(Struct):
    summary: str


def sealed(text: str) -> str:
    """`encrypted_content` of a compaction item that holds `text`."""
    return envelope.seal(ir.Native(OWNER, Raw(msgspec.json.encode(_Note(text)))))


def opened(encrypted: str) -> str | None:
    """The summary inside a compaction item of ours, with its heading; None for what is not ours."""
    native = envelope.unseal(encrypted)
    if native is None or native.owner != OWNER:
        return None
    try:
        note = msgspec.json.decode(native.data, type=_Note)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return f"{_HEADING}\n\n{note.summary}"
