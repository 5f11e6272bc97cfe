"""Opaque vendor data in another protocol's opaque slot: a tagged envelope that only llm-mux opens.

Form: `gw1.<owner>.<family>.<base64url of the data's JSON text>`, with `gw1-call` in front where the data belongs to the
tool call that follows. What does not carry the tag is the client format's own data. A damaged envelope is dropped,
never sent on as a signature.
"""

from __future__ import annotations

import base64
import binascii

from msgspec import Raw

from llm_mux.ir import Native

_TAG = "gw1."
_CALL_TAG = "gw1-call."


def seal(native: Native) -> str:
    """`native` as one printable string."""
    data = base64.urlsafe_b64encode(bytes(native.data)).decode().rstrip("=")
    return f"{_TAG}{native.owner}.{native.family or '-'}.{data}"


def is_sealed(text: str) -> bool:
    return text.startswith(_TAG)


def unseal(text: str) -> Native | None:
    """What `seal` put in, or None when `text` is no envelope or a damaged one."""
    fields = text.split(".")
    if len(fields) != 4 or not is_sealed(text):
        return None
    _, owner, family, data = fields
    try:
        raw = base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return Native(owner=owner, data=Raw(raw), family="" if family == "-" else family)


def seal_of_call(native: Native) -> str:
    """`seal` for data of a tool call, in a slot that stands before the call."""
    return _CALL_TAG + seal(native).removeprefix(_TAG)


def is_of_call(text: str) -> bool:
    return text.startswith(_CALL_TAG)


def unseal_of_call(text: str) -> Native | None:
    """What `seal_of_call` put in, or None when `text` is no such envelope or a damaged one."""
    return unseal(_TAG + text.removeprefix(_CALL_TAG)) if is_of_call(text) else None


def seal_base64(native: Native) -> str:
    """`seal` for slots that must hold valid base64 (Gemini's thoughtSignature)."""
    return base64.b64encode(seal(native).encode()).decode()


def unseal_base64(text: str) -> Native | None:
    """What `seal_base64` put in, or None."""
    try:
        inner = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return unseal(inner.decode("ascii", "replace")) if inner.startswith(_TAG.encode()) else None
