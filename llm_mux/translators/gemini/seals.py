"""What stands beside the data of a part: thought signatures and metadata, and natives of other owners in their place.

Rules. A native of this format is the JSON object of those fields, as they came, and goes back onto the same part.
Natives of other owners ride in `thoughtSignature` as a base64 envelope and only towards clients; an upstream never
sees one. Signatures are never moved to another part. Spec: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from operator import attrgetter

import msgspec
from msgspec import UNSET, Raw

from llm_mux import ir
from llm_mux.translators import envelope
from llm_mux.translators.gemini import wire
from llm_mux.wire import jsonx

OWNER = "gemini"
SKIP = "skip_thought_signature_validator"
ENVELOPE_START = b"Z3cxL"
"""How base64 of every envelope begins."""


class _Signature(msgspec.Struct, frozen=True):
    thoughtSignature: str | None = None


class _OnlySignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    thoughtSignature: str


_signature = msgspec.json.Decoder(_Signature)
_only_signature = msgspec.json.Decoder(_OnlySignature)
_metadata = attrgetter(*wire.METADATA)
_NO_METADATA = (UNSET,) * len(wire.METADATA)


def of_result_part(part: wire.ResultPart) -> ir.Native | None:
    """What stands beside a medium of a function's result."""
    metadata = _metadata(part)
    if metadata == _NO_METADATA:
        return None
    beside = {name: value for name, value in zip(wire.METADATA, metadata, strict=True) if value is not UNSET}
    return ir.Native(OWNER, Raw(jsonx.encode(beside)))


def of_part(part: wire.Part, family: str = "") -> ir.Native | None:
    """What stands beside the data of `part`, an envelope opened; a damaged envelope is dropped."""
    signature = part.thoughtSignature
    metadata = _metadata(part)
    if signature is None and metadata == _NO_METADATA:
        return None
    if signature is not None and signature.startswith(ENVELOPE_START.decode()):
        return envelope.unseal_base64(signature)
    beside: dict[str, object] = {} if signature is None else {"thoughtSignature": signature}
    beside |= {name: value for name, value in zip(wire.METADATA, metadata, strict=True) if value is not UNSET}
    return ir.Native(OWNER, Raw(jsonx.encode(beside)), family)


def signature(native: ir.Native | None) -> str | None:
    """The thought signature in a native of this format."""
    return _signature.decode(native.data).thoughtSignature if native is not None and native.owner == OWNER else None


def for_client(native: ir.Native | None) -> Raw | None:
    """The fields that bring `native` to a client: its own ones, or an envelope as the signature."""
    if native is None:
        return None
    if native.owner == OWNER:
        return native.data
    return Raw(jsonx.encode({"thoughtSignature": envelope.seal_base64(native)}))


def beside(part: wire.Part | Raw, fields: Raw | None) -> wire.Part | Raw:
    """`part` with `fields` beside its data; one that is JSON text already has them."""
    if fields is None or isinstance(part, Raw):
        return part
    try:
        return msgspec.structs.replace(part, thoughtSignature=_only_signature.decode(fields).thoughtSignature)
    except msgspec.ValidationError:
        members = jsonx.decode(bytes(fields), dict[str, Raw])
    return Raw(jsonx.splice(jsonx.encode(part), {name: bytes(value) for name, value in members.items()}))
