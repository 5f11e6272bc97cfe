"""Which records of a stream say nothing but more of a text, for who watches a stream that goes through.

Gemini's own servers count tokens in every record, so this is for other servers of the format.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec
from msgspec import UNSET

from llm_mux.translators import moulds
from llm_mux.translators.gemini import wire

_VALUES: Final = moulds.values_of(b"text")
_answer: msgspec.json.Decoder[wire.Answer] = msgspec.json.Decoder(wire.Answer)


def judge() -> moulds.Judge:
    """Whether whole records only carry on the open text of the first candidate; no for what is not sure."""
    return moulds.Judge(b"\n\n", _VALUES, b"data: {", _says_text)


@lru_cache(128)
def _says_text(mould: moulds.Mould) -> bool:
    answer = moulds.decoded(mould, _answer.decode)
    if not isinstance(answer, wire.Answer) or answer.usageMetadata is not None or answer.promptFeedback is not None:
        return False
    if answer.error is not UNSET or answer.candidates is None or len(answer.candidates) != 1:
        return False
    candidate = answer.candidates[0]
    content = candidate.content
    plain = content is not None and content.parts == [wire.Part(text="")]
    return plain and candidate == wire.Candidate(content, index=candidate.index) and not candidate.index
