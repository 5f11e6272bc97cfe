"""The opaque slot of the format: `reasoningText.signature` and `redactedContent`.

Claude's signatures are the same at every host, so they are Anthropic's own data here too; those of other models are
this format's. Another owner's data goes into the slot in a tagged envelope. Spec: translation matrix, section 5.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.translators import envelope
from llm_mux.translators.anthropic import seals as anthropic
from llm_mux.translators.base import usable
from llm_mux.translators.bedrock.wire import NAME, Reasoning, ReasoningText
from llm_mux.wire import jsonx

_REDACTED: Final = b'{"redacted":'


def _owner(family: str) -> str:
    return "anthropic" if family in ("claude", "") else NAME


def own(signature: str | None, family: str) -> ir.Native | None:
    """An upstream's signature as native data; None when there is none."""
    if not signature:
        return None
    return ir.Native(_owner(family), Raw(msgspec.json.encode(signature)), family)


def own_redacted(data: str, family: str) -> ir.Native:
    """An upstream's redacted thought, base64 as it came."""
    return ir.Native(_owner(family), Raw(_REDACTED + msgspec.json.encode(data) + b"}"), family)


def read(signature: str | None, family: str) -> ir.Native | None:
    """What a client sent back as a signature."""
    return envelope.unseal(signature) if signature and envelope.is_sealed(signature) else own(signature, family)


def of_call(signature: str | None) -> ir.Native | None:
    """The seal of the tool call that follows, when `signature` is an envelope of one."""
    return envelope.unseal_of_call(signature) if signature else None


def before_call(call: ir.ToolCall) -> Reasoning | None:
    """The empty thought in which a client carries the seal of a tool call of another vendor's."""
    if call.native is None or call.native.owner in (NAME, "anthropic"):
        return None
    return Reasoning(ReasoningText("", envelope.seal_of_call(call.native)))


def replayed(part: ir.Reasoning, model: str) -> Reasoning | None:
    """The thought for its model; None when its seal is missing or another family's."""
    native = part.native
    if native is None or not (usable(native, NAME, model) or usable(native, "anthropic", model)):
        return None
    redacted = anthropic.redacted_data(native)
    seal = _text(native.data if redacted is None else redacted)
    if seal is None:
        return None
    return Reasoning(ReasoningText(part.text, seal)) if redacted is None else Reasoning(redactedContent=seal)


def _text(raw: Raw) -> str | None:
    """A seal as text; None for what a client or a server put there instead of one."""
    try:
        return jsonx.decode(bytes(raw), str)
    except jsonx.Malformed:
        return None


def shown(part: ir.Reasoning) -> Reasoning | None:
    """The thought for a client; None when there is nothing of it."""
    native = part.native
    if native is None:
        return Reasoning(ReasoningText(part.text)) if part.text else None
    redacted = anthropic.redacted_data(native) if native.owner in ("anthropic", NAME) else None
    if redacted is None:
        return Reasoning(ReasoningText(part.text, signature(native)))
    data = _text(redacted)
    return None if data is None else Reasoning(redactedContent=data)


def signature(native: ir.Native) -> str:
    """The signature for a client: Claude's and this format's as they are, others in an envelope."""
    if native.owner in ("anthropic", NAME) and bytes(native.data).startswith(b'"'):
        return jsonx.decode(bytes(native.data), str)
    return envelope.seal(native)
