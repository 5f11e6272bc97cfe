"""What is said in a plain conversation, in this format."""

from __future__ import annotations

from typing import Final

import msgspec

from llm_mux.translators import plain
from llm_mux.translators.plain import Plain

_BEGIN: Final = (
    b'{"role":"user","content":[{"type":"text","text":',
    b'{"role":"assistant","content":[{"type":"text","text":',
)
_END: Final = b"}]}"


def said(found: Plain) -> tuple[bytes, ...]:
    """The block of `system`, if there is one, and the elements of `messages`."""
    turns = plain.turns(found.texts, _BEGIN, _END)
    return (
        (turns,) if found.system is None else (b'{"type":"text","text":%b}' % msgspec.json.encode(found.system), turns)
    )
