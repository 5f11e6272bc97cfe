"""The opaque slot of the format: `thinking.signature` and `redacted_thinking.data`.

A signature of Claude's own travels as it is. Another owner's data goes into the slot in a tagged envelope, that of a
tool call (Gemini) in an empty thinking block right before the call. A thought without any seal gets the envelope of
nothing, because some clients refuse to go on from a thinking block without a signature. A call's seal that comes after
the call was shown has no slot left: a thinking block behind it would be the last of its turn, which Anthropic refuses
and clients cut off. Such a seal is kept by the daemon's store alone (`gateway/seals.py`).
Spec: translation matrix, section 5.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.translators import envelope
from llm_mux.translators.anthropic.wire import NAME

TRACE: Final = b'"gw1'
"""What every signature of ours begins with; a body that holds it must not reach an upstream as it is."""

SEARCH_ID: Final = "srvtoolu_gw1_"
"""The beginning of the ids of search blocks that stand for another vendor's search."""

_NOTHING: Final = Raw(b'"gw1.none.-.bnVsbA"')
_REDACTED: Final = b'{"redacted":'
_OWN_FAMILIES: Final = ("", "claude")


class Seal(Struct, frozen=True):
    """What a signature holds. `of_call`: it belongs to the tool call that follows."""

    native: ir.Native | None = None
    of_call: bool = False


def own(raw: Raw | UnsetType, family: str) -> ir.Native | None:
    """An upstream's signature (a JSON string) as native data; None when there is none."""
    if raw is UNSET or not bytes(raw).startswith(b'"') or bytes(raw) == b'""':
        return None
    # A thought is kept for longer than the body that it came in.
    return ir.Native(NAME, raw.copy(), family)


def own_redacted(raw: Raw, family: str) -> ir.Native:
    """The `data` of an upstream's redacted thinking."""
    return ir.Native(NAME, Raw(b"%b%b}" % (_REDACTED, bytes(raw))), family)


def read(raw: Raw | UnsetType) -> Seal:
    """What a client sent back as a signature."""
    if raw is UNSET or not bytes(raw).startswith(TRACE):
        return Seal(own(raw, ""))
    text = msgspec.json.decode(raw, type=str)
    of_call = envelope.is_of_call(text)
    native = envelope.unseal_of_call(text) if of_call else envelope.unseal(text)
    return Seal(None if native is None or native.owner == "none" else native, of_call)


def redacted(native: ir.Native | None) -> Raw | None:
    """The `data` for a client's redacted thinking block, None when `native` is no such block of ours."""
    if native is None or native.owner != NAME or native.family not in _OWN_FAMILIES:
        return None
    return redacted_data(native)


def redacted_data(native: ir.Native) -> Raw | None:
    """The `data` of redacted thinking in our own form of it, None when `native` holds a signature."""
    if not bytes(native.data).startswith(_REDACTED):
        return None
    return Raw(bytes(native.data)[len(_REDACTED) : -1])


def signature(native: ir.Native | None) -> Raw:
    """The `signature` for a client's thinking block, as a JSON string."""
    if native is None:
        return _NOTHING
    if native.owner == NAME and native.family in _OWN_FAMILIES:
        return native.data
    return Raw(msgspec.json.encode(envelope.seal(native)))


def call_signature(native: ir.Native | None) -> Raw | None:
    """The `signature` of the block in front of a tool call that carries another owner's seal."""
    if native is None or native.owner == NAME:
        return None
    return Raw(msgspec.json.encode(envelope.seal_of_call(native)))
